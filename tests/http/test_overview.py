"""What dashboards and reviewers read: how features fare, number by number over time, and what people said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.ids import derived_id
from trimtab.stats.interval import wilson

HOUR = timedelta(hours=1)
SPAN = {"since": (NOW - 24 * HOUR).isoformat(), "until": NOW.isoformat()}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def client(fresh: Live) -> Iterator[httpx.Client]:
    with fresh.client("read") as opened:
        yield opened


def use(server: Live, *events: dict[str, Any]) -> None:
    """Send the events and let every stage take them up."""
    with server.client("admin") as admin:
        receipt = admin.post("/v1/events", content=body(*events)).raise_for_status().json()
        assert receipt["rejected"] == []
        while admin.post("/v1/tick").raise_for_status().json()["rows"]:
            pass


def answer(name: str, hours_ago: float = 1, **more: Any) -> dict[str, Any]:
    return inference(name, created_at=(NOW - hours_ago * HOUR).isoformat(), **more)


def word(name: str, about: str, kind: str = "thumb", hours_ago: float = 0.5, **more: Any) -> dict[str, Any]:
    told = {"value": None, **more} if kind != "thumb" else more
    at = (NOW - hours_ago * HOUR).isoformat()
    return feedback(name, kind=kind, inference_id=derived_id("inference", about), created_at=at, **told)


def voted(prefix: str, count: int, bad: int, hours_ago: float, **more: Any) -> list[dict[str, Any]]:
    """Return answers of which each has a vote, the first `bad` ones a bad one."""
    found = []
    for place in range(count):
        name = f"{prefix}-{place}"
        found.append(answer(name, hours_ago, user_id=name, **more))
        found.append(word(name, name, hours_ago=hours_ago, user_id=name, value=0 if place < bad else 1))
    return found


# ---------------------------------------------------------------- overview


def test_the_overview_tells_each_feature_now_and_before_with_n_and_interval(fresh: Live, client: httpx.Client) -> None:
    with fresh.client("admin") as admin:
        admin.put("/v1/features/support").raise_for_status()
        made = admin.post("/v1/features/support/versions", json={"model": "m-2"}).raise_for_status().json()
    use(
        fresh,
        *voted("now", 20, 9, hours_ago=2),
        *voted("past", 10, 1, hours_ago=30),
        *voted("older", 5, 5, hours_ago=60),
        answer("failed", error="timeout"),
        answer("silent"),
        answer("other", feature="search"),
    )
    found = client.get("/v1/overview", params=SPAN).raise_for_status().json()
    support, search = found["features"]
    assert (support["feature"], search["feature"]) == ("support", "search")
    now, before = support["now"], support["before"]
    expected = wilson(9, 20)
    assert now["negative"] == {"count": 9, "n": 20, "value": 0.45, "low": expected.low, "high": expected.high}
    assert (now["answers"], now["errors"]["count"], now["errors"]["n"]) == (22, 1, 22)
    assert (now["judged"]["count"], now["judged"]["n"]) == (20, 22)
    assert (before["answers"], before["negative"]["count"], before["negative"]["n"]) == (10, 1, 10)
    change = support["change"]
    assert change["value"] == pytest.approx(0.35)
    assert -1 < change["low"] < 0.35 < change["high"] < 1
    assert support["serving"] == [{"version_id": made["version"]["id"], "role": "stable", "share": 1.0}]
    assert search["now"]["negative"] == {"count": 0, "n": 0, "value": None, "low": 0.0, "high": 1.0}
    assert search["change"] == {"value": None, "low": -1.0, "high": 1.0}
    totals = found["totals"]
    assert (totals["now"]["answers"], totals["before"]["answers"], totals["open_incidents"]) == (23, 10, 0)


def test_the_overview_says_whether_votes_can_open_an_incident_yet(fresh: Live, client: httpx.Client) -> None:
    use(fresh, *voted("now", 20, 9, hours_ago=2))
    (told,) = client.get("/v1/overview", params=SPAN).json()["watching"]
    assert (told["feature"], told["state"], told["votes"], told["negatives"]) == ("support", "learning", 20, 9)
    assert told["told"].startswith("still learning what is usual: 20 of 500 votes, 9 of them bad; until then")
    assert told["mend"].endswith("reference_rate = 0.1 under [features.support]")


def test_a_vote_taken_back_and_events_sent_twice_are_not_counted(fresh: Live, client: httpx.Client) -> None:
    events = voted("a", 4, 2, hours_ago=3)
    use(fresh, *events)
    use(fresh, *events, word("back", "a-0", user_id="a-0", retracted=True, value=None))
    (support,) = client.get("/v1/overview", params=SPAN).json()["features"]
    assert support["now"]["answers"] == 4
    assert (support["now"]["negative"]["count"], support["now"]["negative"]["n"]) == (1, 3)


def test_an_empty_project_has_an_overview(client: httpx.Client) -> None:
    found = client.get("/v1/overview").raise_for_status().json()
    assert found["features"] == []
    assert found["totals"]["now"]["errors"]["value"] is None


# ---------------------------------------------------------------- series


def series(client: httpx.Client, **query: str) -> Any:
    return client.get("/v1/features/support/series", params={**SPAN, **query}).raise_for_status().json()


def test_the_negative_rate_is_told_by_version_and_hour(fresh: Live, client: httpx.Client) -> None:
    use(
        fresh,
        *voted("a", 8, 2, hours_ago=5, version_id="v_1"),
        *voted("b", 4, 3, hours_ago=5, version_id="v_2"),
        *voted("c", 2, 1, hours_ago=3, version_id="v_2"),
        *voted("d", 9, 9, hours_ago=30, version_id="v_1"),
        answer("silent", 2, version_id="v_1"),
    )
    told = series(client, metric="negative_rate", group_by="version")
    points = [(point["group"], point["n"], point["value"]) for point in told["points"]]
    assert points == [("v_1", 8, 0.25), ("v_2", 4, 0.75), ("v_2", 2, 0.5)]
    starts = [point["start"] for point in told["points"]]
    assert starts == ["2026-03-01T07:00:00Z", "2026-03-01T07:00:00Z", "2026-03-01T09:00:00Z"]
    first = told["points"][0]
    assert (first["low"], first["high"]) == (wilson(2, 8).low, wilson(2, 8).high)
    (whole,) = series(client, metric="negative_rate", step="day", since="2026-03-01T00:00:00Z")["points"]
    assert (whole.get("group"), whole["n"]) == (None, 14)


def test_a_segment_has_a_line_for_each_of_its_values(fresh: Live, client: httpx.Client) -> None:
    use(
        fresh,
        *voted("a", 4, 1, hours_ago=5, profile={"plan": "pro"}),
        *voted("b", 5, 5, hours_ago=5, profile={"plan": "free"}),
    )
    told = series(client, metric="negative_rate", group_by="plan")
    assert [(point["group"], point["n"], point["value"]) for point in told["points"]] == [
        ("free", 5, 1.0),
        ("pro", 4, 0.25),
    ]


def test_counts_sums_and_means_are_told_with_their_n(fresh: Live, client: httpx.Client) -> None:
    use(
        fresh,
        answer("a", 2, latency_ms=100, cost_usd=0.5),
        answer("b", 2, latency_ms=300, cost_usd=0.25, error="timeout"),
        answer("c", 2),
        *voted("d", 1, 0, hours_ago=2),
    )

    def point(metric: str) -> tuple[int, float, bool]:
        (only,) = series(client, metric=metric)["points"]
        return only["n"], only["value"], "low" in only

    assert point("inferences") == (4, 4.0, False)
    assert point("errors") == (4, 0.25, True)
    assert point("judged") == (4, 0.25, True)
    assert point("latency_ms") == (2, 200.0, False)
    assert point("cost_usd") == (2, 0.75, False)


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        ({}, "metric", "metric=negative_rate"),
        ({"metric": "mood"}, "metric", "negative_rate"),
        ({"metric": "errors", "step": "week"}, "step", "hour"),
        ({"metric": "errors", "step": "minute", "since": "2026-01-01T00:00:00Z"}, "step", "'hour'"),
        ({"metric": "errors", "step": "hour", "since": "2025-01-01T00:00:00Z"}, "step", "'day'"),
        ({"metric": "negative_rate", "group_by": "shoe-size"}, "group_by", "plan"),
        ({"metric": "errors", "group_by": "plan"}, "group_by", "version"),
        ({"metric": "negative_rate", "group_by": "plan", "step": "minute"}, "step", "'hour'"),
        ({"metric": "errors", "since": "2026-03-02T00:00:00Z"}, "since", "before"),
    ],
)
def test_a_series_that_cannot_be_told_says_what_to_ask_instead(
    fresh: Live, client: httpx.Client, query: dict[str, str], param: str, said: str
) -> None:
    use(fresh, *voted("a", 1, 0, hours_ago=2, profile={"plan": "pro"}))
    error = client.get("/v1/features/support/series", params=query).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_field", param)
    assert said in error["message"]


def test_a_series_of_no_feature_is_not_found(client: httpx.Client) -> None:
    gone = client.get("/v1/features/nobody/series", params={"metric": "errors"})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "feature")


# ---------------------------------------------------------------- inbox


def shown(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/inbox", params=query).raise_for_status().json()["items"]
    return items


def test_an_item_has_the_answer_its_judgement_and_the_same_person_s_other_words(
    fresh: Live, client: httpx.Client
) -> None:
    use(
        fresh,
        answer("a", version_id="v_1", model="m-1", user_id="ada"),
        word("vote", "a", hours_ago=0.4, user_id="ada", value=0),
        word("why", "a", "comment", hours_ago=0.3, user_id="ada", text="it never came"),
        word("else", "a", "comment", hours_ago=0.2, user_id="ben", text="me too"),
        answer("liked"),
        word("fine", "liked", user_id="eve", value=1),
    )
    second, first = shown(client)
    assert (second["feedback"]["text"], first["feedback"]["text"]) == ("me too", "it never came")
    assert [other["kind"] for other in first["others"]] == ["thumb"]
    assert second["others"] == []
    told = first["inference"]
    assert (told["version_id"], told["model"], told["output"]) == ("v_1", "m-1", "It is on its way.")
    assert first["outcome"]["vote"] == 1.0


def test_what_its_author_took_back_or_said_anew_is_not_to_be_read(fresh: Live, client: httpx.Client) -> None:
    use(
        fresh,
        *(answer(name) for name in ("back", "changed", "stays")),
        word("1", "back", hours_ago=0.9, user_id="u", value=0),
        word("2", "back", hours_ago=0.8, user_id="u", value=None, retracted=True),
        word("3", "changed", hours_ago=0.7, user_id="u", value=0),
        word("4", "changed", hours_ago=0.6, user_id="u", value=1),
        word("5", "stays", hours_ago=0.5, user_id="u", value=0),
    )
    assert [item["feedback"]["id"] for item in shown(client)] == [derived_id("feedback", "5")]


def test_the_inbox_is_narrowed_and_followed_page_by_page(fresh: Live, client: httpx.Client) -> None:
    events = []
    for place in range(30):
        name = f"n{place}"
        feature, version = ("search", "v_2") if place % 3 == 0 else ("support", "v_1")
        events.append(answer(name, 10 - place / 10, feature=feature, version_id=version))
        if place % 2:
            events.append(word(name, name, "comment", 9 - place / 10, text=f"number {place} is about refunds"))
        else:
            events.append(word(name, name, hours_ago=9 - place / 10, value=0))
    use(fresh, *events)

    def places(**query: Any) -> list[int]:
        found, after = [], None
        while True:
            params = {"limit": 4, **query, **({"after": after} if after else {})}
            page = client.get("/v1/inbox", params=params).raise_for_status().json()
            found += [int(each) for item in page["items"] for each in [name_of(item)]]
            after = page["next"]
            if after is None:
                return found

    def name_of(item: dict[str, Any]) -> str:
        return next(str(place) for place in range(30) if item["feedback"]["id"] == derived_id("feedback", f"n{place}"))

    newest = list(range(30))[::-1]
    assert places() == newest
    assert places(order="oldest") == newest[::-1]
    assert places(feature="search") == places(version_id="v_2") == [each for each in newest if each % 3 == 0]
    assert places(negative="true") == places(feedback_kind="thumb") == [each for each in newest if each % 2 == 0]
    assert places(feedback_kind="comment", feature="search") == [each for each in newest if each % 6 == 3]
    assert places(q='refunds "number 1"') == [each for each in newest if each % 2 and str(each).startswith("1")]
    since, until = (NOW - 8 * HOUR).isoformat(), (NOW - 7 * HOUR).isoformat()
    assert places(since=since, until=until) == [each for each in newest if 10 <= each < 20]
    assert places(q="nothing like it") == []


def test_one_answer_is_shown_with_all_that_was_said_of_it(fresh: Live, client: httpx.Client) -> None:
    use(
        fresh,
        answer("a"),
        word("vote", "a", user_id="ada", value=0),
        word("copy", "a", "copy", user_id="ben"),
    )
    told = client.get(f"/v1/inferences/{derived_id('inference', 'a')}").raise_for_status().json()
    assert told["inference"]["input"] == "Where is my order?"
    assert [each["kind"] for each in told["feedback"]] == ["thumb", "copy"]
    assert {each["kind"] for each in told["opinions"]} == {"thumb", "copy"}
    assert told["outcome"]["p_bad"] == 1.0
    gone = client.get(f"/v1/inferences/{derived_id('inference', 'nobody')}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_lists_narrowed_by_time_or_version_are_in_the_order_of_their_own_time(
    fresh: Live, client: httpx.Client
) -> None:
    use(
        fresh,
        answer("late", 1, version_id="v_1"),
        word("late", "late", hours_ago=0.2),
        answer("early", 3, version_id="v_1"),
        word("early", "early", hours_ago=0.4),
        answer("middle", 2, version_id="v_2"),
    )
    found = client.get("/v1/inferences", params=SPAN).json()["items"]
    assert [item["id"] for item in found] == [derived_id("inference", each) for each in ("late", "middle", "early")]
    found = client.get("/v1/feedback", params={"version_id": "v_1", "order": "oldest"}).json()["items"]
    assert [item["id"] for item in found] == [derived_id("feedback", each) for each in ("early", "late")]
