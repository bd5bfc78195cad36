"""An answer that corrections contradict, over HTTP: from two corrections to what all its examples say from now on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.example_world import CARD, FEATURE, REFUND, VOUCHER, examples
from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.config import Reviewing, Settings

SETTINGS = Settings(review=Reviewing(weekly_items=12, audit_share=0.25))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, SETTINGS, clock=SetClock(NOW)) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as mine:
        started(server, mine)
        yield mine


def started(server: Live, client: httpx.Client) -> None:
    """Set up a feature with old examples, answers of its first week, and two corrections of a typical question."""
    client.put(f"/v1/features/{FEATURE}").raise_for_status()
    held = [{"id": each.id, "input": each.input, "output": each.output} for each in examples()]
    client.post(f"/v1/features/{FEATURE}/versions", json={"exemplars": held}).raise_for_status()
    later(server, 6)
    settled(client)  # today's look is done before anybody says anything
    at = (server.engine.clock.now() - timedelta(hours=1)).isoformat()
    others = [inference(n, feature=FEATURE, created_at=at, input=f"about {n}") for n in range(60)]
    asked = [inference(f"refund-{n}", feature=FEATURE, created_at=at, input=REFUND) for n in range(2)]
    told = {"kind": "correction", "value": None, "created_at": at, "source": "reviewer", "user_id": "ada"}
    said = [feedback(f"refund-{n}", text=VOUCHER, **told) for n in range(2)]
    client.post("/v1/events", content=body(*others, *asked, *said)).raise_for_status()
    settled(client)


def later(server: Live, days: float) -> None:
    assert isinstance(server.engine.clock, SetClock)
    server.engine.clock.advance(timedelta(days=days))


def settled(client: httpx.Client) -> None:
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


def looks(client: httpx.Client, **told: Any) -> list[dict[str, Any]]:
    items = client.get("/v1/review", params={"limit": 100, **told}).raise_for_status().json()["items"]
    return [item for item in items if item["source"] == "example"]


def asked(client: httpx.Client, reviewer: str = "ada") -> list[dict[str, Any]]:
    order = {"reviewer": reviewer, "count": 50, "feature": FEATURE}
    items = client.post("/v1/review/next", json=order).raise_for_status().json()["items"]
    return [each for each in items if each["item"]["source"] == "example"]


def ruled(client: httpx.Client, item: str, verdict: str, **told: Any) -> httpx.Response:
    return client.post(f"/v1/review/{item}", json={"reviewer": "ada", "verdict": verdict, **told})


def renewals(server: Live) -> list[tuple[str, str]]:
    engine = server.engine
    rollout = engine.store.rollout("default", FEATURE)
    assert rollout is not None
    base = engine.store.version("default", FEATURE, rollout.stable_version_id)
    assert base is not None
    return list(engine.looks.renewals("default", FEATURE, base, engine.clock.now()).values())


def test_the_weeks_batch_asks_about_three_examples_and_what_all_confirm_is_to_be_renewed(
    server: Live, client: httpx.Client
) -> None:
    assert looks(client) == []
    later(server, 1)
    settled(client)
    [made] = client.get("/v1/review/batches").json()["items"]
    assert (made["by"], made["budget"]) == ("schedule", 9)  # twelve a week, three of them looks
    found = asked(client)
    assert [(each["output"], each["said"]) for each in found] == [(CARD, [])] * 3
    assert all(each["input"].endswith(REFUND) for each in found)
    before = client.get("/v1/feedback", params={"limit": 100}).json()["items"]
    for each in found:
        assert renewals(server) == []
        judged = ruled(client, each["item"]["id"], "bad", correction=VOUCHER.lower(), seconds=6).json()
        assert (judged["item"]["state"], judged["feedback_ids"]) == ("done", [])
    assert renewals(server) == [(CARD, VOUCHER)]
    assert all(item["confirms"] for item in looks(client))
    settled(client)
    assert client.get("/v1/feedback", params={"limit": 100}).json()["items"] == before
    summary = client.get("/v1/review/summary", params={"feature": FEATURE}).json()
    counts = {row["source"]: (row["judged"], row["bad"]) for row in summary["found"]}
    assert counts["example"] == (3, 3)
    assert summary["minutes"] == pytest.approx(0.3)
    later(server, 8)
    settled(client)
    assert len(looks(client)) == 3  # not asked again, and what waits of the old batch goes without them


def test_one_that_is_still_right_ends_the_question(server: Live, client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    first, *rest = looks(client)
    ruled(client, first["id"], "good").raise_for_status()
    assert [item["state"] for item in looks(client) if item["id"] != first["id"]] == ["skipped"] * 2
    assert ruled(client, rest[0]["id"], "bad", correction=VOUCHER).status_code == 409
    assert asked(client) == []
    assert renewals(server) == []


def test_a_reviewer_of_an_example_is_not_led_to_the_suspected_answer(client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    with_all = client.post("/v1/review/next", json={"reviewer": "ada", "count": 3}).text
    assert "oucher" not in with_all
    assert "instead_id" not in with_all
    judged = ruled(client, looks(client)[0]["id"], "bad", correction=VOUCHER)
    assert judged.is_success
    assert not {"instead_id", "confirms"} & judged.json()["item"].keys()


def test_an_example_takes_no_case_and_no_label(client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    item = looks(client)[0]["id"]
    for told in ({"case": True, "correction": VOUCHER}, {"label": "old"}):
        refused = ruled(client, item, "bad", **told)
        assert (refused.status_code, "is about an example" in refused.text) == (400, True)
    assert client.get(f"/v1/features/{FEATURE}/cases").json()["items"] == []


def test_an_example_that_is_served_no_more_can_only_be_skipped(client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    client.post(f"/v1/features/{FEATURE}/versions", json={"exemplars": []}).raise_for_status()
    [first, *_] = asked(client)
    assert not {"input", "output"} & {name for name, value in first.items() if value is not None}
    refused = ruled(client, first["item"]["id"], "bad", correction=VOUCHER)
    assert (refused.status_code, "skip it" in refused.text) == (409, True)
    assert ruled(client, first["item"]["id"], "skip").json()["item"]["state"] == "skipped"


def test_an_expert_with_a_link_sees_the_example_and_judges_it(server: Live, client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    one, two, three = (item["id"] for item in looks(client))
    made = client.post(f"/v1/review/{one}/links", json={"reviewer": "curie"}).raise_for_status().json()
    assert made["link"]["item_id"] == one  # an example is asked once
    assert {each["item"]["id"] for each in asked(client)} == {two, three}
    key = {"Authorization": f"Bearer {made['token']}"}
    shown = httpx.get(f"{server.url}/v1/guest/review", headers=key, trust_env=False).raise_for_status().json()
    assert (shown["output"], shown["input"].endswith(REFUND)) == (CARD, True)
    ruling = {"verdict": "bad", "correction": VOUCHER}
    httpx.post(f"{server.url}/v1/guest/review", headers=key, json=ruling, trust_env=False).raise_for_status()
    for item in (two, three):
        ruled(client, item, "bad", correction=VOUCHER).raise_for_status()
    assert renewals(server) == [(CARD, VOUCHER)]


def test_who_orders_hears_when_examples_take_all_that_may_be_asked(tmp_path: Path) -> None:
    small = Settings(review=Reviewing(weekly_items=3))
    with live(tmp_path, small, clock=SetClock(NOW)) as server, server.client("admin") as mine:
        started(server, mine)
        refused = mine.post("/v1/review/batches", json={"feature": FEATURE})
        assert (refused.status_code, "3 of its examples are asked about" in refused.text) == (409, True)
        assert len(looks(mine)) == 3


def test_looks_that_nobody_began_outlast_the_next_batch_but_not_four_weeks(server: Live, client: httpx.Client) -> None:
    later(server, 1)
    settled(client)
    at = (server.engine.clock.now() + timedelta(days=6)).isoformat()
    more = [inference(f"later-{n}", feature=FEATURE, created_at=at, input=f"about {n}") for n in range(60)]
    later(server, 7)
    client.post("/v1/events", content=body(*more)).raise_for_status()
    settled(client)
    assert len(client.get("/v1/review/batches").json()["items"]) == 2
    assert [item["state"] for item in looks(client)] == ["open"] * 3
    later(server, 22)
    settled(client)
    states = sorted(item["state"] for item in looks(client))
    assert states == ["open"] * 3 + ["skipped"] * 3  # the same doubt, raised anew


def test_verdicts_on_examples_teach_nothing_about_answers(server: Live, client: httpx.Client) -> None:
    client.post("/v1/review/batches", json={"feature": FEATURE, "items": 4}).raise_for_status()
    for item in looks(client):
        ruled(client, item["id"], "bad", correction=VOUCHER).raise_for_status()
    later(server, 1)
    settled(client)
    [_, scheduled] = client.get("/v1/review/batches", params={"order": "oldest"}).json()["items"]
    assert "reviews" not in scheduled  # P(wrong) learned from no verdict
    assert len(client.get("/v1/outcomes", params={"feature": FEATURE}).json()["items"]) == 2
