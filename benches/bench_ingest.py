"""Events a second through HTTP, redacted and on disk before the answer, beside SQLite's bare write of the same rows.

Run: `python benches/bench_ingest.py [--pairs 7] [--workers 0 2] [--texts mixed] [--prefill 5000000] [--out FOLDER]`.

A real `trimtab serve` in its own process, or with `--ingest-workers` in several; two sender processes post batches of
100 events of a kilobyte over 16 connections that stay open, as fast as they are answered. After each such leg the bare
write runs: the rows that the server made of the leg's events, read back and given to `sqlite3`'s `executemany` in a new
file with the server's own tables, indexes and pragmas, in commits as large as the server's were on average. Server and
bare write alternate, so that a busy neighbour slows both; the ratio is taken pair by pair.

The server's stages, which read events as soon as they are stored, are paused where a row does not say otherwise
(`server.clock = "set"`): they are work behind ingest, and share its processor when they run. CPU is that of the server
with all its processes, from /proc, in microseconds an event.

With `--prefill` the legs alternate between an empty store and one with so many rows; otherwise rows are measured in
turn: batches with each number of workers, with and without stages, and single events.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.ingest_load import EVENT_BYTES, Sent, TextKind, events, send  # noqa: E402
from benches.machine import machine  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.clock import SystemClock  # noqa: E402
from trimtab.ids import new_id  # noqa: E402
from trimtab.store.hot.sqlite import open_sqlite  # noqa: E402
from trimtab.store.schema import INFERENCES  # noqa: E402

BATCH = 100
SENDERS = 2
CONNECTIONS = 16
SINGLE_CONNECTIONS = 64
CLOCK = SystemClock()
COLUMNS = ", ".join(INFERENCES.inserted)
INSERT = f"INSERT INTO inferences ({COLUMNS}) VALUES ({', '.join('?' * len(INFERENCES.inserted))})"
GROUPS = re.compile(r"^trimtab_ingest_groups_total(?:\{[^}]*\})? ([\d.e+]+)", re.MULTILINE)
TICK = os.sysconf("SC_CLK_TCK")


class Served:
    """A server over a store, and what it has used and written so far."""

    def __init__(self, folder: Path, *, workers: int, stages: bool) -> None:
        settings = {"TRIMTAB_INGEST__WORKERS": str(workers)} if workers else {}
        self.began = CLOCK.now()
        self._server = ServerProcess(folder, settings, now=None if stages else self.began)
        self._server.start()
        self.url, self.key = self._server.url, self._server.keys["ingest"]
        self._admin = self._server.headers()
        self.file = folder / "trimtab.db"
        self.told = 0
        if not stages:
            self.clock()

    def clock(self) -> None:
        """Set a clock that is set by hand to now."""
        httpx.put(f"{self.url}/v1/clock", json={"now": CLOCK.now().isoformat()}, headers=self._admin).raise_for_status()

    def groups(self) -> float:
        """Return how many transactions have stored events."""
        answer = httpx.get(f"{self.url}/metrics", headers=self._admin, timeout=120)
        found = GROUPS.search(answer.raise_for_status().text)
        assert found is not None, answer.text
        return float(found[1])

    def cpu_s(self) -> float:
        """Return the processor seconds of the server and of every process below it."""
        return sum(_cpu_s(pid) for pid in _family(self._server.pid))

    def stop(self) -> None:
        """End it."""
        self._server.stop()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def served(*, workers: int = 0, stages: bool = False, folder: Path | None = None) -> Iterator[Served]:
    """Run a server over a store in `folder`, or a new one."""
    with tempfile.TemporaryDirectory() as name:
        server = Served(folder or Path(name), workers=workers, stages=stages)
        try:
            yield server
        finally:
            server.stop()


def leg(server: Served, kind: TextKind, count: int, seed: int, *, batch: int = BATCH) -> dict[str, float]:
    """Send once and return what it came to; a single event goes over more connections."""
    connections = CONNECTIONS if batch > 1 else SINGLE_CONNECTIONS
    groups, cpu = server.groups(), server.cpu_s()
    since = CLOCK.now() - timedelta(seconds=60)
    sent = send(
        server.url, server.key, kind, count=count, batch=batch, senders=SENDERS, connections=connections, seed=seed,
        since=since,
    )  # fmt: skip
    used = server.cpu_s() - cpu
    return _leg(sent, used, server.groups() - groups)


def _leg(sent: Sent, used: float, groups: float) -> dict[str, float]:
    ordered = sorted(sent.millis)
    return {
        "events_per_s": sent.events / sent.seconds,
        "server_cpu_us": used / sent.events * 1e6,
        "client_cpu_us": sent.client_cpu_s / sent.events * 1e6,
        "p50_ms": ordered[len(ordered) // 2],
        "p99_ms": ordered[int(len(ordered) * 0.99)],
        "commit_rows": sent.events / groups,
    }


def newest(file: Path, count: int) -> list[tuple[Any, ...]]:
    """Return the newest rows of a server's store, in their order."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        end = connection.execute("SELECT max(seq) FROM inferences").fetchone()[0]
        return connection.execute(
            f"SELECT {COLUMNS} FROM inferences WHERE seq > ? ORDER BY seq", (end - count,)
        ).fetchall()


