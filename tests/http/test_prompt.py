"""A weak prompt, found by votes and mended by GEPA, over HTTP from the first question to the proof."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import NOW, Live, live
from tests.scripted_model import FACTS, ScriptedModel, answered, question
from trimtab.clock import SetClock
from trimtab.config import Canary, Lake, Monitoring, Optimizer, Playbook, Runner, Settings
from trimtab.ids import derived_id
from trimtab.stats.bucket import in_candidate

WEAK = "You answer for a shop of household goods. Be kind and brief."


def settings(model: ScriptedModel, **more: Any) -> Settings:
    return Settings(
        monitoring=Monitoring(reference_rate=0.1, horizon_votes=2000),
        playbook=Playbook(actions=("prompt",), cooldown_hours=1),
        canary=Canary(steps=(0.2, 0.5), step_hours=1, step_exposures=20),
        runner=Runner(kind="llm", base_url=model.url, model="support"),
        optimizer=Optimizer(kind="gepa", base_url=model.url, model="reflect", min_examples=30, **more),
        lake=Lake(enabled=False),
    )


@dataclass
class Shop:
    """The app, its users, and what they have said so far."""

    server: Live
    clock: SetClock
    model: ScriptedModel
    count: int = 0
    votes: int = 0
    started: Any = NOW
    random: random.Random = field(default_factory=lambda: random.Random(3))

    def open(self, client: httpx.Client) -> None:
        client.put("/v1/features/support").raise_for_status()
        made = client.post("/v1/features/support/versions", json={"messages": [{"role": "system", "content": WEAK}]})
        made.raise_for_status()

    def hour(self, client: httpx.Client, answers: int = 40) -> None:
        """Serve for an hour: each user gets what the rollout says, and says whether it was right."""
        told = client.get("/v1/features/support/rollout").json()
        rollout, versions = told["rollout"], told["versions"]
        events: list[dict[str, Any]] = []
        for _ in range(answers):
            self.count += 1
            user = f"user-{self.random.randrange(2000)}"
            candidate = rollout.get("candidate_version_id")
            tried = bool(candidate) and in_candidate(rollout["id"], user, rollout["share"])
            version_id = candidate if tried else rollout["stable_version_id"]
            system = " ".join(message["content"] for message in versions[version_id].get("messages", []))
            topic, asked = question(self.random.randrange(600))
            output = answered(system, asked)
            at = self.clock.now().isoformat()
            answer = derived_id("answer", str(self.count))
            events.append(
                {"type": "inference", "id": answer, "feature": "support", "created_at": at, "input": asked,
                 "output": output, "user_id": user, "version_id": version_id,
                 "arm": "candidate" if tried else "stable"}
            )  # fmt: skip
            if self.random.random() < 0.7:
                events += self.words(answer, user, at, output, FACTS[topic])
        client.post("/v1/events", json=events).raise_for_status()
        self.server.engine.settle()
        self.clock.advance(timedelta(hours=1))

    def hours(self, client: httpx.Client, count: int) -> None:
        for _ in range(count):
            self.hour(client)

    def words(self, answer: str, user: str, at: str, output: str, right: str) -> list[dict[str, Any]]:
        self.votes += 1
        common = {"type": "feedback", "created_at": at, "inference_id": answer, "user_id": user}
        vote = {**common, "id": derived_id("vote", answer), "kind": "thumb", "value": float(output == right)}
        if output == right:
            return [vote]
        return [vote, {**common, "id": derived_id("word", answer), "kind": "correction", "text": right}]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as scripted:
        yield scripted


def items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(path).json()["items"]
    return listed


def test_a_weak_prompt_is_found_rewritten_tried_and_proven_without_a_person(
    tmp_path: Path, model: ScriptedModel
) -> None:
    clock = SetClock(NOW)
    with live(tmp_path, settings(model), clock=clock) as server, server.client() as client:
        shop = Shop(server, clock, model)
        shop.open(client)
        changes: list[dict[str, Any]] = []
        for _ in range(24 * 14):
            shop.hour(client)
            changes = items(client, "/v1/changes")
            if changes and changes[0]["state"] == "verified":
                break
        [incident] = items(client, "/v1/incidents")
        change = changes[0]
        run = client.get(f"/v1/runs/{change['run_id']}").json()
        build = next(step["detail"] for step in run["steps"] if step["name"] == "build")
        told = {
            "hours": (clock.now() - NOW) / timedelta(hours=1),
            "votes": shop.votes,
            "calls": model.asked,
            "build": build,
            "times": {name: at for name, at in change.items() if name.endswith("_at")},
            "runs": [(item["playbook"], item["state"]) for item in items(client, "/v1/runs")],
            "changes": [(item["state"], item.get("reason")) for item in changes],
        }
        assert change["state"] == "verified", told
        assert incident["resolution"] == "verified", told
        assert (change["kind"], build["search"], build["changed"]) == ("prompt", "gepa", ["messages"]), told
        assert build["score_before"] < build["score_after"] == 1.0, told
        assert model.asked["support"] + model.asked["reflect"] >= build["calls"] > 0, told
        rollout = client.get("/v1/features/support/rollout").json()
        served = rollout["versions"][change["candidate_version_id"]]["messages"][0]["content"]
        assert WEAK in served
        assert all(fact in served for fact in FACTS.values())
        assert rollout["rollout"]["stable_version_id"] == change["candidate_version_id"]


def test_a_run_that_a_person_cancels_stops_between_calls_and_changes_nothing(
    tmp_path: Path, model: ScriptedModel
) -> None:
    clock = SetClock(NOW)
    told = settings(model)
    with live(tmp_path, told, clock=clock) as server, server.client() as client:
        shop = Shop(server, clock, model)
        shop.open(client)
        model.hold.clear()
        hours = threading.Thread(target=shop.hours, args=(client, 4))
        hours.start()
        assert model.reached.wait(30)
        with server.client() as admin:
            [run] = items(admin, "/v1/runs")
            assert (run["state"], run["playbook"]) == ("running", "prompt")
            answer = admin.post(f"/v1/runs/{run['id']}/cancel")
            assert answer.json()["state"] == "cancelled"
            model.hold.set()
            hours.join(60)
            after = admin.get(f"/v1/runs/{run['id']}").json()
            assert (after["state"], after["error"]) == ("cancelled", "cancelled by hand")
            assert [step["name"] for step in after["steps"]] == ["gather"]
            assert all(change["run_id"] != run["id"] for change in items(admin, "/v1/changes"))
            assert admin.post(f"/v1/runs/{run['id']}/cancel").status_code == 409
