"""A wrong document is found by votes, mended beside the index, brought into it, and both are seen to have worked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.rag_app import FEATURE, RIGHT, RagApp
from tests.live import NOW, Live, live
from trimtab.client import Client
from trimtab.clock import SetClock
from trimtab.config import Canary, Monitoring, Playbook, Settings

SETTINGS = Settings(
    monitoring=Monitoring(reference_rate=0.1, horizon_votes=2000, min_users=5),
    playbook=Playbook(cooldown_hours=1, actions=("knowledge",)),
    canary=Canary(steps=(0.2, 0.5), step_hours=1, step_exposures=20, horizon_hours=24 * 7),
)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def server(tmp_path: Path, clock: SetClock) -> Iterator[Live]:
    with live(tmp_path, SETTINGS, clock=clock) as running:
        yield running


@pytest.fixture
def app(server: Live, clock: SetClock, tmp_path: Path) -> Iterator[RagApp]:
    with server.client() as admin:
        admin.put(f"/v1/features/{FEATURE}").raise_for_status()
    told = {"spool_dir": tmp_path / "spool", "refresh_s": 0.02, "resolve_timeout_s": 30.0}
    with Client(server.url, server.keys["ingest"], clock=clock.now, **told) as client:  # type: ignore[arg-type]
        yield RagApp(server, client, clock)


@pytest.fixture
def admin(server: Live) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def items(admin: httpx.Client, path: str, **params: str) -> list[dict[str, object]]:
    answer = admin.get(path, params=params)
    answer.raise_for_status()
    return list(answer.json()["items"])


def test_a_wrong_document_is_found_mended_verified_in_retrieval_and_on_votes(
    server: Live, app: RagApp, admin: httpx.Client
) -> None:
    app.until(lambda: bool(items(admin, "/v1/changes")), hours=48)
    change = items(admin, "/v1/changes")[0]
    run = admin.get(f"/v1/runs/{change['run_id']}").json()
    gathered = next(step["detail"] for step in run["steps"] if step["name"] == "gather")
    assert {cause for cause, _, _ in gathered["diagnosed"]} == {"stale"}
    assert {chunk for _, chunk, _ in gathered["diagnosed"]} == {"returns"}
    assert change["kind"] == "knowledge"
    assert change["state"] == "canary", change
    assert items(admin, "/v1/knowledge/patches") == []  # not before it is everyone's

    (worst, *_) = items(admin, "/v1/knowledge/boosts", feature=FEATURE)
    assert worst["chunk_id"] == "returns"
    assert float(str(worst["boost"])) < 0

    app.until(lambda: items(admin, "/v1/changes")[0]["state"] in ("promoted", "verified"), hours=200)
    waiting = items(admin, "/v1/knowledge/patches", state="waiting")
    assert {patch["source_id"] for patch in waiting} == {"returns"}
    assert {patch["text"] for patch in waiting} == {RIGHT["returns"]}
    done = app.client.index(
        app.index.write, retrieve=lambda question, k: [name for name, _ in app.index.search(question, k)]
    )
    assert done == len(waiting)
    assert {patch["state"] for patch in items(admin, "/v1/knowledge/patches")} == {"verified"}

    app.until(lambda: not items(admin, "/v1/incidents", state="firing,recovering"), hours=200)
    (incident,) = items(admin, "/v1/incidents")
    assert incident["resolution"] == "verified"
    assert items(admin, "/v1/changes")[0]["state"] == "verified"
    found, _ = app.index.search("Until when can I send my bike back?", 1)[0]
    assert app.index.documents[found].endswith(RIGHT["returns"])

    change_id = items(admin, "/v1/changes")[0]["id"]
    admin.post(f"/v1/changes/{change_id}/rollback").raise_for_status()
    server.engine.settle()
    (taken, *_) = items(admin, "/v1/knowledge/patches", state="waiting")
    assert taken["kind"] == "delete"
    app.client.index(app.index.write)
    assert not any(name.startswith("k_") for name in app.index.documents)
    assert all("text" not in patch for patch in items(admin, "/v1/knowledge/patches", state="withdrawn"))
