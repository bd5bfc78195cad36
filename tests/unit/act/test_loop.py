from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop import FEATURE, PROJECT, START, LoopWorld
from trimtab.records import Exemplar, Version
from trimtab.store.ports import Query

QUESTIONS = {f"How do I do thing {place}?": f"Do it like this: {place}" for place in range(20)}


def memory(truth: dict[str, str]) -> Version:
    exemplars = [
        Exemplar(id=f"x{place}", input=question, output=answer)
        for place, (question, answer) in enumerate(sorted(truth.items()))
    ]
    return Version(feature=FEATURE, created_at=START, exemplars=exemplars)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LoopWorld]:
    made = LoopWorld(tmp_path)
    yield made
    made.close()


def changed(truth: dict[str, str], count: int) -> dict[str, str]:
    """Change what is right for `count` questions."""
    return {
        question: f"{answer}, since the new release" if place < count else answer
        for place, (question, answer) in enumerate(sorted(truth.items()))
    }


def test_one_real_signal_becomes_one_verified_improvement(world: LoopWorld) -> None:
    first = world.launch(memory(QUESTIONS))
    for _ in range(5):
        world.day(QUESTIONS)
    assert not world.store.incidents(PROJECT, Query()).rows

    broken = changed(QUESTIONS, 10)
    for _ in range(20):
        world.day(broken)
        incidents = [row.record for row in world.store.incidents(PROJECT, Query(newest=False)).rows]
        if incidents and all(incident.state == "resolved" for incident in incidents):
            break

    incidents = [row.record for row in world.store.incidents(PROJECT, Query(newest=False)).rows]
    assert incidents
    assert incidents[0].version_id == first.id
    assert all((incident.state, incident.resolution) == ("resolved", "verified") for incident in incidents)
    assert incidents[0].onset_at <= incidents[0].first_signal_at <= incidents[0].detected_at
    changes = [row.record for row in world.store.changes(PROJECT, Query(newest=False)).rows]
    assert changes[0].state == "verified"
    assert changes[0].gate is not None
    rollout = world.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.stable_version_id != first.id
    runs = world.store.runs(PROJECT, Query()).rows
    run = world.store.run(PROJECT, runs[0].record.id)
    assert run is not None
    assert [step.name for step in run.steps] == ["gather", "build", "gate", "expose"]


def test_nothing_wrong_changes_nothing(world: LoopWorld) -> None:
    first = world.launch(memory(QUESTIONS))
    for _ in range(20):
        world.day(QUESTIONS)
    rollout = world.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert (rollout.stable_version_id, rollout.revision) == (first.id, 1)
    assert not world.store.runs(PROJECT, Query()).rows
