"""What people did becomes a score, an audit corrects it, and nothing is claimed before that: over HTTP, end to end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from benches.outcome_world import KINDS, World, made
from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.ids import derived_id

ANSWERS = 1500
SENT = ("regenerate", "edit", "abandon", "copy")  # hints that an app sends itself


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def client(fresh: Live) -> Iterator[httpx.Client]:
    with fresh.client() as opened:
        yield opened


def settle(client: httpx.Client) -> None:
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


def send(client: httpx.Client, events: list[dict[str, Any]]) -> None:
    for first in range(0, len(events), 1000):
        answer = client.post("/v1/events", content=body(*events[first : first + 1000])).raise_for_status().json()
        assert answer["rejected"] == []


def said(place: int, kind: str, **more: Any) -> dict[str, Any]:
    """Return feedback of a kind on answer `place`."""
    told = {"value": None, "kind": kind, "inference_id": derived_id("inference", str(place)), **more}
    return feedback(f"{place}-{kind}-{more.get('source', 'user')}", **told)


def review(client: httpx.Client, item: dict[str, Any], *, bad: bool) -> None:
    """Judge a drawn answer as a reviewer does."""
    word = {
        "id": derived_id("review", item["inference_id"]),
        "kind": "thumb",
        "value": 0 if bad else 1,
        "source": "reviewer",
        "user_id": "reviewer-1",
        "created_at": "2026-03-01T11:59:50Z",
        "inference_id": item["inference_id"],
    }
    client.post("/v1/feedback", json=word).raise_for_status()


def use(client: httpx.Client, world: World) -> dict[str, bool]:
    """Let the world's users use the product; return which answers are bad, by id."""
    events = []
    for place in range(ANSWERS):
        user = f"user-{world.user[place]}"
        events.append(inference(place, user_id=user, version_id=f"v_{place % 2 + 1}"))
        for kind, seen in zip(KINDS, world.seen[place], strict=True):
            if seen and kind in SENT:
                events.append(said(place, kind, user_id=user, value=0.8 if kind == "edit" else None))
        if world.voted[place]:
            events.append(said(place, "thumb", user_id=user, value=0 if world.bad[place] else 1))
    send(client, events)
    return {inference(place)["id"]: bool(world.bad[place]) for place in range(ANSWERS)}


def test_a_product_of_known_truth_is_estimated_through_the_whole_engine(fresh: Live, client: httpx.Client) -> None:
    world = made(3, ANSWERS)
    truth = use(client, world)
    settle(client)
    told = {"feature": "support"}
    before = client.get("/v1/outcomes/dissatisfaction", params=told).json()
    assert (before["calibrated"], before["overall"]["rate"], before["overall"]["audited"]) == (False, None, 0)
    drawn = client.post("/v1/audits", json={"feature": "support", "count": 200}).json()["items"]
    assert len(drawn) == 200
    for item in drawn:
        review(client, item, bad=truth[item["inference_id"]])
    fresh.engine.clock.advance(timedelta(hours=1))  # type: ignore[attr-defined]
    settle(client)

    (fitted,) = client.get("/v1/calibrations", params=told).json()["items"]
    assert (fitted["fitted"], fitted["ece"] is not None, fitted["auc"] > 0.55) == (True, True, True)
    assert fitted["audited"] == sum(not world.voted[int(place)] for place in places(drawn))
    after = client.get("/v1/outcomes/dissatisfaction", params=told).json()
    whole, rate = after["overall"], float(world.bad.mean())
    assert whole["n"] == ANSWERS
    most = 4.0 * math.sqrt(rate * (1.0 - rate) / fitted["audited"])  # the draw is of chance: four standard errors
    assert whole["low"] < whole["rate"] < whole["high"]
    assert whole["rate"] == pytest.approx(rate, abs=most)
    assert whole["score"] == pytest.approx(rate, abs=most)
    voters = whole["among_voters"]
    assert (voters["label"], voters["votes"]) == ("among voters", int(world.voted.sum()))
    assert voters["rate"] == pytest.approx(world.bad[world.voted].mean())
    assert voters["rate"] > 1.5 * rate
    assert (after["calibrated"], after["reason"]) == (fitted["calibrated"], fitted["reason"])
    assert [each["version_id"] for each in after["versions"]] == ["v_1", "v_2"]
    assert sum(each["n"] for each in after["versions"]) == ANSWERS
    assert sum(each["audited"] for each in after["versions"]) == 200
    # Every outcome was judged again by the new weights.
    ids = {each["calibration_id"] for each in every(client, "/v1/outcomes", **told)}
    held = fresh.engine.store.calibration("default", "support")
    assert held is not None
    assert ids == {held.id}
    assert client.get("/v1/incidents").json()["items"] == []


def places(items: list[dict[str, Any]]) -> list[int]:
    known = {inference(place)["id"]: place for place in range(ANSWERS)}
    return [known[item["inference_id"]] for item in items]