def bare(rows: Sequence[tuple[Any, ...]], commit: int) -> float:
    """Return the rows a second of SQLite alone, with tables and pragmas as the store has them."""
    with tempfile.TemporaryDirectory() as name:
        connection = opened(Path(name) / "bare.db")
        lots = [rows[start : start + commit] for start in range(0, len(rows), commit)]
        began = time.perf_counter()
        for lot in lots:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, lot)
            connection.execute("COMMIT")
        took = time.perf_counter() - began
        connection.close()
    return len(rows) / took


def opened(file: Path) -> sqlite3.Connection:
    """Open a file of the store as the store itself does; made where there is none."""
    open_sqlite(file).close()
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("synchronous = FULL", "cache_size = -32768", "journal_size_limit = 67108864", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def paired(server: Served, kind: TextKind, count: int, seed: int) -> dict[str, float]:
    """Run one leg and the bare write of its rows."""
    found = leg(server, kind, count, seed)
    rate = bare(newest(server.file, count), round(found["commit_rows"]))
    return {**found, "bare_rows_per_s": rate, "ratio": found["events_per_s"] / rate}


def batches(kind: TextKind, pairs: int, count: int, *, workers: int, stages: bool) -> list[dict[str, float]]:
    """Run pairs over one server. The first leg warms it up and does not count."""
    with served(workers=workers, stages=stages) as server:
        leg(server, kind, min(count, 10_000), 999)
        return [paired(server, kind, count, number) for number in range(pairs)]


def singles(kind: TextKind, legs: int, count: int, *, workers: int) -> list[dict[str, float]]:
    """Post events one by one."""
    with served(workers=workers) as server:
        leg(server, kind, 2000, 999, batch=1)
        return [leg(server, kind, count, number, batch=1) for number in range(legs)]


def prefill(file: Path, rows: int, kind: TextKind, until: datetime) -> None:
    """Fill a store with so many rows that arrived in order before `until`."""
    with tempfile.TemporaryDirectory() as name:
        with served(folder=Path(name)) as server:
            leg(server, kind, 10_000, 4711)
        patterns = newest(Path(name) / "trimtab.db", 10_000)
    names = list(INFERENCES.inserted)
    key, created, received = names.index("id"), names.index("created_at"), names.index("received_at")
    connection = opened(file)
    connection.execute("PRAGMA synchronous = OFF")
    start = until - timedelta(milliseconds=rows)
    for first in range(0, rows, 10_000):
        lot = []
        for number, pattern in zip(range(first, min(first + 10_000, rows)), patterns, strict=False):
            now = start + timedelta(milliseconds=number)
            row = list(pattern)
            row[key] = bytes.fromhex(new_id(now).replace("-", ""))
            row[created] = row[received] = int(now.timestamp() * 1e6)
            lot.append(row)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, lot)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def decline(kind: TextKind, pairs: int, count: int, rows: int, workers: int) -> dict[str, list[dict[str, float]]]:
    """Alternate legs on an empty store and on a full one; both servers run all the time, one of them idle."""
    with tempfile.TemporaryDirectory() as name:
        full = Path(name) / "full"
        full.mkdir()
        prefill(full / "trimtab.db", rows, kind, CLOCK.now() - timedelta(hours=1))
        with served(workers=workers, folder=full) as filled:
            found: dict[str, list[dict[str, float]]] = {"empty": [], "filled": []}
            leg(filled, kind, 10_000, 999)
            for number in range(pairs):
                with served(workers=workers) as empty:  # new each time, so that it stays empty
                    leg(empty, kind, 10_000, 999)
                    found["empty"].append(leg(empty, kind, count, number))
                filled.clock()
                found["filled"].append(leg(filled, kind, count, number))
            return found


def median(legs: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in legs)


def spread(legs: Sequence[dict[str, float]], name: str, digits: int = 0) -> str:
    """Return the median and its range."""
    values = [each[name] for each in legs]
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def line(what: str, legs: Sequence[dict[str, float]]) -> str:
    ratio = spread(legs, "ratio", 2) if "ratio" in legs[0] else ""
    raw = f"{median(legs, 'bare_rows_per_s'):,.0f}" if "ratio" in legs[0] else ""
    return (
        f"| {what} | {len(legs)} | {spread(legs, 'events_per_s')} | {raw} | {ratio} | "
        f"{spread(legs, 'server_cpu_us', 1)} | {median(legs, 'client_cpu_us'):.1f} | "
        f"{median(legs, 'p50_ms'):.1f} / {median(legs, 'p99_ms'):.1f} | {median(legs, 'commit_rows'):,.0f} |"
    )


