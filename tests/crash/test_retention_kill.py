"""Whatever moment it dies at while rows leave: each acknowledged row is in the hot store or the lake, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.hot_store_sample import P
from trimtab.clock import SystemClock
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.history import history
from trimtab.store.lake.port import LAKE_TABLES, LakeTable, Span
from trimtab.store.ports import HotStore, Query, Target
from trimtab.store.vectors.port import Where
from trimtab.store.vectors.sqlite import open_sqlite_vectors

WORKER = Path(__file__).with_name("retention_worker.py")
ROOT = Path(__file__).parents[2]
KILLS = 7


def life(folder: Path, seed: int, dice: random.Random) -> list[str]:
    """Let it live for some rounds and a moment more, kill it, and return the ids it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )
    assert child.stdout is not None
    told: list[str] = []
    rounds, within_s = dice.randrange(5, 9), dice.choice([0.01, 0.02, 0.03, 0.25])  # mostly while rows leave
    while told.count("leaving\n") < rounds:
        told.append(child.stdout.readline())
        assert told[-1], "the worker ended by itself"
    time.sleep(dice.random() * within_s)  # the moment of death is the test's input
    child.send_signal(signal.SIGKILL)
    told += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    # A line that was cut off names a lot that was durable before it was told.
    return [word for line in told for word in line.split() if len(word) == 36]


def ids(hot: HotStore, lake: Any, table: LakeTable) -> list[str]:
    return [row.record.id for lot in history(hot, lake, table, Span()) for row in lot]


@pytest.mark.parametrize("seed", range(2))
def test_no_row_is_lost_or_doubled_when_it_dies_while_rows_leave(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    acknowledged: list[str] = []
    for number in range(KILLS):
        acknowledged += life(tmp_path, seed * 100 + number, dice)
    hot, lake = open_sqlite(tmp_path / "hot.db"), open_lake(tmp_path / "lake", SystemClock())
    vectors = open_sqlite_vectors(tmp_path / "vectors.db")
    try:
        tables: tuple[LakeTable, LakeTable] = ("inferences", "feedback")
        found = {table: ids(hot, lake, table) for table in tables}
        everything = found["inferences"] + found["feedback"]
        assert len(everything) == len(set(everything))
        assert set(acknowledged) <= set(everything)
        marks = hot.purge_marks()
        for kind in tables:
            held = hot.hot_span(kind).rows
            assert held < len(found[kind])
            assert marks[kind].rows + held == len(found[kind])
        served = {row.record.id for row in hot.inferences_after(0, 10_000)}
        words = {row.record.id for row in hot.feedback_after(0, 10_000)}
        assert all(lake.verify(table, hot).sound for table in LAKE_TABLES)
        # Nothing that was derived from what has left is left.
        joined = hot.joined(P, found["feedback"])
        assert set(joined) <= words
        assert set(joined.values()) <= served
        assert hot.orphans(P, Query()).rows == []
        named = hot.resolve(P, [Target("external", f"e{n}") for n in range(100)])
        assert set(named.values()) <= served
        turns = hot.turns(P, [f"s{n}" for n in range(9)], limit=10_000)
        assert {turn.inference_id for each in turns.values() for turn in each} <= served
        assert vectors.count(P, "space", Where(kind="feedback")) <= len(words)
    finally:
        hot.close()
        vectors.close()
