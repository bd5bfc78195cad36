"""Whatever moment shipping, compaction or an erasure dies at: no row is lost, none comes twice, nobody comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.contract import hot_store_sample as a
from trimtab.clock import SystemClock
from trimtab.records import Inference
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import Span
from trimtab.store.ports import Stored

WORKER = Path(__file__).with_name("lake_worker.py")
SOURCE = Path(__file__).parents[2] / "src"
KILLS = 11
CLOCK = SystemClock()


def start(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    assert child.stdout is not None
    child.stdout.close()
    child.wait()


def after_lines(child: subprocess.Popen[str], lines: int, within_s: float, dice: random.Random) -> bool:
    """Wait until the child has told so many lines, then a random moment more; say whether it still runs."""
    assert child.stdout is not None
    for _ in range(lines):
        if not child.stdout.readline():
            return False
    time.sleep(dice.random() * within_s)  # the moment of death is the test's input
    return child.poll() is None


def seqs(lake: DeltaLake) -> list[int]:
    return sorted(row.seq for batch in lake.read("inferences", Span()) for row in batch)


def inference(number: int, **fields: Any) -> Inference:
    return a.inference(created_at=a.NOW + timedelta(days=number % 5), user_id=f"u{number % 4}", **fields)


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_shipped_once_through_kills_beside_a_compactor(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    hot = open_sqlite(tmp_path / "hot.db")
    lake = open_lake(tmp_path / "lake", CLOCK)
    compactor = start("compact", lake.place.uri)
    killed = 0
    try:
        while killed < KILLS:
            hot.append([a.arrival(inference(number, input="x" * 200)) for number in range(200)])
            shipper = start("ship", tmp_path / "hot.db", lake.place.uri, dice.choice([3, 10, 40]))
            killed += after_lines(shipper, dice.randrange(1, 5), 0.03, dice)
            kill(shipper)
            if dice.random() < 0.3:
                kill(compactor)
                compactor = start("compact", lake.place.uri)
    finally:
        kill(compactor)
    try:
        while rows := hot.inferences_after(lake.cursor("inferences"), 1000):
            lake.append("inferences", rows, after=lake.cursor("inferences"))
        there = [row.seq for row in hot.inferences_after(0, 100_000)]
        assert seqs(lake) == there
        assert lake.verify("inferences", hot).sound
        lake.compact("inferences")
        lake.vacuum("inferences", retention_hours=0)
        assert seqs(lake) == there
        assert lake.verify("inferences", hot).spare_files == 0
    finally:
        hot.close()


def filled(folder: Path, commits: int, **fields: Any) -> DeltaLake:
    lake = open_lake(folder / "lake", CLOCK)
    for commit in range(commits):
        numbers = range(commit * 10 + 1, commit * 10 + 11)
        lake.append("inferences", [Stored(n, "p", inference(n, **fields)) for n in numbers], after=commit * 10)
    return lake


@pytest.mark.parametrize("seed", range(2))
def test_a_compaction_that_dies_changes_no_row(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    lake = filled(tmp_path, 5)
    for life in range(6):
        cursor = lake.cursor("inferences")
        for start_ in range(cursor + 1, cursor + 101, 10):
            rows = [Stored(n, "p", inference(n)) for n in range(start_, start_ + 10)]
            lake.append("inferences", rows, after=start_ - 1)
        child = start("compact", lake.place.uri)
        assert after_lines(child, 1, 0.08, dice), life
        kill(child)
        assert seqs(lake) == list(range(1, cursor + 101))
    assert lake.verify("inferences", None).sound


WORDS = "secret-of-the-one-who-left"
PERSON = "person-to-be-erased"


def holds(folder: Path, text: str) -> list[Path]:
    """Return the files in which the text stands, as raw bytes or, since columns are compressed, as a value."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = file.read_bytes()
        columns = pl.read_parquet(file, hive_partitioning=False).to_dicts() if file.suffix == ".parquet" else []
        if text.encode() in raw or text in str(columns):
            found.append(file)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_an_erasure_that_dies_is_ended_by_the_next_and_nobody_comes_back(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    lake = filled(tmp_path, 4)
    theirs = [Stored(100 + n, "p", a.inference(user_id=PERSON, input=WORDS, output=WORDS)) for n in range(40)]
    lake.append("inferences", theirs, after=40)
    about = theirs[0].record
    lake.append("feedback", [Stored(1, "p", a.correction(about, text=WORDS, user_id="reviewer"))], after=0)
    lake.append("outcomes", [Stored(1, "p", a.outcome(about))], after=0)
    lake.compact("inferences")
    folder = Path(lake.place.uri)
    assert holds(folder, WORDS)
    assert holds(folder, PERSON)
    child = start("erase", folder, "p", PERSON)
    after_lines(child, 1, 0.12, dice)
    kill(child)
    others = [seq for seq in seqs(lake) if seq < 100]
    assert others == list(range(1, 41))
    lake.erase("p", [PERSON])
    assert holds(folder, WORDS) == []
    assert holds(folder, PERSON) == []
    assert seqs(lake) == others
    again = [row._replace(seq=row.seq + 100) for row in theirs]
    assert lake.append("inferences", again, after=lake.cursor("inferences")) == 0
    assert holds(folder, WORDS) == []
    assert lake.verify("inferences", None).sound


def test_an_append_that_died_leaves_no_words_of_the_erased(tmp_path: Path) -> None:
    lake = filled(tmp_path, 1)
    folder = Path(lake.place.uri) / "inferences"
    # What a kill between writing a file and committing it leaves: words in a file that no log names.
    stray = next(folder.glob("day=*/*.parquet"))
    orphan = stray.with_name("part-00000-dead-c000.snappy.parquet")
    pl.DataFrame({"seq": [999], "input": [WORDS]}).write_parquet(orphan)
    assert lake.verify("inferences", None).spare_files == 1
    lake.erase("p", [PERSON])
    assert not orphan.exists()
    assert seqs(lake) == list(range(1, 11))
