"""A canary through the act stage, by what its answers say rather than its votes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.loop import FEATURE, PROJECT
from tests.unit.act.test_stage import Desk
from trimtab.ids import derived_id
from trimtab.records import Inference
from trimtab.redact.wall import seal_all
from trimtab.stats.bucket import in_candidate
from trimtab.store.ports import Arrival


class Counter:
    """A desk with a change in its canary, and answers without votes."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder)
        self.desk.until("canary")

    def serve(self, users: int, *, first: int = 0, swap: bool = False, **of_candidate: Any) -> None:
        """Serve each user an answer, split as the SDKs split, or everybody the candidate where `swap`."""
        rollout, desk = self.desk.rollout, self.desk
        rows = []
        for place in range(first, first + users):
            user = f"guest-{place}"
            new = swap or in_candidate(rollout.id, user, rollout.share)
            told = of_candidate if new else {}
            rows.append(
                Inference(
                    id=derived_id(user, desk.now.isoformat()), feature=FEATURE, created_at=desk.now, input="?",
                    user_id=user, version_id=rollout.candidate_version_id if new else rollout.stable_version_id,
                    arm="candidate" if new else "stable", **{"output": "fine", **told},
                )
            )  # fmt: skip
        sealed = seal_all(desk.world.redactor, rows)
        desk.store.append([Arrival(PROJECT, row, desk.now) for row in sealed])
        while desk.world.tick():
            pass


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    made = Counter(tmp_path)
    yield made
    made.desk.world.close()


def test_candidate_that_fails_is_taken_back_and_the_incident_names_the_measure(counter: Counter) -> None:
    stable = counter.desk.rollout.stable_version_id
    counter.serve(200, error="timeout", output=None)
    change = counter.desk.change
    assert (change.state, change.canary["stopped_by"]) == ("rolled_back", "error")
    assert change.reason.startswith("guardrail error: ")
    assert counter.desk.rollout.candidate_version_id is None
    assert counter.desk.rollout.stable_version_id == stable
    assert counter.desk.incident.detail["rolled_back_by"] == "error"


def test_split_that_is_not_as_meant_pauses_until_a_person_has_looked(counter: Counter) -> None:
    counter.serve(100, swap=True)
    desk = counter.desk
    assert (desk.change.state, desk.change.canary["paused_by"]) == ("paused", "split")
    assert desk.change.reason.startswith("traffic is not split as meant")
    for _ in range(10):  # votes that would prove the candidate do not serve it to everyone meanwhile
        desk.hour(count=100)
    assert desk.change.state == "paused"
    desk.decisions.resume(PROJECT, desk.change.id, desk.now)
    counter.serve(50, first=500)
    assert desk.change.state != "paused"


def test_canary_nobody_is_served_stays_where_it_is_and_says_so(counter: Counter) -> None:
    desk, share = counter.desk, counter.desk.rollout.share
    for _ in range(3):
        desk.world.clock.advance(timedelta(hours=12))
        desk.world.tick()
    assert (desk.change.state, desk.rollout.share) == ("canary", share)
    assert desk.change.reason.startswith("no data: no answer of the candidate for")
    counter.serve(100)
    assert not desk.change.reason.startswith("no data")
