"""What building a training set costs: from all history in the lake to files, lineage and manifest.

Run: `PYTHONPATH=src python benches/bench_datasets.py [--rows 2000000] [--out FILE]`.

A lake is filled with answers of about one kilobyte over 30 days; a fifth of them got a word, of which a fifth are
corrections, the others thumbs. One question in ten is a small variation of an earlier one, so that there is something
to find. `build_s` is the whole way: query in a process of its own, rules, golden cases, exact and near repeats, split,
files, lineage, manifest, all synced; `cpu_s` is the processors' time for it, the query's included. `peak_mb` is the
most memory of this process so far; the query's has a ceiling of its own (`lake.query_bytes`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.bench_lake import DAYS, LOT, START, WORDS, words
from benches.machine import machine
from trimtab.act.datasets.build import Given, build
from trimtab.act.datasets.history import LakeSource
from trimtab.act.datasets.request import DatasetRequest
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.ids import derived_id, new_id
from trimtab.records import Case, DatasetKind, Inference
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import LakeTable
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.ports import Stored

CASES = 1000
KINDS: tuple[DatasetKind, ...] = ("sft", "dpo", "kto")


def inferences(count: int) -> Iterator[Inference]:
    """Yield answers to questions of 60 words, one in ten like an earlier one."""
    dice = random.Random(1)
    outputs = [" ".join(dice.choices(WORDS, k=60)) for _ in range(5_000)]
    recent = [dice.choices(WORDS, k=60) for _ in range(1_000)]
    for number in range(count):
        asked = dice.choices(WORDS, k=60)
        if dice.random() < 0.1:
            asked = [*dice.choice(recent)[:-1], asked[0]]
        else:
            recent[number % len(recent)] = asked
        now = START + timedelta(seconds=number * DAYS * 86_400 / count)
        yield Inference(
            id=new_id(now),
            feature=dice.choice(["answer", "summary", "search"]),
            created_at=now,
            input=" ".join(asked),
            output=dice.choice(outputs),
            version_id="v_0123456789abcdef01234567",
            model="small-1",
            user_id=f"user-{dice.randrange(50_000)}",
            session_id=f"session-{dice.randrange(200_000)}",
        )


def fill(folder: Path, count: int) -> None:
    """Make a compacted lake of that many answers."""
    lake = open_lake(folder / "lake", SystemClock())
    seqs: dict[LakeTable, int] = {"inferences": 0, "feedback": 0, "outcomes": 0}

    def add(table: LakeTable, records: list[Any]) -> None:
        rows = [Stored(seqs[table] + place, "default", record) for place, record in enumerate(records, 1)]
        lake.append(table, rows, after=seqs[table])
        seqs[table] += len(rows)

    made = inferences(count)
    while lot := list(islice(made, LOT)):
        add("inferences", lot)
        pairs = list(words(lot[::5]))
        add("feedback", [said for said, _ in pairs])
        add("outcomes", [judged for _, judged in pairs])
    for table in seqs:
        lake.compact(table)
    lake.close()


def cpu() -> float:
    """Return the seconds of processor time that this process and its ended children have used."""
    return sum(sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measured(folder: Path, lake: DeltaLake, kind: DatasetKind) -> dict[str, float]:
    """Build one set and return what it cost."""
    dice = random.Random(3)
    cases = [
        Case(
            id=derived_id(str(number)),
            feature="answer",
            created_at=START,
            input=" ".join(dice.choices(WORDS, k=60)),
            expected="right",
        )
        for number in range(CASES)
    ]
    given = Given(project_id="default", cases=cases, changes={}, rules="bench", now=SystemClock().now())
    source = LakeSource(SpawnedQuery(lake, Lake()), dict)
    steps: dict[str, float] = {}
    began, used = time.perf_counter(), cpu()

    def look(what: str, _done: int) -> None:
        steps.setdefault(what, time.perf_counter() - began)

    built = build(DatasetRequest(kind=kind), source, given, folder / kind, look=look)
    taken = time.perf_counter() - began
    return {
        f"{kind}_build_s": taken,
        f"{kind}_cpu_s": cpu() - used,
        f"{kind}_query_s": steps.get("choosing rows", taken) - steps["asking the lake"],
        f"{kind}_rows": float(sum(built.rows.values())),
        f"{kind}_near_duplicates": float(built.left_out.get("near_duplicate", 0)),
        f"{kind}_mb": sum(file.size_bytes for file in built.files) / 1e6,
        f"{kind}_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "datasets.json")
    told = parser.parse_args()
    where = machine()
    found: dict[str, float] = {"inferences": float(told.rows)}
    with tempfile.TemporaryDirectory() as name:
        filler = multiprocessing.get_context("spawn").Process(target=fill, args=(Path(name), told.rows))
        filler.start()
        filler.join()
        lake = open_lake(Path(name) / "lake", SystemClock())
        found["peak_before_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        for kind in KINDS:
            found |= measured(Path(name), lake, kind)
            print(f"{kind}: {found[f'{kind}_build_s']:.1f} s", flush=True)
        lake.close()
    for key, value in found.items():
        print(f"{key:<24}{value:>14,.2f}")
    told.out.write_text(json.dumps({"machine": where, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
