"""What a person decides over HTTP about a change that the engine made, and what the state does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.ids import derived_id
from trimtab.records import Change, ChangeState, Incident, Version
from trimtab.redact.wall import seal
from trimtab.store.ports import Writes

CHANGE, INCIDENT = derived_id("change"), derived_id("incident")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def firing(version_id: str, at: datetime = NOW) -> Incident:
    return Incident(
        id=INCIDENT, feature="support", version_id=version_id, monitor_id=derived_id("monitor"), state="firing",
        onset_at=at, first_signal_at=at, detected_at=at, reference=0.1, observed=0.4, events=50, negatives=20, users=15,
        log_evidence=5.0, log_threshold=3.0,
    )  # fmt: skip


def waiting(server: Live, client: httpx.Client, state: ChangeState = "awaiting") -> tuple[str, str]:
    """Store an incident and a change with a candidate that waits; return the stable and the candidate version."""
    client.put("/v1/features/support").raise_for_status()
    stable = client.get("/v1/features/support/rollout").json()["rollout"]["stable_version_id"]
    candidate = seal(server.engine.redactor.of("default"), Version(feature="support", created_at=NOW, model="better"))
    change = Change(
        id=CHANGE, feature="support", kind="exemplar", state=state, created_at=NOW, base_version_id=stable,
        candidate_version_id=candidate.record.id, incident_id=INCIDENT,
    )  # fmt: skip
    writes = Writes(versions=[candidate], changes=[change], incidents=[firing(stable)])
    server.engine.store.commit({"default": writes})
    return stable, candidate.record.id


def served(client: httpx.Client) -> tuple[str, str | None]:
    rollout = client.get("/v1/features/support/rollout").json()["rollout"]
    return rollout["stable_version_id"], rollout.get("candidate_version_id")


def test_a_change_goes_the_way_a_person_sends_it(server: Live, client: httpx.Client) -> None:
    stable, candidate = waiting(server, client)
    assert client.post(f"/v1/changes/{CHANGE}/approve").json()["state"] == "canary"
    assert served(client) == (stable, candidate)
    assert set(client.get("/v1/features/support/rollout").json()["versions"]) == {stable, candidate}
    assert client.post(f"/v1/changes/{CHANGE}/pause").json()["state"] == "paused"
    assert client.post(f"/v1/changes/{CHANGE}/resume").json()["state"] == "canary"
    assert client.post(f"/v1/changes/{CHANGE}/promote").json()["state"] == "promoted"
    assert served(client) == (candidate, None)
    assert client.get(f"/v1/incidents/{INCIDENT}").json()["state"] == "recovering"
    assert client.post(f"/v1/changes/{CHANGE}/rollback").json()["state"] == "rolled_back"
    assert served(client) == (stable, None)
    assert client.get(f"/v1/changes/{CHANGE}").json()["state"] == "rolled_back"


@pytest.mark.parametrize("verb", ["approve", "promote", "pause", "resume", "rollback"])
def test_what_the_state_does_not_allow_is_a_conflict_and_changes_nothing(
    server: Live, client: httpx.Client, verb: str
) -> None:
    stable, _ = waiting(server, client, state="blocked")
    answer = client.post(f"/v1/changes/{CHANGE}/{verb}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "'blocked'" in answer.json()["error"]["message"]
    assert served(client) == (stable, None)


def test_an_incident_is_closed_by_hand_once(server: Live, client: httpx.Client) -> None:
    waiting(server, client)
    assert client.get("/v1/incidents", params={"state": "firing,recovering"}).json()["items"][0]["id"] == INCIDENT
    assert client.post(f"/v1/incidents/{INCIDENT}/resolve").json()["resolution"] == "manual"
    assert client.get("/v1/incidents", params={"state": "firing"}).json()["items"] == []
    assert client.post(f"/v1/incidents/{INCIDENT}/resolve").status_code == 409
    assert client.post(f"/v1/incidents/{INCIDENT}/run").status_code == 409


def test_a_run_waits_for_the_change_under_way(server: Live, client: httpx.Client) -> None:
    waiting(server, client)
    answer = client.post(f"/v1/incidents/{INCIDENT}/run")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_a_run_started_by_hand_can_be_followed(server: Live, client: httpx.Client) -> None:
    waiting(server, client, state="blocked")
    started = client.post(f"/v1/incidents/{INCIDENT}/run")
    assert started.status_code == 202
    run = client.get(f"/v1/runs/{started.json()['run_id']}").json()
    assert run["incident_id"] == INCIDENT
    assert run["steps"][0]["name"] == "gather"


def test_lists_refuse_a_state_there_is_not(client: httpx.Client) -> None:
    for path in ("/v1/incidents", "/v1/changes"):
        answer = client.get(path, params={"state": "burning"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "state")


def test_a_version_by_hand_is_shown_to_a_few_and_only_one_at_a_time(client: httpx.Client) -> None:
    client.put("/v1/features/support").raise_for_status()
    stable, _ = served(client)
    tried = client.post("/v1/features/support/versions", json={"model": "newer", "canary": True})
    assert tried.status_code == 201
    told = tried.json()
    assert (told["change"]["kind"], told["change"]["state"], told["rollout"]["share"]) == ("manual", "canary", 0.05)
    assert served(client) == (stable, told["version"]["id"])
    again = client.post("/v1/features/support/versions", json={"model": "newest", "canary": True})
    assert again.status_code == 409
    assert client.post(f"/v1/changes/{told['change']['id']}/promote").json()["state"] == "promoted"
    assert served(client) == (told["version"]["id"], None)
    same = client.post("/v1/features/support/versions", json={"model": "newer", "canary": True})
    assert same.status_code == 409
    assert "already" in same.text
