"""What was acknowledged is stored, whatever moment the process dies at."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trimtab.store.hot.sqlite import open_sqlite

CHILD = Path(__file__).with_name("store_appender.py")
SOURCE = Path(__file__).parents[2] / "src"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def run_and_kill(place: Path | str, first: int, lot: int, lines: int) -> list[str]:
    """Kill the child after it has told `lines` ids, in the middle of whatever it does then; return all it told."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(place), str(first), str(lot)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert child.stdout is not None
    with child.stdout as told:
        acknowledged = [told.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        acknowledged.extend(told.readlines())
    assert child.wait() == -signal.SIGKILL
    return [line.strip() for line in acknowledged if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_event_survives_kill(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "hot.db"
    acknowledged: list[str] = []
    for life in range(3):
        # Each life begins with numbers that the one before may have stored unacknowledged.
        first = max(0, len(acknowledged) - 40)
        told = run_and_kill(path, first, dice.choice([1, 7, 50]), dice.randrange(1, 400))
        acknowledged.extend(told)
        assert told, life
    store = open_sqlite(path)
    try:
        served, said = store.inferences_after(0, 1_000_000), store.feedback_after(0, 1_000_000)
        exposed = store.exposures("p", "answer", DAY, DAY + timedelta(minutes=1))
        store.check()
    finally:
        store.close()
    stored = Counter([row.record.id for row in served] + [row.record.id for row in said])
    assert set(acknowledged) <= set(stored)
    assert set(stored.values()) == {1}
    assert sum(count.inferences for count in exposed) == len(served)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
