"""Who may call what. The matrix is made from the application's own routes, so a new route needs a decision here."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.live import KINDS, Live
from trimtab.server.app import ROUTES

# The decision for every route, apart from the code: who may call it. "" needs no key; "guest" is no kind of key,
# but the token of a review link.
DECIDED = {
    "POST /v1/events": "public ingest admin",
    "POST /v1/inferences": "ingest admin",
    "POST /v1/feedback": "public ingest admin",
    "POST /v1/traces": "ingest admin",
    "GET /v1/features": "read ingest admin",
    "PUT /v1/features/{feature}": "admin",
    "GET /v1/features/{feature}/rollout": "ingest read admin",
    "GET /v1/rollouts/stream": "ingest read admin",
    "POST /v1/features/{feature}/render": "ingest admin",
    "GET /v1/features/{feature}/holdback": "read admin",
    "POST /v1/features/{feature}/holdback/reset": "admin",
    "GET /v1/features/{feature}/versions": "read admin",
    "POST /v1/features/{feature}/versions": "admin",
    "POST /v1/features/{feature}/rollback": "admin",
    "GET /v1/features/{feature}/cases": "read admin",
    "POST /v1/features/{feature}/cases": "admin",
    "DELETE /v1/features/{feature}/cases/{case_id}": "admin",
    "POST /v1/features/{feature}/cases/{case_id}/restore": "admin",
    "GET /v1/overview": "read admin",
    "GET /v1/features/{feature}/series": "read admin",
    "GET /v1/inbox": "read admin",
    "GET /v1/inferences": "read admin",
    "GET /v1/inferences/{inference_id}": "read admin",
    "GET /v1/feedback": "read admin",
    "GET /v1/feedback/orphans": "read admin",
    "GET /v1/outcomes": "read admin",
    "GET /v1/outcomes/summary": "read admin",
    "GET /v1/outcomes/dissatisfaction": "read admin",
    "GET /v1/calibrations": "read admin",
    "POST /v1/audits": "admin",
    "GET /v1/audits": "read admin",
    "GET /v1/velocity": "read admin",
    "GET /v1/work": "read admin",
    "POST /v1/work": "admin",
    "GET /v1/digest": "read admin",
    "GET /v1/search": "read admin",
    "GET /v1/monitors": "read admin",
    "GET /v1/monitors/{monitor}": "read admin",
    "PUT /v1/monitors/{monitor}": "admin",
    "DELETE /v1/monitors/{monitor}": "admin",
    "POST /v1/monitors/replay": "admin",
    "POST /v1/monitors/{monitor}/silence": "admin",
    "GET /v1/silences": "read admin",
    "DELETE /v1/silences/{silence_id}": "admin",
    "GET /v1/topics": "read admin",
    "GET /v1/topics/runs": "read admin",
    "POST /v1/topics/runs": "admin",
    "GET /v1/topics/runs/{run_id}": "read admin",
    "GET /v1/topics/{topic_id}": "read admin",
    "GET /v1/topics/{topic_id}/feedback": "read admin",
    "GET /v1/incidents": "read admin",
    "GET /v1/incidents/{incident_id}": "read admin",
    "GET /v1/incidents/{incident_id}/plan": "read admin",
    "POST /v1/incidents/{incident_id}/resolve": "admin",
    "POST /v1/incidents/{incident_id}/run": "admin",
    "GET /v1/quarantine": "read admin",
    "POST /v1/quarantine/{feedback_id}/release": "admin",
    "GET /v1/changes": "read admin",
    "GET /v1/changes/{change_id}": "read admin",
    "POST /v1/changes/{change_id}/approve": "admin",
    "POST /v1/changes/{change_id}/promote": "admin",
    "POST /v1/changes/{change_id}/pause": "admin",
    "POST /v1/changes/{change_id}/resume": "admin",
    "POST /v1/changes/{change_id}/rollback": "admin",
    "GET /v1/features/{feature}/rules": "read admin",
    "POST /v1/features/{feature}/rules": "admin",
    "DELETE /v1/features/{feature}/rules/{rule_id}": "admin",
    "GET /v1/knowledge/patches": "ingest read admin",
    "GET /v1/knowledge/boosts": "ingest read admin",
    "POST /v1/knowledge/patches/{patch_id}/ack": "ingest admin",
    "GET /v1/deliveries": "read admin",
    "POST /v1/deliveries/{delivery_id}/retry": "admin",
    "GET /v1/review": "read admin",
    "POST /v1/review/next": "admin",
    "POST /v1/review/{item_id}": "admin",
    "GET /v1/features/{feature}/answers": "read admin",
    "POST /v1/answers/{answer_id}/ruling": "admin",
    "GET /v1/features/{feature}/judge": "read admin",
    "POST /v1/features/{feature}/judge": "admin",
    "GET /v1/review/learn": "read admin",
    "POST /v1/review/learn": "admin",
    "POST /v1/review/batches": "admin",
    "GET /v1/review/batches": "read admin",
    "GET /v1/review/themes": "read admin",
    "GET /v1/review/summary": "read admin",
    "POST /v1/review/{item_id}/links": "admin",
    "GET /v1/review/{item_id}/links": "admin",
    "DELETE /v1/review/{item_id}/links/{link_id}": "admin",
    "GET /v1/guest/review": "guest",
    "POST /v1/guest/review": "guest",
    "GET /v1/runs": "read admin",
    "GET /v1/runs/{run_id}": "read admin",
    "POST /v1/runs/{run_id}/cancel": "admin",
    "POST /v1/features/{feature}/finetune": "admin",
    "GET /v1/jobs": "read admin",
    "GET /v1/jobs/{job_id}": "read admin",
    "POST /v1/jobs/{job_id}/cancel": "admin",
    "PUT /v1/users/{user_id}": "ingest admin",
    "GET /v1/users/{user_id}": "read admin",
    "DELETE /v1/users/{user_id}": "admin",
    "GET /v1/erasures": "read admin",
    "GET /v1/erasures/{erasure_id}": "read admin",
    "GET /v1/sessions/{session_id}": "read admin",
    "GET /v1/features/{feature}/segments": "read admin",
    "POST /v1/datasets": "admin",
    "GET /v1/datasets": "read admin",
    "GET /v1/datasets/{dataset_id}": "read admin",
    "GET /v1/datasets/{dataset_id}/files/{name}": "read admin",
    "DELETE /v1/datasets/{dataset_id}": "admin",
    "GET /v1/keys": "admin",
    "POST /v1/keys": "admin",
    "DELETE /v1/keys/{key_id}": "admin",
    "GET /v1/settings/redaction": "admin",
    "PUT /v1/settings/redaction": "admin",
    "GET /v1/settings/redaction/revisions": "admin",
    "GET /v1/settings/redaction/rows": "admin",
    "POST /v1/settings/redaction/try": "admin",
    "GET /v1/set-aside": "read admin",
    "POST /v1/set-aside/retry": "admin",
    "POST /v1/reconcile": "admin",
    "PUT /v1/clock": "admin",
    "POST /v1/tick": "admin",
    "GET /healthz": "",
    "GET /readyz": "",
    "GET /metrics": "",
    "GET /schema": "",
}


def served() -> dict[str, str]:
    """Return method and path, as they are told to people, of every route of the application."""
    return {
        f"{method} {re.sub(r':str', '', path)}": path
        for route in ROUTES
        for path in route.paths
        for method in route.http_methods
    }


def test_there_is_a_decision_for_every_route_and_a_route_for_every_decision() -> None:
    assert set(served()) == set(DECIDED)


@pytest.mark.parametrize("route", sorted(DECIDED))
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_opens_exactly_the_routes_of_its_kind(server: Live, route: str, kind: str) -> None:
    method, _, path = route.partition(" ")
    with server.client(kind) as client:
        asked = client.build_request(method, re.sub(r"\{\w+\}", "x", path), content=b"{")
        answer = client.send(asked, stream=True)  # one of them goes on for ever
        if not answer.headers["content-type"].startswith("text/event-stream"):
            answer.read()
        answer.close()
    may = not DECIDED[route] or kind in DECIDED[route].split()
    if may:
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden_key"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic abc", "Bearer tt_admin_guess", "Bearer " + "x" * 5000, "tt_admin_x"]
)
def test_what_is_not_a_key_opens_nothing(server: Live, header: str) -> None:
    with server.client(None) as client:
        answer = client.get("/v1/features", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_key_is_shown_once_and_works_until_it_is_revoked(server: Live, admin: httpx.Client) -> None:
    made = admin.post("/v1/keys", json={"kind": "read", "label": "dashboard"})
    assert made.status_code == 201
    secret, key_id = made.json()["key"], made.json()["id"]
    assert secret.startswith("tt_read_")
    listed = admin.get("/v1/keys")
    assert secret not in listed.text
    assert "sha256" not in listed.text
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {secret}"}) as reader:
        assert reader.get("/v1/incidents").status_code == 200
        assert admin.delete(f"/v1/keys/{key_id}").json()["revoked_at"] is not None
        assert reader.get("/v1/incidents").status_code == 401
    assert admin.delete(f"/v1/keys/{key_id}").status_code == 200


def test_a_key_revoked_elsewhere_is_refused_once_it_is_asked_for_again(server: Live, admin: httpx.Client) -> None:
    made = admin.post("/v1/keys", json={"kind": "read"}).json()
    app_keys = {key.id: key for key in server.engine.store.keys("default")}
    assert app_keys[made["id"]].sha256 not in made["key"]


def test_the_last_admin_key_stays(server: Live, admin: httpx.Client) -> None:
    (mine,) = [item for item in admin.get("/v1/keys").json()["items"] if item["kind"] == "admin"]
    answer = admin.delete(f"/v1/keys/{mine['id']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert admin.get("/v1/keys").status_code == 200
