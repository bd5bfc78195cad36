"""How often a watch on inputs cries wolf, and how fast it hears that people ask for something new.

    PYTHONPATH=src python benches/bench_drift.py [--calm N] [--worlds N] [--ranks] [--json OUT] [--markdown OUT]

Each world draws 30 of the 150 intents of CLINC150 with shares of their own and lets people ask in that mix: first the
reference, then 2,000 more inputs. In a calm world nothing changes. In the others a share of the later inputs is of an
intent, or of five, that nobody asked before, or of texts that are out of scope of all of them. Everything after the
text is the engine's own: `detect/rules/post.py`, the watch as declared with `kind = "drift"` and `baseline_hours = 0`,
first of a budget of 1, whose bound is an alpha of 1/3 within 2,000 inputs.

"weekly" breaks what the promise assumes: on two days of seven the shares are others (each times 0.5 to 1.5), 100 inputs
a day, the reference a whole number of weeks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.machine import machine
from trimtab.config import WatchRule
from trimtab.detect.rules.post import Post
from trimtab.detect.rules.rule import Rule, checked
from trimtab.detect.rules.stage import fresh_monitor
from trimtab.detect.traits import traits_of
from trimtab.detect.watch import Sample
from trimtab.stats.budget import share_of_budget
from trimtab.stats.detector import RateMonitor
from trimtab.stats.interval import clopper_pearson, clopper_pearson_upper

START = datetime(2026, 3, 2, tzinfo=UTC)
AFTER = 2_000
INTENTS = 30
A_DAY = 100
FIRST_SEED = 1_300_000  # of worlds that nothing was chosen on
KINDS = ("one intent", "five intents", "out of scope")


class World(NamedTuple):
    """Which world: what is new and with which share, how large the reference is, and the seed."""

    kind: str
    share: float
    reference: int
    seed: int


class Seen(NamedTuple):
    """What came of one: after how many inputs it was found (None: not), by which sign, and the time it took."""

    world: World
    found: int | None
    sign: str
    seconds: float


@cache
def texts() -> tuple[dict[str, list[str]], list[str]]:
    root = Path(os.environ.get("TRIMTAB_DATA", Path(__file__).parents[2] / "shared" / "data"))
    data = json.loads((root / "clinc150" / "data_full.json").read_text("utf-8"))
    by_intent: dict[str, list[str]] = {}
    for part in ("train", "val", "test"):
        for text, intent in data[part]:
            by_intent.setdefault(intent, []).append(text)
    return by_intent, [text for part in ("oos_train", "oos_val", "oos_test") for text, _ in data[part]]


def asked(world: World) -> list[str]:
    """Return all inputs of a world, the reference first."""
    dice = random.Random(world.seed)
    by_intent, beyond = texts()
    drawn = dice.sample(sorted(by_intent), INTENTS + 5)
    known, fresh = drawn[:INTENTS], drawn[INTENTS:]
    if world.kind == "one intent":
        fresh = fresh[:1]
    usual = [dice.expovariate(1.0) + 0.1 for _ in known]
    weekend = [weight * dice.uniform(0.5, 1.5) for weight in usual]
    said = []
    for place in range(world.reference + AFTER):
        if place >= world.reference and dice.random() < world.share:
            said.append(dice.choice(beyond if world.kind == "out of scope" else by_intent[dice.choice(fresh)]))
            continue
        weights = weekend if world.kind == "weekly" and place // A_DAY % 7 >= 5 else usual
        said.append(dice.choice(by_intent[dice.choices(known, weights)[0]]))
    return said


def live(world: World) -> Seen:
    """Let the watch hear a world and return its first alarm."""
    spec = checked("bench", WatchRule(kind="drift", baseline_hours=0, baseline_events=world.reference))
    rule = Rule("bench", spec, "settings")
    monitor = fresh_monitor("p", rule, "answer", {}, START)
    post = Post(rule, msgspec.structs.replace(monitor, life={"place": 1}), 1.0)
    inputs = asked(world)
    began = time.perf_counter()
    for place, traits in enumerate(traits_of(inputs), 1):
        at = START + place * timedelta(minutes=1)
        for move in post.take(Sample(0.0, f"user-{place}", at, traits), at):
            if move.incident is not None:
                sign = str(move.incident.detail["drift"]["sign"])
                return Seen(world, place - world.reference, sign, time.perf_counter() - began)
    return Seen(world, None, "", time.perf_counter() - began)


def live_by_ranks(world: World) -> Seen:
    """Let the plan's first idea hear a world: is an input further from a bank than nine of ten of the reference.

    Half of the reference is the bank, the other half says where the line is and what share lies beyond it, at its upper
    80% bound; later inputs beyond the line are events of the e-detector that watches rates, with the same alpha.
    """
    inputs = asked(world)
    began = time.perf_counter()
    rows = np.stack([traits.vector for traits in traits_of(inputs)])
    bank, half = rows[: world.reference // 2], world.reference // 2
    far = 1.0 - (rows[half:] @ bank.T).max(axis=1)
    before, after = far[: world.reference - half], far[world.reference - half :]
    line = float(np.quantile(before, 0.9))
    p0 = clopper_pearson_upper(int((before > line).sum()), len(before), 0.8)
    monitor = RateMonitor(p0, horizon=AFTER, alpha=share_of_budget(1.0, 1))
    for place, distance in enumerate(after, 1):
        if monitor.update(bool(distance > line)):
            return Seen(world, place, "novelty", time.perf_counter() - began)
    return Seen(world, None, "", time.perf_counter() - began)


def row(cell: tuple[str, float, int], seen: Sequence[Seen]) -> dict[str, Any]:
    found = sorted(one.found for one in seen if one.found is not None)
    rate = clopper_pearson(len(found), len(seen))
    signs = Counter("word" if one.sign == "a word" else one.sign for one in seen if one.found is not None)
    return {
        "kind": cell[0],
        "share": cell[1],
        "reference": cell[2],
        "worlds": len(seen),
        "found": len(found),
        "low": round(rate.low, 3),
        "high": round(rate.high, 3),
        "median": statistics.median(found) if found else None,
        "p90": found[min(len(found) - 1, int(0.9 * len(found)))] if found else None,
        "signs": dict(signs.most_common(3)),
    }


def table(rows: Sequence[dict[str, Any]], on: dict[str, Any], command: str) -> str:
    lines = [
        "# Drift of inputs: false alarms and delays",
        "",
        f"Made by `{command}`, seeds from {FIRST_SEED:,}.",
        f"{on['processor']}, {on['cores']} cores, Python {on['python']};",
        "no figure here depends on speed. Intervals are Clopper-Pearson, 95%. Delays are in inputs, over worlds found.",
        "",
        "| later inputs | new | reference | worlds | alarm within 2,000 | interval | median delay | p90 | by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for one in rows:
        signs = ", ".join(f"{name} {count}" for name, count in one["signs"].items())
        share = f"{one['share']:.0%}" if one["share"] else "-"
        delay = f"{one['median']:.0f} | {one['p90']}" if one["median"] is not None else "- | -"
        lines.append(
            f"| {one['kind']} | {share} | {one['reference']:,} | {one['worlds']} | {one['found'] / one['worlds']:.1%} "
            f"| {one['low']:.1%} - {one['high']:.1%} | {delay} | {signs} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calm", type=int, default=400, help="calm worlds for each reference (default 400)")
    parser.add_argument("--worlds", type=int, default=100, help="worlds of each other cell (default 100)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--ranks", action="store_true", help="the idea that was not taken, on some of the same worlds")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--markdown", type=Path, metavar="OUT")
    args = parser.parse_args()
    on = machine()
    cells: list[tuple[str, float, int]] = []
    compared = {("calm", 0.0), ("one intent", 0.1), ("one intent", 0.2), ("out of scope", 0.2)}
    for reference in (500, 2_000):
        cells += [("calm", 0.0, reference), ("weekly", 0.0, 700 if reference == 500 else 2_100)]
        cells += [(kind, share, reference) for kind in KINDS for share in (0.05, 0.1, 0.2)]
    rows: list[dict[str, Any]] = []
    seed = FIRST_SEED
    with multiprocessing.Pool(args.jobs) as pool:
        for cell in cells:
            count = args.worlds if cell[1] else args.calm
            worlds = [World(*cell, seed + place) for place in range(count)]
            seed += count
            if not args.ranks:
                rows.append(row(cell, pool.map(live, worlds, chunksize=5)))
                print(json.dumps(rows[-1]), flush=True)
            elif cell[:2] in compared:
                rows.append(row(cell, pool.map(live_by_ranks, worlds, chunksize=5)))
                print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"bench": "drift", "machine": on, "rows": rows}, indent=1) + "\n")
    if args.markdown:
        command = f"python benches/bench_drift.py --calm {args.calm} --worlds {args.worlds}{' --ranks' * args.ranks}"
        args.markdown.write_text(table(rows, on, command), encoding="utf-8")


if __name__ == "__main__":
    main()
