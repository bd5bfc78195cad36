"""What declared watches cost: a minute of answers, or of votes, that touches every one of many groups.

Run: `PYTHONPATH=src python benches/bench_monitors.py [--groups 10000] [--each 3] [--minutes 3] [--json OUT]`.

Each minute holds `each` samples of every group in random order, stored beforehand. Timed is the stage alone, one
thread, from the first read to the last synced commit, until it finds nothing more. The bar: 10,000 groups in 5 s.
Watches on inputs have at most 100 groups; they hear as many inputs together.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.machine import machine
from trimtab.config import Settings, WatchRule
from trimtab.detect.rules.rule import MOST_DRIFT_GROUPS
from trimtab.detect.rules.stage import RulesStage
from trimtab.ids import new_id
from trimtab.records import Inference, Outcome, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOT = 5_000
BAR_S = 5.0
USERS = 200_000
SOURCES = ("answers", "votes", "inputs")
WORDS = [f"word{place}" for place in range(2_000)]


def rules(source: str, groups: int) -> dict[str, WatchRule]:
    usual: dict[str, Any]
    if source == "inputs":  # the texts are of no matter, their number is: groups stay quiet
        usual = {"kind": "drift", "group_by": ("tags.customer",), "baseline_hours": 0, "baseline_events": 100}
    elif source == "answers":
        usual = {"metric": "error", "reference_rate": 0.05, "group_by": ("tags.customer",)}
    else:
        usual = {"metric": "vote", "reference_rate": 0.1, "group_by": ("customer",)}
    return {"bench": WatchRule(max_groups=groups, **usual)}


def samples(source: str, groups: Sequence[int], at: datetime, dice: random.Random) -> list[Any]:
    """Return one sample for each group named; 3% of them are bad."""
    found: list[Any] = []
    for group in groups:
        bad, who = dice.random() < 0.03, f"user-{dice.randrange(USERS)}"
        told: dict[str, Any] = {"feature": "answer", "created_at": at, "user_id": who, "version_id": "v1"}
        if source != "votes":
            tags = {"customer": f"c{group}"}
            asked = " ".join(dice.choices(WORDS, k=20)) if source == "inputs" else "q"
            found.append(Inference(id=new_id(at), input=asked, error="timeout" if bad else None, tags=tags, **told))
            continue
        judged: dict[str, Any] = {"judged_at": at, "p_bad": float(bad), "confidence": 1.0, "tier": "A", "evidence": []}
        said: dict[str, Any] = {
            "vote": float(bad),
            "voter_id": who,
            "voted_at": at,
            "segments": {"customer": f"c{group}"},
        }
        found.append(Outcome(inference_id=new_id(at), **told, **judged, **said))
    return found


def put(store: HotStore, source: str, lot: Sequence[Any], now: datetime) -> None:
    if source != "votes":
        store.append([Arrival("p", Redacted(one, "bench"), now) for one in lot])
    else:
        store.commit({"p": Writes(outcomes=list(lot))})


def minute(store: HotStore, stage: RulesStage, source: str, groups: int, each: int, now: datetime) -> dict[str, float]:
    """Store one minute's samples, let the stage hear them, and return what that took."""
    dice = random.Random(now.timestamp())
    order = [group for group in range(groups) for _ in range(each)]
    dice.shuffle(order)
    for start in range(0, len(order), LOT):
        put(store, source, samples(source, order[start : start + LOT], now, dice), now)
    began, worked = time.perf_counter(), time.process_time()
    while stage.tick(now):
        pass
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}


def measure(folder: Path, source: str, groups: int, each: int, minutes: int) -> dict[str, Any]:
    """Build the groups, then let some minutes pass; restart once to see what beginning anew costs."""
    store = open_sqlite(folder / f"{source}.db")
    store.commit({"p": Writes(projects=[Project(id="p", created_at=START)])})
    settings = Settings(monitors=rules(source, groups))
    stage = RulesStage(store, settings)
    put(store, source, samples(source, [0], START, random.Random(0)), START)
    stage.tick(START)
    if source == "votes":
        store.commit({}, cursors={"detect": 1})
    before = _memory_mb()
    built = minute(store, stage, source, groups, each, START + MINUTE)
    memory = _memory_mb() - before
    passed = [minute(store, stage, source, groups, each, START + place * MINUTE) for place in range(2, 2 + minutes)]
    fresh = RulesStage(store, settings)
    began = time.perf_counter()
    fresh.tick(START + (2 + minutes) * MINUTE)
    restart_s = time.perf_counter() - began
    found = store.monitors("p", None, "bench")
    store.close()
    worst = max(passed, key=lambda one: one["seconds"])
    return {
        "source": source,
        "groups": len(found),
        "samples_per_minute": groups * each,
        "first_minute_s": round(built["seconds"], 2),
        "worst_minute_s": round(worst["seconds"], 2),
        "worst_minute_cpu_s": round(worst["cpu_seconds"], 2),
        "restart_s": round(restart_s, 2),
        "grown_mb": round(memory),
        "bar_s": BAR_S,
    }


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=3, help="samples of each group a minute (default 3)")
    parser.add_argument("--minutes", type=int, default=3)
    parser.add_argument("--source", choices=SOURCES, help="only one of them")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    on, rows = machine(), []
    for source in SOURCES if args.source is None else (args.source,):
        groups = min(args.groups, MOST_DRIFT_GROUPS) if source == "inputs" else args.groups
        each = args.each * args.groups // groups
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), source, groups, each, args.minutes))
        print(json.dumps(rows[-1]))
    if args.json:
        args.json.write_text(json.dumps({"bench": "monitors", "machine": on, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
