"""Over HTTP: however feedback is ordered, repeated, cut into requests and met by the stages, the latest word stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.ids import derived_id

EXAMPLES = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("orders"), clock=SetClock(NOW + timedelta(hours=1))) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as client:
        yield client


word = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["thumb", "thumb", "rating", "correction"]),
        "user_id": st.sampled_from(["ada", "ben"]),
        "minute": st.integers(0, 3),  # few, so that words meet at the same minute
        "good": st.booleans(),
        "retracted": st.sampled_from([False, False, True]),
    }
)


def sent(salt: str, words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return an inference and the feedback on it as senders write them."""
    answer = derived_id("inference", salt)
    made: list[dict[str, Any]] = [
        {"type": "inference", "id": answer, "feature": f"f{salt}", "created_at": NOW.isoformat(), "input": "i"}
    ]
    for place, told in enumerate(words):
        values: dict[str, dict[str, Any]] = {
            "thumb": {"value": float(told["good"])},
            "rating": {"value": 5.0 if told["good"] else 1.0, "best": 5.0},
            "correction": {"text": "Over there."},
        }
        event = {
            "type": "feedback",
            "id": derived_id("feedback", salt, str(place)),
            "inference_id": answer,
            "kind": told["kind"],
            "user_id": told["user_id"],
            "created_at": (NOW + timedelta(minutes=told["minute"])).isoformat(),
            **values[told["kind"]],
        }
        made.append(event | ({"retracted": True} if told["retracted"] else {}))
    return made


def kept(api: httpx.Client, answer: str, path: str = "/v1/feedback") -> list[str]:
    """Return the ids of all feedback on an answer, page by page."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = api.get(path, params={"limit": "1000", **after}).raise_for_status().json()
        found += [item["id"] for item in page["items"] if item["inference_id"] == answer]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def standing(events: list[dict[str, Any]]) -> dict[str, float]:
    """Return what counts in the end: each person's latest word of a kind, by its id; 1 is bad. Taken back: left out."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for event in sorted(events[1:], key=lambda event: (event["created_at"], event["id"])):
        last[event["user_id"], event["kind"]] = event
    return {event["id"]: bad(event) for event in last.values() if not event.get("retracted")}


def bad(event: dict[str, Any]) -> float:
    """Return what one word says alone."""
    value = float(event.get("value", 0.0))
    return (5 - value) / 4 if event["kind"] == "rating" else 1 - value


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), words=st.lists(word, min_size=1, max_size=8))
def test_the_latest_word_stands_whatever_the_order_and_every_word_is_kept(
    api: httpx.Client, data: st.DataObject, words: list[dict[str, Any]]
) -> None:
    salt = str(next(EXAMPLES))
    events = sent(salt, words)
    arriving = data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=3))]))
    accepted = 0
    while arriving:
        lot = arriving[: data.draw(st.integers(1, len(arriving)))]
        del arriving[: len(lot)]
        receipt = api.post("/v1/events", json=lot).raise_for_status().json()
        assert receipt["rejected"] == []
        accepted += receipt["accepted"]
        if data.draw(st.booleans()):
            api.post("/v1/tick").raise_for_status()
    while api.post("/v1/tick").raise_for_status().json()["rows"]:
        pass
    assert accepted == len(events)
    assert sorted(kept(api, events[0]["id"])) == sorted(event["id"] for event in events[1:])
    # An example that the generator broke off may have left others waiting.
    assert not kept(api, events[0]["id"], "/v1/feedback/orphans")
    outcomes = api.get("/v1/outcomes", params={"feature": f"f{salt}"}).raise_for_status().json()["items"]
    assert len(outcomes) == bool(standing(events))
    assert {each["feedback_id"]: each["x"] for one in outcomes for each in one["evidence"]} == standing(events)
