"""Declared watches that are killed again and again end as watches that never were: all is heard, nothing twice."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lives import lived
from tests.crash.watcher import NOW, SETTINGS
from trimtab.detect.rules.stage import CURSORS, RulesStage
from trimtab.ids import derived_id
from trimtab.records import Inference, Outcome, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Query, Writes

ROOT = Path(__file__).parents[2]
ROWS = 400


def fill(folder: Path) -> None:
    """Store answers and votes that get worse halfway and then better again, to be heard from the first on."""
    store = open_sqlite(folder / "hot.db")
    dice = random.Random(5)
    answers, outcomes = [], []
    for place in range(ROWS):
        at = NOW - timedelta(minutes=2 * (ROWS - place) + 60)
        wrong = dice.random() < (0.7 if ROWS // 3 < place < ROWS // 2 else 0.03)
        key = derived_id("answer", str(place))
        told: dict[str, Any] = {
            "feature": "support",
            "created_at": at,
            "version_id": "v1",
            "user_id": f"u{place % 350}",
        }
        answers.append(
            Inference(
                id=key, input="it crashes" if wrong else "where is it", error="timeout" if wrong else None, **told
            )
        )
        said: dict[str, Any] = {"vote": float(wrong), "voter_id": told["user_id"], "voted_at": at, "p_bad": 0.5}
        judged: dict[str, Any] = {"judged_at": at, "confidence": 1.0, "tier": "A", "evidence": []}
        segments = {"plan": dice.choice(["free", "gold"])}
        outcomes.append(Outcome(inference_id=key, segments=segments, **told, **said, **judged))
    store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    store.append([Arrival("p", Redacted(one, "test"), one.created_at) for one in answers])
    store.commit({"p": Writes(outcomes=outcomes)}, cursors=dict.fromkeys(CURSORS.values(), 1))
    store.close()


def watch(folder: Path, *points: str) -> list[int]:
    """Let the watches hear everything through their kills and say how each life ended."""
    return lived("tests.crash.watcher", folder, *points)


def state(folder: Path) -> dict[str, list[Any]]:
    store = open_sqlite(folder / "hot.db")
    found: dict[str, list[Any]] = {
        "monitors": [each for name in SETTINGS.monitors for each in store.monitors("p", None, name)],
        "incidents": sorted((row.record for row in store.incidents("p", Query()).rows), key=lambda each: each.id),
        "cursors": [store.cursor(name) for name in CURSORS.values()],
    }
    store.close()
    connection = sqlite3.connect(folder / "hot.db")
    try:
        found["votes"] = connection.execute("SELECT * FROM votes ORDER BY 1, 2, 3").fetchall()
    finally:
        connection.close()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_watches_killed_at_random_commits_end_in_the_same_state(tmp_path: Path, seed: int) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    fill(calm)
    shutil.copytree(calm, rough)
    assert watch(calm) == [0]
    dice = random.Random(seed)
    points = [f"{dice.choice(['before', 'inside', 'after'])}:{dice.randrange(1, 6)}" for _ in range(6)]
    ends = watch(rough, *points)
    assert ends[-1] == 0
    assert -signal.SIGKILL in ends
    expected, found = state(calm), state(rough)
    assert found["votes"] == expected["votes"]
    assert found["cursors"] == expected["cursors"]
    assert found["monitors"] == expected["monitors"]
    assert found["incidents"] == expected["incidents"]
    assert {each.rule for each in found["incidents"]} >= {"errors", "line", "learned"}


def test_what_was_not_written_is_heard_again(tmp_path: Path) -> None:
    fill(tmp_path)
    store = open_sqlite(tmp_path / "hot.db")
    stage = RulesStage(store, SETTINGS)
    stage.tick(NOW)
    commit, store.commit = store.commit, broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk"):
        stage.tick(NOW)
    store.commit = commit  # type: ignore[method-assign]
    while stage.tick(NOW):
        pass
    [monitor] = store.monitors("p", None, "errors")
    assert monitor.votes == ROWS - 1
    store.close()


def broken(*_: Any, **__: Any) -> None:
    raise OSError("the disk is full")
