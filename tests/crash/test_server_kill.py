"""The server is killed again and again while the loop runs: nothing acknowledged is lost, and the run ends verified."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import ServerProcess
from trimtab.ids import derived_id
from trimtab.stats.bucket import in_candidate
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Query

START = datetime(2026, 1, 5, tzinfo=UTC)
FEATURE = "support"
KILLS = 20
SETTINGS = {
    "TRIMTAB_MONITORING__REFERENCE_RATE": "0.1",
    "TRIMTAB_PLAYBOOK__COOLDOWN_HOURS": "1",
    "TRIMTAB_CANARY__STEPS": "0.3, 0.6",
    "TRIMTAB_CANARY__STEP_HOURS": "1",
    "TRIMTAB_CANARY__STEP_EXPOSURES": "20",
    "TRIMTAB_SERVER__CLOCK": "set",
}
TOPICS = {
    "how do I reset my password": "Use the link on the sign-in page.",
    "where is my parcel right now": "Open Orders and press Track.",
    "cancel the subscription please": "Press Cancel under Plan.",
    "what does shipping to Norway cost": "Shipping to Norway costs nine euros.",
    "can I change the delivery address": "Change it under Orders before it ships.",
    "my invoice has the wrong name": "Edit the name under Billing.",
}
CHANGED = {question: f"Since the spring release: {answer}" for question, answer in list(TOPICS.items())[:4]}


class App:
    """An app that answers from the served version and reports what people say, sending again what was not answered."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.now = START
        self.acknowledged: set[str] = set()
        self.waiting: list[dict[str, Any]] = []
        self.kills = 0
        self.count = 0
        self.truth = dict(TOPICS)

    def ask(self, method: str, path: str, body: Any = None, kind: Any = "admin") -> Any:
        """Call the server; when it dies meanwhile, start it and call again."""
        while True:
            try:
                headers = self.server.headers(kind)
                answer = httpx.request(method, self.server.url + path, json=body, headers=headers, timeout=30)
            except httpx.HTTPError:
                self._restart()
                continue
            assert answer.status_code < 300, answer.text
            return answer.json()

    def _restart(self) -> None:
        """Start the server again; a clock that can be set starts anew, so it is told what time it is."""
        self.server.start()
        with contextlib.suppress(httpx.HTTPError):  # killed again meanwhile: the caller's next try finds out
            url, headers = f"{self.server.url}/v1/clock", self.server.headers()
            httpx.put(url, json={"now": self.now.isoformat()}, headers=headers, timeout=30)

    def launch(self) -> None:
        exemplars = [
            {"id": f"x{place}", "input": question, "output": answer}
            for place, (question, answer) in enumerate(TOPICS.items())
        ]
        self.ask("PUT", f"/v1/features/{FEATURE}", {})
        self.ask("POST", f"/v1/features/{FEATURE}/versions", {"exemplars": exemplars})

    def hour(self, answers: int = 30) -> None:
        """Serve an hour, send what happened, let the stages work; a kill may come at any moment of it."""
        served = self.ask("GET", f"/v1/features/{FEATURE}/rollout", kind="ingest")
        for _ in range(answers):
            self._turn(served)
        self._send()
        self.now += timedelta(hours=1)
        self._tick()

    def _turn(self, served: dict[str, Any]) -> None:
        rollout, self.count = served["rollout"], self.count + 1
        user, question = f"user-{self.random.randrange(4000)}", self.random.choice(list(self.truth))
        candidate = rollout.get("candidate_version_id")
        on_trial = candidate is not None and in_candidate(rollout["id"], user, rollout["share"])
        version_id = candidate if on_trial else rollout["stable_version_id"]
        known = {item["input"]: item["output"] for item in served["versions"][version_id].get("exemplars", [])}
        output, right = known.get(question, "I do not know."), self.truth[question]
        at = self.now.isoformat()
        inference_id = derived_id("inference", str(self.count))
        self.waiting.append(
            {
                "type": "inference",
                "id": inference_id,
                "feature": FEATURE,
                "created_at": at,
                "input": question,
                "output": output,
                "version_id": version_id,
                "arm": "candidate" if on_trial else "stable",
                "user_id": user,
            }
        )
        about = {"type": "feedback", "inference_id": inference_id, "created_at": at, "user_id": user}
        self.waiting.append(
            {**about, "id": derived_id("thumb", str(self.count)), "kind": "thumb", "value": float(output == right)}
        )
        if output != right:
            self.waiting.append(
                {**about, "id": derived_id("correction", str(self.count)), "kind": "correction", "text": right}
            )

    def _send(self) -> None:
        """Deliver everything that waits in two batches, the second while a kill may be on its way."""
        half = len(self.waiting) // 2
        for batch in (self.waiting[:half], self.waiting[half:]):
            told = self.ask("POST", "/v1/events", batch, kind="ingest")
            assert told["rejected"] == [], told
            assert told["accepted"] + told["duplicates"] == len(batch)
            self.acknowledged.update(event["id"] for event in batch)
        self.waiting.clear()

    def _tick(self) -> None:
        killer = None
        if self.kills < KILLS and self.random.random() < 0.6:
            self.kills += 1
            killer = threading.Timer(self.random.uniform(0.0, 0.12), self.server.kill)
            killer.start()
        self.ask("PUT", "/v1/clock", {"now": self.now.isoformat()})
        self.ask("POST", "/v1/tick")
        if killer is not None:
            killer.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path, SETTINGS, now=START)
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_the_loop_still_ends_verified(server: ServerProcess) -> None:
    app = App(server, seed=11)
    app.launch()
    for _ in range(6):
        app.hour()
    app.truth.update(CHANGED)
    for _ in range(120):
        app.hour()
        incidents = app.ask("GET", f"/v1/incidents?feature={FEATURE}")["items"]
        if app.kills >= KILLS and incidents and all(item["state"] == "resolved" for item in incidents):
            break
    assert app.kills == KILLS
    incidents = app.ask("GET", f"/v1/incidents?feature={FEATURE}")["items"]
    assert incidents
    assert all(item["resolution"] == "verified" for item in incidents), incidents
    server.stop()
    _everything_once(server.folder, app)


def _everything_once(folder: Path, app: App) -> None:
    store = open_sqlite(folder / "trimtab.db")
    try:
        stored = [row.record.id for row in store.inferences_after(0, 1_000_000)]
        stored += [row.record.id for row in store.feedback_after(0, 1_000_000)]
        assert len(stored) == len(set(stored))
        assert set(stored) == app.acknowledged
        history = store.rollout_history("default", FEATURE)
        assert [item.revision for item in history] == list(range(1, len(history) + 1))
        for row in store.runs("default", Query(limit=1000)).rows:
            run = store.run("default", row.record.id)
            assert run is not None
            names = [step.name for step in run.steps]
            assert len(names) == len(set(names)), names
            assert run.state in ("done", "failed")
        changes = [row.record for row in store.changes("default", Query(limit=1000)).rows]
        assert len({change.run_id for change in changes}) == len(changes)
    finally:
        store.close()
