"""Rows a second of the store's durable append, beside the driver's bare executemany of the same rows.

Run: `PYTHONPATH=src python benches/bench_store_append.py [--pairs 7] [--rows 20000] [--commit 1000] [--out FILE]`.

The yardstick is one table with the same columns, page size, journal and sync, without indexes but the unique key, fed
with rows made beforehand. The store gets records and does all its work: row encoding, hash of the input, duplicates,
both indexes, counters, commit. Pairs alternate, so that a busy neighbour slows both.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.ids import new_id
from trimtab.records import Inference, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival
from trimtab.store.schema import INFERENCES

START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = [f"word{number}" for number in range(2_000)]


def arrivals(count: int, seed: int) -> list[Arrival]:
    """Return inferences of about one kilobyte, with version, user, session and a tag."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        now = START + timedelta(milliseconds=number)
        served = Inference(
            id=new_id(now),
            feature=dice.choice(["answer", "summary", "search"]),
            created_at=now,
            input=" ".join(dice.choices(WORDS, k=60)),
            output=" ".join(dice.choices(WORDS, k=60)),
            version_id="v_0123456789abcdef01234567",
            arm="stable",
            model="small-1",
            user_id=f"user-{dice.randrange(5_000)}",
            session_id=f"session-{dice.randrange(20_000)}",
            tags={"language": "en"},
            latency_ms=dice.random() * 900,
            input_tokens=80,
            output_tokens=90,
        )
        made.append(Arrival("default", Redacted(served, "bench"), now))
    return made


def raw(folder: Path, lots: list[list[list[object]]]) -> tuple[float, float]:
    """Return seconds of wall and CPU time of the yardstick."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    names = INFERENCES.inserted
    connection.execute(f"CREATE TABLE t (seq INTEGER PRIMARY KEY, {', '.join(names)}, UNIQUE (project_id, id))")
    statement = f"INSERT INTO t ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    began, used = time.perf_counter(), time.process_time()
    for lot in lots:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, lot)
        connection.execute("COMMIT")
    taken = time.perf_counter() - began, time.process_time() - used
    connection.close()
    return taken


def store(folder: Path, lots: list[list[Arrival]]) -> tuple[float, float]:
    """Return seconds of wall and CPU time of the store."""
    opened = open_sqlite(folder / "hot.db")
    began, used = time.perf_counter(), time.process_time()
    for lot in lots:
        opened.append(lot)
    taken = time.perf_counter() - began, time.process_time() - used
    opened.close()
    return taken


def pair(events: list[Arrival], commit: int) -> dict[str, float]:
    """Run both once and return rows a second and CPU microseconds a row."""
    lots = [events[start : start + commit] for start in range(0, len(events), commit)]
    rows = [
        [INFERENCES.row(each.project_id, each.event.record, 0, "bench", "0" * 64) for each in lot]  # type: ignore[arg-type]
        for lot in lots
    ]
    with tempfile.TemporaryDirectory() as name:
        bare, bare_cpu = raw(Path(name), rows)
        ours, ours_cpu = store(Path(name), lots)
    count = len(events)
    return {
        "raw_rows_per_s": count / bare,
        "store_rows_per_s": count / ours,
        "ratio": bare / ours,
        "raw_cpu_us": bare_cpu / count * 1e6,
        "store_cpu_us": ours_cpu / count * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--commit", type=int, default=1_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "store_append.json")
    told = parser.parse_args()
    events = arrivals(told.rows, seed=1)
    pairs = [pair(events, told.commit) for _ in range(told.pairs)]
    median = {name: statistics.median(each[name] for each in pairs) for name in pairs[0]}
    print(f"{told.rows} rows, {told.commit} a commit, median of {told.pairs} alternating pairs")
    print(f"{'':<12}{'rows/s':>10}{'CPU us/row':>12}")
    for name in ("raw", "store"):
        print(f"{name:<12}{median[f'{name}_rows_per_s']:>10,.0f}{median[f'{name}_cpu_us']:>12.1f}")
    print(f"{'ratio':<12}{median['ratio']:>10.2f}")
    told.out.write_text(
        json.dumps({"settings": {**vars(told), "out": told.out.name}, "median": median, "pairs": pairs})
    )


if __name__ == "__main__":
    main()
