"""Killed in the middle of any playbook, an engine ends every run, does each thing once, and its audit is whole.

A dozen kills; `benches/bench_kills.py` makes a hundred. Exemplars, and what comes after a run, are killed at every
commit by `test_step_kill.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.playbook_lives import ACTIONS, EFFECTS
from tests.crash.playbook_worlds import chosen, faults, moments, world

STEPS = ["gather", "build", "gate", "expose"]
KILLS = 3


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "exemplar"])
def test_killed_in_a_playbook_it_ends_as_if_never_killed(tmp_path: Path, action: str) -> None:
    straight = world(tmp_path / "straight", action)
    done = [f"do_{name}" for name in EFFECTS]
    names = [[*done, "close"], STEPS] if action == "finetune" else [[*done, *STEPS]]
    assert [[step["name"] for step in run["steps"]] for run in straight.end.runs] == names
    assert {run["state"] for run in straight.end.runs} == {"done"}
    assert straight.end.reviews
    assert straight.end.deliveries
    assert straight.trained == len(straight.end.jobs) == 1
    assert straight.repeated == 0

    (points,) = chosen(straight.trace, KILLS, 1, seed=ACTIONS.index(action))
    killed = world(tmp_path / "killed", action, points)
    assert faults(straight, killed, points) == [], points
    # Deliveries come at least once, under one id: each that came again was killed between sending and writing it down.
    assert killed.repeated <= sum(point in ("before:delivered", "inside:delivered") for point in points)


def test_points_are_drawn_of_every_step_and_lie_in_the_order_of_a_life() -> None:
    trace = ["act", "gather", "act", "build", "gate", "expose", "delivered"]
    worlds = chosen(trace, 12, 3, seed=1)
    names = {point.partition(":")[2] for points in worlds for point in points}
    assert set(STEPS) <= names
    assert sum(map(len, worlds)) == len({point for points in worlds for point in points}) == 12
    order = moments(trace)
    assert all(points == sorted(points, key=order.index) for points in worlds)
    assert chosen(trace, 12, 3, seed=1) == worlds != chosen(trace, 12, 3, seed=2)
