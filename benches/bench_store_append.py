"""Rows a second of the store's durable append, beside the driver's bare write of the same rows; SQLite and PostgreSQL.

Run: `PYTHONPATH=src python benches/bench_store_append.py [--pairs 7] [--rows 20000] [--commit 1000] [--out FILE]`.

The yardstick is one table with the same columns, page size, journal and sync, without indexes but the unique key, fed
with rows made beforehand. The store gets records and does all its work: row encoding, hash of the input, duplicates,
both indexes, counters, commit. Pairs alternate, so that a busy neighbour slows both.

On PostgreSQL the yardstick is the driver's bare binary COPY straight into such a table, each commit synced. CPU is that
of this process, without the server's.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy.dialects import postgresql

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.postgres import PostgresServer, postgres_server
from trimtab.ids import new_id
from trimtab.records import Inference, Redacted
from trimtab.store.hot.postgres import open_postgres
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore
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


def raw_copy(url: str, lots: list[list[list[object]]]) -> tuple[float, float]:
    """Return seconds of wall and CPU time of the yardstick on PostgreSQL."""
    names = INFERENCES.inserted
    kinds = [str(INFERENCES.table.c[name].type.compile(postgresql.dialect())) for name in names]  # type: ignore[no-untyped-call]
    told = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    copied = ["float8" if kind == "FLOAT" else kind.lower() for kind in kinds]
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE t (seq bigserial PRIMARY KEY, {told}, UNIQUE (project_id, id))".encode())
        connection.commit()
        began, used = time.perf_counter(), time.process_time()
        for lot in lots:
            statement = f"COPY t ({', '.join(names)}) FROM STDIN (FORMAT BINARY)".encode()
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.set_types(copied)
                for row in lot:
                    copy.write_row(row)
            connection.commit()
        return time.perf_counter() - began, time.process_time() - used


def store(opened: HotStore, lots: list[list[Arrival]]) -> tuple[float, float]:
    """Return seconds of wall and CPU time of the store."""
    began, used = time.perf_counter(), time.process_time()
    for lot in lots:
        opened.append(lot)
    taken = time.perf_counter() - began, time.process_time() - used
    opened.close()
    return taken


def pair(events: list[Arrival], commit: int, server: PostgresServer | None) -> dict[str, float]:
    """Run both once, on SQLite or the server, and return rows a second and CPU microseconds a row."""
    lots = [events[start : start + commit] for start in range(0, len(events), commit)]
    rows = [
        [INFERENCES.row(each.project_id, each.event.record, 0, "bench", "0" * 64) for each in lot]  # type: ignore[arg-type]
        for lot in lots
    ]
    if server is None:
        with tempfile.TemporaryDirectory() as name:
            bare, bare_cpu = raw(Path(name), rows)
            ours, ours_cpu = store(open_sqlite(Path(name) / "hot.db"), lots)
    else:
        url = server.database()
        bare, bare_cpu = raw_copy(url, rows)
        ours, ours_cpu = store(open_postgres(url), lots)
        server.drop(url)
    count = len(events)
    return {
        "raw_rows_per_s": count / bare,
        "store_rows_per_s": count / ours,
        "ratio": bare / ours,
        "raw_cpu_us": bare_cpu / count * 1e6,
        "store_cpu_us": ours_cpu / count * 1e6,
    }


def table(title: str, pairs: list[dict[str, float]]) -> dict[str, float]:
    """Print and return the medians."""
    median = {name: statistics.median(each[name] for each in pairs) for name in pairs[0]}
    print(f"{title:<12}{'rows/s':>10}{'CPU us/row':>12}")
    for name in ("raw", "store"):
        print(f"{name:<12}{median[f'{name}_rows_per_s']:>10,.0f}{median[f'{name}_cpu_us']:>12.1f}")
    print(f"{'ratio':<12}{median['ratio']:>10.2f}\n")
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--commit", type=int, default=1_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "store_append.json")
    told = parser.parse_args()
    events = arrivals(told.rows, seed=1)
    print(f"{told.rows} rows, {told.commit} a commit, median of {told.pairs} alternating pairs\n")
    results: dict[str, object] = {"settings": {**vars(told), "out": told.out.name}}
    pairs = [pair(events, told.commit, None) for _ in range(told.pairs)]
    results |= {"median": table("SQLite", pairs), "pairs": pairs}
    with postgres_server(durable=True) as server:
        pairs = [pair(events, told.commit, server) for _ in range(told.pairs)]
    results["postgresql"] = {"median": table("PostgreSQL", pairs), "pairs": pairs}
    told.out.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
