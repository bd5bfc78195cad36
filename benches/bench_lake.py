"""What the lake costs: shipping beside the other stages, compaction, and a query over all history.

Run: `PYTHONPATH=src python benches/bench_lake.py [--ship 100000] [--rows 500000] [--out FILE]`.

Shipping takes rows of about one kilobyte from a real hot store through the archive stage, as the engine does. `tick` is
how long the stage holds the thread that ticks all stages; `late` is how late another thread of the process wakes from
sleeping a millisecond, with nothing going on and while rows are shipped. The query is what a set of preference pairs is
made from: every corrected answer beside its correction, by the views, in its own process, one partition, 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.machine import machine
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.ids import new_id
from trimtab.records import Feedback, Inference, Outcome, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import LakeTable
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.ports import Arrival, Stored

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [f"word{number}" for number in range(2_000)]
DAYS = 30
LOT = 50_000
PAIRS = """
SELECT id, day, input, output, input_hash, user_id, correction, correction_id, correction_source
FROM judged WHERE project_id = 'default' AND correction IS NOT NULL AND day >= '2026-01-05'
"""


def inferences(count: int) -> Iterator[Inference]:
    """Yield inferences of about one kilobyte, spread over the days."""
    dice = random.Random(1)
    texts = [" ".join(dice.choices(WORDS, k=60)) for _ in range(5_000)]
    for number in range(count):
        now = START + timedelta(seconds=number * DAYS * 86_400 / count)
        yield Inference(
            id=new_id(now),
            feature=dice.choice(["answer", "summary", "search"]),
            created_at=now,
            input=f"{number} {dice.choice(texts)}",
            output=dice.choice(texts),
            version_id="v_0123456789abcdef01234567",
            model="small-1",
            user_id=f"user-{dice.randrange(50_000)}",
            session_id=f"session-{dice.randrange(200_000)}",
        )


def words(served: list[Inference]) -> Iterator[tuple[Feedback, Outcome]]:
    """Yield a thumb or correction, and the outcome, for each of the inferences."""
    dice = random.Random(2)
    for one in served:
        when = one.created_at + timedelta(minutes=dice.randrange(600))
        told: dict[str, Any] = {"kind": "thumb", "value": float(dice.randrange(2))}
        if dice.random() < 0.2:
            told = {"kind": "correction", "text": " ".join(dice.choices(WORDS, k=40))}
        said = Feedback(id=new_id(when), created_at=when, inference_id=one.id, user_id=one.user_id, **told)
        judged = Outcome(
            inference_id=one.id,
            feature=one.feature,
            created_at=one.created_at,
            judged_at=when,
            p_bad=said.value if said.value is not None else 1.0,
            confidence=1.0,
            tier="A",
            evidence=[],
            user_id=one.user_id,
        )
        yield said, judged


def lateness(while_: Callable[[], bool]) -> list[float]:
    """Return in milliseconds how late a sleeper of one millisecond woke, each time until told to stop."""
    late = []
    while while_():
        before = time.perf_counter()
        time.sleep(0.001)
        late.append((time.perf_counter() - before - 0.001) * 1e3)
    return late


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def ship(folder: Path, count: int) -> dict[str, float]:
    """Ship that many rows in the stage's own thread; return rates and times."""
    hot = open_sqlite(folder / "hot.db")
    events = [Arrival("default", Redacted(one, "bench"), START) for one in inferences(count)]
    for start in range(0, count, 2000):
        hot.append(events[start : start + 2000])
    lake = open_lake(folder / "lake", SystemClock())
    stage = ArchiveStage(hot, lake, Lake())
    end = time.perf_counter() + 1
    idle = lateness(lambda: time.perf_counter() < end)
    busy: list[float] = []
    running = threading.Event()
    running.set()
    sleeper = threading.Thread(target=lambda: busy.extend(lateness(running.is_set)))
    sleeper.start()
    ticks = []
    began, used = time.perf_counter(), time.process_time()
    while lake.cursor("inferences") < count:
        before = time.perf_counter()
        stage.tick(SystemClock().now())
        ticks.append((time.perf_counter() - before) * 1e3)
        time.sleep(0.01)
    taken, cpu = time.perf_counter() - began, time.process_time() - used
    running.clear()
    sleeper.join()
    stage.close()
    hot.close()
    return {
        "ship_rows_per_s": count / taken,
        "ship_cpu_us_a_row": cpu / count * 1e6,
        "tick_ms_p50": statistics.median(ticks),
        "tick_ms_max": max(ticks),
        "late_ms_idle_p99": quantile(idle, 0.99),
        "late_ms_shipping_p99": quantile(busy, 0.99),
        "late_ms_shipping_max": max(busy),
    }


def filled(folder: Path, count: int) -> DeltaLake:
    """Return a lake of that many inferences and a fifth as many feedback events and outcomes."""
    lake = open_lake(folder / "large", SystemClock())
    seqs: dict[LakeTable, int] = {"inferences": 0, "feedback": 0, "outcomes": 0}

    def add(table: LakeTable, records: list[Any]) -> None:
        after = seqs[table]
        rows = [Stored(after + place, "default", record) for place, record in enumerate(records, 1)]
        lake.append(table, rows, after=after)
        seqs[table] += len(rows)

    made = inferences(count)
    while lot := list(islice(made, LOT)):
        add("inferences", lot)
        pairs = list(words(lot[::5]))
        add("feedback", [said for said, _ in pairs])
        add("outcomes", [judged for _, judged in pairs])
    return lake


def history(folder: Path, count: int) -> dict[str, float]:
    """Fill a large lake, compact it, ask it; return times."""
    began = time.perf_counter()
    lake = filled(folder, count)
    filling = time.perf_counter() - began
    before = lake.stats("inferences")
    began = time.perf_counter()
    lake.compact("inferences")
    compacting = time.perf_counter() - began
    after = lake.stats("inferences")
    query = SpawnedQuery(lake, Lake())
    answers = [query.run(PAIRS, folder / "pairs.parquet") for _ in range(3)]
    counted = query.run("SELECT COUNT(*) AS n FROM inferences", folder / "count.parquet")
    return {
        "rows": float(count),
        "fill_s": filling,
        "files_before": float(before.files),
        "files_after": float(after.files),
        "lake_mb": after.size_bytes / 1e6,
        "compact_s": compacting,
        "pairs": float(answers[0].rows),
        "pairs_s": statistics.median(answer.seconds for answer in answers),
        "start_s": counted.seconds,
        "child_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ship", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "lake.json")
    told = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as name:
        found = ship(Path(name), told.ship) | history(Path(name), told.rows)
    for key, value in found.items():
        print(f"{key:<24}{value:>14,.2f}")
    told.out.write_text(json.dumps({"machine": where, "ship_rows": told.ship, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
