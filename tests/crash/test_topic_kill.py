"""Whatever moment a run dies at, all of it is there or nothing, and after the restart it is begun again and done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tests.topic_world import NOW, P, TopicWorld
from trimtab.store.ports import Query

CHILD = Path(__file__).with_name("topic_seeker.py")
ROOT = Path(__file__).parents[2]


def run_and_kill(folder: Path, first: int, lines: int, moments: float) -> list[str]:
    """Kill the child `moments` seconds after it has told `lines` lines; return all it told."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )
    assert child.stdout is not None
    with child.stdout as told:
        acknowledged = [told.readline() for _ in range(lines)]
        threading.Event().wait(moments)  # the seeded moment of the kill: nothing is awaited
        child.send_signal(signal.SIGKILL)
        acknowledged.extend(told.readlines())
    assert child.wait() == -signal.SIGKILL
    return [line.strip() for line in acknowledged if line.endswith("\n")]


@pytest.mark.slow
def test_a_run_is_whole_or_not_there_and_begins_again(tmp_path: Path) -> None:
    dice = random.Random(0)
    for life in range(5):
        # The first line is the run asked for: the kill comes while texts are read, searched, or committed.
        told = run_and_kill(tmp_path, 10 * life, dice.choice([1, 1, 3]), dice.uniform(0, 3.5))
        world = TopicWorld(tmp_path)
        try:
            rows = [row.record for row in world.store.topic_runs(P, Query()).rows]
            done = [run for run in rows if run.state == "done"]
            asked = {line.split()[1] for line in told if line.startswith("asked")}
            assert asked <= {run.id for run in rows}
            assert {line.split()[1] for line in told if line.startswith("done")} <= {run.id for run in done}
            assert {run.state for run in rows} <= {"asked", "running", "done"}
            for feature in (None, "shop"):
                topics = world.store.topics(P, feature, ["live"])
                newest = max(done, key=lambda run: run.started_at or NOW) if done else None
                assert {topic.found_at for topic in topics} <= ({newest.started_at} if newest else set())
                survey = next((each for each in newest.surveys if each.feature == feature), None) if newest else None
                assert len(topics) == (survey.topics if survey else 0)
                known = {topic.id for topic in world.store.topics(P, feature)}
                places = world.store.topic_places(P, feature)
                assert {place.topic_id for place in places if place.topic_id} == known
                members = [key for place in places for key in place.feedback_ids if place.topic_id not in gone(world)]
                assert len(members) == len(set(members)) == (survey.texts if survey else 0)
        finally:
            world.close()
    world = TopicWorld(tmp_path)
    stage = world.stage(vectors=False)
    now = NOW + timedelta(days=60)
    while world.store.open_topic_runs(1):
        stage.tick(now)
    world.close()
    again = TopicWorld(tmp_path)
    assert {row.record.state for row in again.store.topic_runs(P, Query()).rows} == {"done"}
    again.close()


def gone(world: TopicWorld) -> set[str]:
    return {topic.id for feature in (None, "shop") for topic in world.store.topics(P, feature, ["gone"])}
