"""An erasure that is killed again and again ends as one that never was: nothing is left, nothing is lost or returns."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import household as home
from tests.crash.eraser import LATER
from trimtab.clock import SetClock, SystemClock
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.port import LAKE_TABLES, Span
from trimtab.store.ports import Query

ROOT = Path(__file__).parents[2]
PLACES = ("versions", "vectors", "lake", "spaces")
TABLES = {
    "inferences": "project_id, id, input, output, user_id",
    "feedback": "project_id, id, text, user_id",
    "opinions": "project_id, inference_id, feedback_id, user_id",
    "outcomes": "project_id, inference_id, p_bad, vote, voter_id, evidence",
    "versions": "id, exemplars",
    "rollouts": "feature, revision, stable_version_id",
    "cases": "id, input",
    "users": "id, properties",
    "joins": "feedback_id, inference_id",
    "turns": "session_id, inference_id",
    "sessions": "session_id, closed",
    "tombstones": "project_id, hash, kind",
    "erasing": "project_id, key",
    "backfills": "scope, key",
    "exposures": "feature, minute, inferences",
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    home.filled(folder)
    return folder


def life(folder: Path, user: str, point: str) -> int:
    """Run one life of an erasure and return how it ended."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.crash.eraser", str(folder), user, point],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode in (0, -signal.SIGKILL), answer.stderr
    return answer.returncode


def state(folder: Path) -> dict[str, list[Any]]:
    connection = sqlite3.connect(folder / "trimtab.db")
    try:
        found = {
            table: sorted(connection.execute(f"SELECT {columns} FROM {table}").fetchall(), key=repr)
            for table, columns in TABLES.items()
        }
    finally:
        connection.close()
    lake = open_lake(folder / "lake", SystemClock())
    for table in LAKE_TABLES[:2]:
        rows = [row.record.id for batch in lake.read(table, Span()) for row in batch]
        assert len(rows) == len(set(rows))
        found[f"lake {table}"] = sorted(rows)
        assert lake.verify(table, None).sound
    lake.close()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_an_erasure_killed_anywhere_ends_as_one_that_was_not(tmp_path: Path, full: Path, seed: int) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    shutil.copytree(full, calm)
    shutil.copytree(full, rough)
    dice = random.Random(seed)
    user = home.learners()[seed % 2]
    points = [f"write:{dice.randrange(1, 30)}", f"{dice.choice(['before', 'after'])}:{dice.choice(PLACES)}"]
    points += [f"after:{PLACES[seed]}", f"write:{dice.randrange(1, 12)}", f"ms:{dice.randrange(50, 900)}"]
    ends = [life(rough, user, point) for point in points]
    assert ends[0] == -signal.SIGKILL
    assert life(rough, user, "none") == 0
    assert life(calm, user, "none") == 0
    assert state(rough) == state(calm)
    for folder in (rough, calm):
        assert home.holding(folder, user[5:]) == []
        with home.opened(folder, clock=SetClock(LATER)) as engine:
            [*receipts] = (row.record for row in engine.store.erasures(home.PROJECT, Query()).rows)
            assert {one.state for one in receipts} == {"done"}
            counted = [one.removed["hot"] for one in receipts if one.removed["hot"]]
            assert [(one["inferences"], one["feedback"]) for one in counted] == [(5, 9)]
            mine = [event for event in home.events() if event.get("user_id") == user]
            assert {one.code for one in home.send(engine, mine).rejected} == {"erased"}
            engine.settle()
        assert home.holding(folder, user[5:]) == []
