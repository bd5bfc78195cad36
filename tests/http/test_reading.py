"""What apps and people read: rollouts, lists, summaries, and what they may decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.records import Project
from trimtab.redact.wall import seal
from trimtab.server.app import ROUTES
from trimtab.server.auth import mint
from trimtab.server.contract import Contract
from trimtab.store.ports import Writes

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def client(fresh: Live) -> Iterator[httpx.Client]:
    with fresh.client() as opened:
        yield opened


def test_a_rollout_is_sent_again_only_when_it_changed(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    first = client.get("/v1/features/support/rollout")
    tag = first.headers["etag"]
    for held in (tag, f"W/{tag}", f'"0", {tag}', "*"):
        again = client.get("/v1/features/support/rollout", headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    made = client.post("/v1/features/support/versions", json={"model": "m-2"}).json()
    changed = client.get("/v1/features/support/rollout", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert changed.json()["versions"][made["version"]["id"]]["model"] == "m-2"
    assert changed.json()["rollout"]["revision"] == 2


def test_a_version_can_be_stored_without_being_served(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    made = client.post("/v1/features/support/versions", json={"model": "m-2", "serve": False}).json()
    assert made["rollout"]["stable_version_id"] != made["version"]["id"]
    back = client.post("/v1/features/support/rollback", json={"version_id": made["version"]["id"]})
    assert back.json()["stable_version_id"] == made["version"]["id"]
    assert len(client.get("/v1/features/support/versions").json()["items"]) == 2


def test_a_rollback_without_a_version_goes_to_the_one_before(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    nothing = client.post("/v1/features/support/rollback")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "conflict")
    first = client.post("/v1/features/support/versions", json={"model": "m-1"}).json()["version"]["id"]
    client.post("/v1/features/support/versions", json={"model": "m-2"}).raise_for_status()
    assert client.post("/v1/features/support/rollback").json()["stable_version_id"] == first


def test_a_feature_keeps_its_first_declaration(client: httpx.Client) -> None:
    assert client.put("/v1/features/support", json={"description": "Answers"}).json()["description"] == "Answers"
    assert client.put("/v1/features/support", json={"description": "Other"}).json()["description"] == "Answers"
    assert client.put("/v1/features/two%20words").json()["error"]["code"] == "invalid_field"


def test_a_name_with_a_slash_is_one_name(client: httpx.Client) -> None:
    client.put("/v1/features/team%2Fsupport").raise_for_status()
    assert client.get("/v1/features/team%2Fsupport/rollout").json()["rollout"]["feature"] == "team/support"
    assert client.get("/v1/features/team/support/rollout").status_code == 404


def test_pages_follow_each_other_without_gap_or_repeat(client: httpx.Client) -> None:
    client.post("/v1/events", content=body(*(inference(n) for n in range(25)))).raise_for_status()
    for order in ("newest", "oldest"):
        seen: list[str] = []
        after = None
        for _ in range(3):
            query = {"limit": "10", "order": order} | ({"after": after} if after else {})
            page = client.get("/v1/inferences", params=query).json()
            seen += [item["id"] for item in page["items"]]
            after = page["next"]
        assert after is None
        wanted = [inference(n)["id"] for n in range(25)]
        assert seen == (wanted if order == "oldest" else wanted[::-1])


def test_lists_filter_by_feature_version_and_time(client: httpx.Client) -> None:
    events = [
        inference("a", feature="one", version_id="v_1", created_at="2026-03-01T10:00:00Z"),
        inference("b", feature="one", version_id="v_2", created_at="2026-03-01T11:00:00Z"),
        inference("c", feature="two", version_id="v_1", created_at="2026-03-01T11:30:00Z"),
    ]
    client.post("/v1/events", content=body(*events)).raise_for_status()

    def ids(**query: str) -> set[str]:
        return {item["id"] for item in client.get("/v1/inferences", params=query).json()["items"]}

    a, b, c = (event["id"] for event in events)
    assert ids(feature="one") == {a, b}
    assert ids(version_id="v_1") == {a, c}
    assert ids(since="2026-03-01T11:00:00Z") == {b, c}
    assert ids(until="2026-03-01T11:00:00Z") == {a}
    assert ids(since="2026-03-01T13:00:00+02:00", feature="one") == {b}


@pytest.mark.parametrize("told", [{"since": FIRST}, {"until": FIRST}, {"since": LAST}, {"since": FIRST, "until": LAST}])
def test_no_time_is_too_early_or_too_late_to_ask_for(client: httpx.Client, told: dict[str, str]) -> None:
    client.post("/v1/events", content=body(inference("one"))).raise_for_status()
    more = {"feature": "support", "metric": "inferences", "step": "day", "q": "x"}
    for route in ROUTES:
        promised: Contract = route.opt["contract"]
        if "GET" in route.http_methods and {"since", "until"} & set(promised.query):
            asked = {name: value for name, value in {**more, **told}.items() if name in promised.query}
            for path in route.paths:
                answer = client.get(re.sub(r"{(\w+):str}", "support", path), params=asked)
                assert answer.status_code < 500, (path, asked, answer.text)


def test_feedback_is_joined_and_counted_with_its_n_and_interval(fresh: Live, client: httpx.Client) -> None:
    events = [inference(n, version_id="v_1", user_id=f"u-{n}") for n in range(4)]
    votes = [feedback(n, value=n % 2, user_id=f"u-{n}") for n in range(4)]
    client.post("/v1/events", content=body(*votes, feedback("lost"))).raise_for_status()
    client.post("/v1/tick").raise_for_status()
    assert len(client.get("/v1/feedback/orphans").json()["items"]) == 5
    client.post("/v1/events", content=body(*events)).raise_for_status()
    while client.post("/v1/tick").json()["rows"]:
        pass
    assert len(client.get("/v1/feedback/orphans").json()["items"]) == 1
    (row,) = client.get("/v1/outcomes/summary", params={"feature": "support"}).json()["items"]
    assert (row["judged"], row["negatives"], row["rate"]) == (4, 2, 0.5)
    assert row["low"] < 0.5 < row["high"]
    assert len(client.get("/v1/outcomes").json()["items"]) == 4
    assert client.get("/v1/velocity").json()["incidents"] == 0


def test_a_summary_needs_its_feature(client: httpx.Client) -> None:
    assert client.get("/v1/outcomes/summary").json()["error"]["param"] == "feature"


def test_a_case_is_stored_clean(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    sent = {"input": "I am jane.roe@example.com", "expected": "Hello", "severity": "must_pass"}
    assert client.post("/v1/features/support/cases", json=sent).status_code == 201
    (case,) = client.get("/v1/features/support/cases").json()["items"]
    assert "jane.roe" not in case["input"]
    assert case["severity"] == "must_pass"


def test_the_clock_moves_forward_only(client: httpx.Client) -> None:
    later = (NOW + timedelta(days=1)).isoformat()
    assert client.put("/v1/clock", json={"now": later}).status_code == 200
    assert client.put("/v1/clock", json={"now": NOW.isoformat()}).json()["error"]["param"] == "now"


def test_the_machine_s_clock_cannot_be_set(tmp_path: Path) -> None:
    with live(tmp_path) as server, server.client() as client:
        for answer in (client.put("/v1/clock", json={"now": NOW.isoformat()}), client.post("/v1/tick")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_metrics_count_what_came_in(client: httpx.Client) -> None:
    client.post("/v1/events", content=body(inference(1), inference(1), {"type": "x"})).raise_for_status()
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'trimtab_ingest_events_total{result="accepted"} 1.0',
        'trimtab_ingest_events_total{result="duplicate"} 1.0',
        'trimtab_ingest_rejected_total{code="invalid_field"} 1.0',
        "trimtab_ingest_queue_bytes 0.0",
        "trimtab_redaction_failures_total 0.0",
        'trimtab_stage_lag_rows{cursor="enrich.inferences"} 1.0',
        'trimtab_http_requests_total{method="POST",route="/v1/events",status="200"} 1.0',
    ):
        assert line in lines
    client.post("/v1/tick").raise_for_status()
    lines = client.get("/metrics").text.splitlines()
    assert 'trimtab_stage_lag_rows{cursor="enrich.inferences"} 0.0' in lines
    assert 'trimtab_retention_purged_rows_total{kind="inferences"} 0.0' in lines
    assert 'trimtab_hot_oldest_row_seconds{kind="feedback"} 0.0' in lines


def test_no_project_sees_another(fresh: Live, client: httpx.Client) -> None:

    client.post("/v1/events", content=body(inference(1), feedback(1))).raise_for_status()
    minted = mint("admin", "other", "", NOW)
    writes = Writes(
        projects=[Project(id="other", created_at=NOW)], keys=[seal(fresh.engine.redactor.of("default"), minted.key)]
    )
    fresh.engine.store.commit({"other": writes})
    with httpx.Client(base_url=fresh.url, headers={"Authorization": f"Bearer {minted.secret}"}) as other:
        for path in ("/v1/inferences", "/v1/feedback", "/v1/features", "/v1/feedback/orphans"):
            assert other.get(path).json()["items"] == []
        assert other.get("/v1/features/support/rollout").status_code == 404
        assert len(other.get("/v1/keys").json()["items"]) == 1


def test_metrics_count_what_sdks_say_they_gave_up(client: httpx.Client) -> None:
    for told in ("queue_full=3, torn=1", "queue_full=2", "no sense, <b>=1, x=-4, spool_full=99999999999"):
        assert client.post("/v1/events", json=[], headers={"Trimtab-Lost": told}).status_code == 200
    lines = client.get("/metrics").text.splitlines()
    counted = {line for line in lines if line.startswith("trimtab_client_lost_events_total{")}
    assert counted == {
        'trimtab_client_lost_events_total{reason="queue_full"} 5.0',
        'trimtab_client_lost_events_total{reason="torn"} 1.0',
    }