HEAD = (
    "| what | n | events/s | bare rows/s | ratio | server CPU us/event | senders' | answer p50 / p99 ms "
    "| rows a commit |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def bar(what: str, value: float, least: float | None = None, most: float | None = None) -> str:
    met = value >= least if least is not None else most is None or value <= most
    wanted = f">= {least:,g}" if least is not None else f"<= {most:,g}"
    return f"- {what}: {value:,.2f}, wanted {wanted}: {'met' if met else '**not met**'}"


def everything(told: argparse.Namespace, note: Any) -> tuple[dict[str, Any], list[str]]:
    """Measure the rows asked for; return all legs by row, and the bars."""
    found: dict[str, Any] = {}
    bars: list[str] = []

    def measured(what: str, legs: list[dict[str, float]]) -> list[dict[str, float]]:
        found[what] = legs
        note(line(what, legs))
        return legs

    if told.prefill:
        for workers in told.workers:
            name = f"{workers} workers" if workers else "one process"
            both = decline(told.texts, told.pairs, told.events, told.prefill, workers)
            empty = measured(f"{name}, an empty store", both["empty"])
            filled = measured(f"{name}, {told.prefill:,} rows before", both["filled"])
            ratio = median(filled, "events_per_s") / median(empty, "events_per_s")
            bars.append(bar(f"{name}: rate with {told.prefill:,} rows over rate without", ratio, 0.85))
        return found, bars
    for workers in told.workers:
        name = f"{workers} workers" if workers else "one process"
        if not told.single:
            legs = measured(
                f"{name}, batches of {BATCH}",
                batches(told.texts, told.pairs, told.events, workers=workers, stages=False),
            )
            bars.append(bar(f"{name}: of the bare write", median(legs, "ratio"), 0.75 if workers else 0.6))
            bars.append(bar(f"{name}: CPU us an event", median(legs, "server_cpu_us"), most=35))
            bars.append(bar(f"{name}: events a second", median(legs, "events_per_s"), 20_000))
            if told.stages:
                measured(
                    f"{name}, batches of {BATCH}, stages running",
                    batches(told.texts, max(1, told.pairs // 2), told.events // 2, workers=workers, stages=True),
                )
        legs = measured(f"{name}, single events", singles(told.texts, told.pairs, told.events // 4, workers=workers))
        bars.append(bar(f"{name}: single events a second", median(legs, "events_per_s"), 4000))
    return found, bars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--events", type=int, default=40_000, help="events in a leg")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="0 is one process")
    parser.add_argument("--texts", choices=["mixed", "chats", "prose"], default="mixed")
    parser.add_argument("--single", action="store_true", help="single events alone")
    parser.add_argument("--no-stages", dest="stages", action="store_false", help="leave out the rows with stages")
    parser.add_argument("--prefill", type=int, default=0, metavar="ROWS", help="measure the decline at so many rows")
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results")
    parser.add_argument("--name", default="", help="of the files in --out, behind ingest; else by what is measured")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)  # before minutes are measured for nothing
    on = machine()
    sample = list(events(told.texts, 1000, 1, CLOCK.now()))
    size = statistics.mean(len(json.dumps(each, separators=(",", ":")).encode()) for each in sample)
    head = (
        f"Texts: {told.texts}; {size:,.0f} B an event (aimed at {EVENT_BYTES}); {told.events:,} events a leg, "
        f"{SENDERS} sender processes, {CONNECTIONS} connections ({SINGLE_CONNECTIONS} for single events); "
        "median (range)."
    )
    print(f"{head}\n\n{HEAD}", flush=True)
    lines: list[str] = []

    def note(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    legs, bars = everything(told, note)
    print("\n" + "\n".join(bars))
    tail = ", ".join(f"{name.replace(chr(95), chr(32))} {value}" for name, value in on.items())
    print(f"\n{tail}")
    name = told.name or ("_decline" if told.prefill else "" if told.texts == "mixed" else f"_{told.texts}")
    settings = {**vars(told), "out": told.out.name}
    (told.out / f"ingest{name}.json").write_text(
        json.dumps({"settings": settings, "machine": on, "event_bytes": size, "legs": legs}) + "\n"
    )
    page = [f"# Ingest{name.replace('_', ': ')}", "", head, "", HEAD, *lines, "", *bars, "", f"Machine: {tail}.", ""]
    (told.out / f"ingest{name}.md").write_text("\n".join(page))


if __name__ == "__main__":
    main()