def every(client: httpx.Client, path: str, **query: str) -> list[dict[str, Any]]:
    """Follow a list to its end."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = client.get(path, params=query | ({"after": after} if after else {})).raise_for_status().json()
        found += page["items"]
        after = page["next"]
        if after is None:
            return found


def test_hints_alone_make_an_outcome_that_shows_its_weights_and_is_no_vote(client: httpx.Client) -> None:
    send(client, [inference(1), said(1, "regenerate"), said(1, "copy", user_id="user-2")])
    settle(client)
    (outcome,) = client.get("/v1/outcomes").json()["items"]
    (shown,) = client.get("/v1/calibrations").json()["items"]
    weights = {each["kind"]: each["weight"] for each in outcome["evidence"]}
    assert weights == {kind: pytest.approx(shown["weights"][kind]["weight"]) for kind in ("regenerate", "copy")}
    assert outcome["log_odds"] == pytest.approx(shown["base"] + sum(weights.values()))
    assert (outcome["tier"], outcome.get("vote"), outcome.get("calibrated", False)) == ("B", None, False)
    (row,) = client.get("/v1/outcomes/summary", params={"feature": "support"}).json()["items"]
    assert (row["inferences"], row["judged"], row["rate"]) == (1, 0, None)


def test_a_hint_taken_back_leaves_no_outcome(client: httpx.Client) -> None:
    send(client, [inference(1), said(1, "abandon")])
    settle(client)
    assert len(client.get("/v1/outcomes").json()["items"]) == 1
    back = said(1, "abandon", retracted=True, created_at="2026-03-01T11:59:40Z")
    send(client, [{**back, "id": derived_id("back")}])
    settle(client)
    assert client.get("/v1/outcomes").json()["items"] == []


def test_no_answer_is_drawn_twice_and_a_draw_is_within_its_time(client: httpx.Client) -> None:
    old = [inference(place, created_at="2026-02-20T12:00:00Z") for place in range(30)]
    send(client, [*old, *(inference(place) for place in range(30, 60))])
    settle(client)
    late = {"feature": "support", "count": 20, "since": "2026-02-25T00:00:00Z"}
    first = client.post("/v1/audits", json=late)
    assert first.status_code == 201
    assert {item["created_at"] for item in first.json()["items"]} == {"2026-03-01T11:59:00Z"}
    second = client.post("/v1/audits", json={"feature": "support", "count": 100}).json()["items"]
    ids = [item["inference_id"] for item in [*first.json()["items"], *second]]
    assert len(ids) == len(set(ids)) == 60
    assert client.post("/v1/audits", json={"feature": "support", "count": 5}).json()["items"] == []


def test_a_reviewer_finds_what_is_open_with_its_words_and_without_its_score(client: httpx.Client) -> None:
    send(client, [inference(place) for place in range(5)])
    settle(client)
    client.post("/v1/audits", json={"feature": "support", "count": 5}).raise_for_status()
    items = client.get("/v1/audits", params={"feature": "support", "open": "true"}).json()["items"]
    assert len(items) == 5
    assert (items[0]["input"], items[0]["output"], items[0]["bad"]) == ("Where is my order?", "It is on its way.", None)
    assert not {"p_bad", "estimate", "log_odds"} & items[0].keys()
    review(client, items[0], bad=True)
    review(client, items[1], bad=False)
    settle(client)
    judged = client.get("/v1/audits", params={"open": "false"}).json()["items"]
    assert {item["inference_id"]: item["bad"] for item in judged} == {
        items[0]["inference_id"]: 1.0,
        items[1]["inference_id"]: 0.0,
    }
    assert len(client.get("/v1/audits", params={"open": "true"}).json()["items"]) == 3
    assert client.get("/v1/audits", params={"feature": "other"}).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "sent", "code", "param"),
    [
        ("GET", "/v1/outcomes/dissatisfaction", None, "invalid_field", "feature"),
        (
            "GET",
            "/v1/outcomes/dissatisfaction?feature=support&since=2027-01-01T00:00:00Z",
            None,
            "invalid_field",
            "since",
        ),
        ("GET", "/v1/audits?open=yes", None, "invalid_field", "open"),
        ("GET", "/v1/outcomes?open=true", None, "invalid_field", "open"),
        ("GET", "/v1/calibrations?feature=nobody", None, "not_found", "feature"),
        ("POST", "/v1/audits", {"feature": "nobody", "count": 5}, "not_found", "feature"),
        ("POST", "/v1/audits", {"feature": "support", "count": 0}, "invalid_field", "count"),
        ("POST", "/v1/audits", {"count": 5}, "invalid_field", "feature"),
    ],
)
def test_what_does_not_fit_is_named(
    client: httpx.Client, method: str, path: str, sent: dict[str, Any] | None, code: str, param: str
) -> None:
    error = client.request(method, path, json=sent).json()["error"]
    assert error["code"] == code
    assert param in (error["param"] or "") + error["message"]


def test_a_feature_without_answers_has_no_rate(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    found = client.get("/v1/outcomes/dissatisfaction", params={"feature": "support"}).json()
    assert (found["overall"]["n"], found["overall"]["score"], found["versions"]) == (0, None, [])
