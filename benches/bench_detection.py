"""Measure how often trigger rules cry wolf, and how fast they see a real change.

Streams of votes with a known bad rate are fed to Trimtab's `RateMonitor` and `NegativesShare`, and to the rules that
people write by hand (a fixed threshold, a rolling z-test), each peeked at after every vote. One table, in Markdown.

Beside them: false alarms in 200 segments at once and what a declared watch takes (one budget for all), and the size
and power of the gate.

    python benches/bench_detection.py [--quick] [--paths N] [--jobs N] [--seed N] [--json OUT] [--markdown OUT]
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.detection_worlds import GATE_CELLS, gate_passes, mean_rule_passes, segments_month, watch_delays
from trimtab.stats.detector import RateMonitor
from trimtab.stats.share import NegativesShare

Votes = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Rule = Callable[[Votes], int | None]

BASELINE = 0.05
HORIZON = 20_000
AFTER = 12_000  # how long a change may last before a rule is said to have missed it
SHARE_VOTES = 16_000
SHARE_AFTER = 60_000
DESIGN_N = {
    "false alarm": 2000,
    "delay (median / p90)": 1000,
    "canary, false alarm": 800,
    "canary, delay (median / p90)": 800,
    "false alarms a month": 40,
    "gate, false pass": 20_000,
    "gate, power": 20_000,
    "gate, false block": 20_000,
}
"""Paths behind each figure of the design: it has a Monte Carlo error of its own."""


@dataclass(frozen=True)
class Row:
    """One line of the table: `value` is a probability, or a median delay in votes; `error` its 95% half-width."""

    table: str
    rule: str
    setting: str
    n: int
    value: float | None
    error: float | None
    p90: float | None
    found: float | None
    design: str

    def apart(self) -> bool | None:
        """Return whether measured and design differ by more than the 95% error of their difference."""
        told = self.design.split(" ")[0]
        if self.value is None or self.error is None or not told.replace(".", "", 1).isdigit():
            return None
        design, paths = float(told), 150 if "batches" in self.rule else DESIGN_N[self.table]
        if self.found is None and self.table != "false alarms a month":
            smoothed = (design * paths + 2) / (paths + 4)
            error = math.hypot(self.error, 1.96 * math.sqrt(smoothed * (1 - smoothed) / paths))
        else:  # the design tells no spread: its paths vary as these do
            error = self.error * math.sqrt(1 + self.n / paths)
        rounding = 0.5 * 10.0 ** -len(told.partition(".")[2])
        return abs(self.value - design) > error + rounding


def first(flags: Flags) -> int | None:
    """Return the position of the first True."""
    at = int(flags.argmax())
    return at if flags[at] else None


def rolling(votes: Votes, window: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    sums = np.concatenate(([0], np.cumsum(votes, dtype=np.int64)))
    ends = np.arange(1, len(votes) + 1)
    sizes = np.minimum(ends, window)
    return (sums[ends] - sums[ends - sizes]) / sizes, sizes


def threshold_rule(window: int, limit: float, least: int = 50) -> Rule:
    def alarm(votes: Votes) -> int | None:
        rate, sizes = rolling(votes, window)
        return first((rate > limit) & (sizes >= least))

    return alarm


def z_rule(window: int, limit: float, least: int) -> Rule:
    def alarm(votes: Votes) -> int | None:
        rate, sizes = rolling(votes, window)
        z = (rate - BASELINE) / np.sqrt(BASELINE * (1 - BASELINE) / sizes)
        return first((z > limit) & (sizes >= least))

    return alarm


def monitor_rule(p0: float = BASELINE, batch: int = 1) -> Rule:
    def alarm(votes: Votes) -> int | None:
        monitor = RateMonitor(p0, horizon=HORIZON, alpha=0.05)
        if batch == 1:
            return next((at for at, vote in enumerate(votes.tolist()) if monitor.update(vote)), None)
        for start in range(0, len(votes), batch):
            part = votes[start : start + batch]
            if monitor.update_batch(len(part), int(part.sum())):
                return start + len(part) - 1
        return None

    return alarm


RULES: dict[str, tuple[Rule, str, str]] = {
    # name: rule, design figure within 20,000 votes, within 2,000
    "last 200 votes > 8%": (threshold_rule(200, 0.08), "1.000", "0.691"),
    "last 500 votes > 8%": (threshold_rule(500, 0.08), "0.537", "0.301"),
    "rolling z, 500 votes, z > 1.645": (z_rule(500, 1.645, 50), "1.000", "0.547"),
    "rolling z, 500 votes, z > 3": (z_rule(500, 3.0, 50), "0.500", "0.081"),
    "cumulative z > 1.645": (z_rule(10**9, 1.645, 50), "0.456", "0.338"),
    "RateMonitor": (monitor_rule(), "0.031", ""),
    "RateMonitor, batches of 25": (monitor_rule(batch=25), "0.000", ""),
}
DELAY_RULES: dict[str, Rule] = {
    "last 500 votes > 8%": threshold_rule(500, 0.08),
    "RateMonitor": monitor_rule(),
    "RateMonitor, p0 6% (20% margin)": monitor_rule(p0=0.06),
}
DELAY_DESIGN = {
    ("last 500 votes > 8%", 0.08, 0): "59 / 575",
    ("last 500 votes > 8%", 0.08, 5000): "482 / 1031",
    ("last 500 votes > 8%", 0.15, 0): "50 / 52",
    ("last 500 votes > 8%", 0.15, 5000): "159 / 236",
    ("RateMonitor", 0.08, 0): "469 / 1096",
    ("RateMonitor", 0.08, 5000): "920 / 1592",
    ("RateMonitor", 0.15, 0): "56 / 133",
    ("RateMonitor", 0.15, 5000): "140 / 237",
    ("RateMonitor, p0 6% (20% margin)", 0.08, 0): "1244 / 2686",
    ("RateMonitor, p0 6% (20% margin)", 0.08, 5000): "2209 / 4022",
    ("RateMonitor, p0 6% (20% margin)", 0.15, 0): "75 / 176",
    ("RateMonitor, p0 6% (20% margin)", 0.15, 5000): "193 / 322",
}
SPLITS = ("50%", "10%", "ramp 5-20-50%")
SHARE_FALSE_DESIGN = {False: ("0.041", "0.024", "0.026"), True: ("0.049", "0.037", "0.039")}
SHARE_DELAY_DESIGN = {0.08: ("1630", "4679", "5433"), 0.15: ("227", "570", "897")}


def quiet_path(task: tuple[int, int]) -> dict[str, int | None]:
    """Run every rule over one stream in which nothing changes."""
    votes = np.random.default_rng([*task, 1]).random(HORIZON) < BASELINE
    return {name: rule(votes) for name, (rule, _, _) in RULES.items()}


def change_path(task: tuple[int, int]) -> dict[tuple[str, float, int], int | None]:
    """Run the delay rules over streams that get worse; -1 marks an alarm before the change."""
    delays: dict[tuple[str, float, int], int | None] = {}
    for worse in (0.08, 0.15):
        for good in (0, 5000):
            rng = np.random.default_rng([*task, 2, int(worse * 100), good])
            votes = rng.random(good + AFTER) < np.where(np.arange(good + AFTER) < good, BASELINE, worse)
            for name, rule in DELAY_RULES.items():
                at = rule(votes)
                delays[name, worse, good] = None if at is None else max(-1, at - good) + (at >= good)
    return delays


def shares(split: str, n: int) -> npt.NDArray[np.float64]:
    if split == "ramp 5-20-50%":
        return np.repeat([0.05, 0.2, 0.5], [n // 4, n // 4, n - 2 * (n // 4)])
    return np.full(n, {"50%": 0.5, "10%": 0.1}[split])


def two_arms(
    rng: np.random.Generator, share: npt.NDArray[np.float64], worse: float, *, shocks: bool
) -> tuple[Flags, Flags]:
    """Return per vote: canary or not, negative or not. A shock doubles both arms' rate for 500 votes of 2,000."""
    canary = rng.random(len(share)) < share
    rate = np.where(canary, worse, BASELINE)
    if shocks:
        rate = rate * np.where(np.arange(len(share)) % 2000 < 500, 2.0, 1.0)
    return canary, rng.random(len(share)) < rate


def share_alarm(canary: Flags, negative: Flags, share: npt.NDArray[np.float64]) -> int | None:
    test = NegativesShare(ratio_grid=(1.0,))  # the grid serves rate_ratio_upper alone, which is not asked here
    at_negatives = np.flatnonzero(negative)
    arms, pis = canary[at_negatives].tolist(), share[at_negatives].tolist()
    for at, arm, pi in zip(at_negatives.tolist(), arms, pis, strict=True):
        if test.update(arm, pi):
            return int(at)
    return None


def two_sample_z_alarm(canary: Flags, negative: Flags) -> int | None:
    n1: Counts = np.cumsum(canary, dtype=np.int64)
    n: Counts = np.arange(1, len(canary) + 1)
    b1: Counts = np.cumsum(canary & negative, dtype=np.int64)
    b: Counts = np.cumsum(negative, dtype=np.int64)
    n0 = n - n1
    b0 = b - b1
    pooled = b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (b1 / n1 - b0 / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    return first((z > 1.645) & (n1 >= 50) & (n0 >= 50))


def share_quiet_path(task: tuple[int, int]) -> dict[tuple[str, str], int | None]:
    """Run the canary rules over arms that are equal."""
    alarms: dict[tuple[str, str], int | None] = {}
    for shocks in (False, True):
        for split in SPLITS:
            rng = np.random.default_rng([*task, 3, shocks, SPLITS.index(split)])
            share = shares(split, SHARE_VOTES)
            canary, negative = two_arms(rng, share, BASELINE, shocks=shocks)
            setting = split + (", common shocks x2" if shocks else "")
            alarms["NegativesShare", setting] = share_alarm(canary, negative, share)
            alarms["two-sample z > 1.645", setting] = two_sample_z_alarm(canary, negative)
    # each unhappy user, once assigned, says so three times on average
    rng = np.random.default_rng([*task, 5])
    arms = rng.random(800) < 0.5
    repeats = np.repeat(arms, rng.geometric(1 / 3, 800))[:800]
    for rule, stream in (("each user once", arms), ("every repeat", repeats)):
        everywhere = np.full(800, 0.5)
        alarms[f"NegativesShare, {rule}", "50%, users repeat (mean 3)"] = share_alarm(
            stream, np.ones(800, dtype=bool), everywhere
        )
    return alarms


def share_change_path(task: tuple[int, int]) -> dict[tuple[float, str], int | None]:
    """Return the votes of both arms until a worse canary is found."""
    delays: dict[tuple[float, str], int | None] = {}
    for worse in (0.08, 0.15):
        for split in SPLITS:
            rng = np.random.default_rng([*task, 4, int(worse * 100), SPLITS.index(split)])
            share = shares(split, SHARE_VOTES)
            share = np.concatenate((share, np.full(SHARE_AFTER - SHARE_VOTES, share[-1])))
            canary, negative = two_arms(rng, share, worse, shocks=False)
            at = share_alarm(canary, negative, share)
            delays[worse, split] = None if at is None else at + 1
    return delays


def probability_row(table: str, rule: str, setting: str, alarmed: list[bool], design: str) -> Row:
    """Return a row with the share of paths that alarmed and its 95% Monte Carlo error."""
    n, value = len(alarmed), sum(alarmed) / len(alarmed)
    smoothed = (sum(alarmed) + 2) / (n + 4)
    error = 1.96 * math.sqrt(smoothed * (1 - smoothed) / n)
    return Row(table, rule, setting, n, value, error, None, None, design)


def delay_row(table: str, rule: str, setting: str, delays: list[int | None], design: str) -> Row:
    """Return a row with the median delay and its order-statistic 95% error; a miss counts as longer than any delay."""
    if not delays:
        return Row(table, rule, setting, 0, None, None, None, None, design)
    ranked = sorted(math.inf if delay is None else float(delay) for delay in delays)
    n = len(ranked)
    step = 1.96 * math.sqrt(n) / 2
    low, high = ranked[max(0, int(n / 2 - step))], ranked[min(n - 1, int(n / 2 + step))]
    numbers = [statistics.median_low(ranked), (high - low) / 2, ranked[min(n - 1, int(0.9 * n))]]
    value, error, p90 = (number if math.isfinite(number) else None for number in numbers)
    found = sum(map(math.isfinite, ranked)) / n
    return Row(table, rule, setting, n, value, error, p90, found, design)


def monitor_rows(
    quiet: list[dict[str, int | None]], changed: list[dict[tuple[str, float, int], int | None]]
) -> Iterator[Row]:
    """Yield the rows for one stream against its reference."""
    for name, (_, design, early_design) in RULES.items():
        for votes, figure in ((HORIZON, design), (2000, early_design)):
            alarmed = [(at := path[name]) is not None and at < votes for path in quiet]
            yield probability_row("false alarm", name, f"5%, {votes:,} votes", alarmed, figure)
    for key in changed[0]:
        rule, worse, good = key
        # a path that alarmed before the change has no delay: it was a false alarm
        delays = [delay for path in changed if (delay := path[key]) is None or delay > 0]
        setting = f"5 -> {worse:.0%}, " + (f"after {good:,} good" if good else "from the start")
        yield delay_row("delay (median / p90)", rule, setting, delays, DELAY_DESIGN[key])


def share_rows(
    quiet: list[dict[tuple[str, str], int | None]], changed: list[dict[tuple[float, str], int | None]]
) -> Iterator[Row]:
    """Yield the rows for canary against stable."""
    for rule, setting in quiet[0]:
        split = next(index for index, name in enumerate(SPLITS) if setting.startswith(name))
        design = SHARE_FALSE_DESIGN["shocks" in setting][split] if rule == "NegativesShare" else ""
        design = "0.23-0.46" if rule.startswith("two-sample") else design
        alarmed = [path[rule, setting] is not None for path in quiet]
        yield probability_row("canary, false alarm", rule, setting, alarmed, design)
    for worse, name in changed[0]:
        delays = [path[worse, name] for path in changed]
        design = SHARE_DELAY_DESIGN[worse][SPLITS.index(name)]
        yield delay_row("canary, delay (median / p90)", "NegativesShare", f"5% vs {worse:.0%}, {name}", delays, design)


def delays_of_watches(task: tuple[int, int]) -> dict[tuple[int, float, int], int | None]:
    return dict(watch_delays(task))


def segment_rows(months: list[dict[str, int]]) -> Iterator[Row]:
    """Yield false alarms a month in all segments together, with the 95% error of their mean."""
    design = {"declared watches, one budget": "0.00 (bound 1)", "last 200 votes > 8%": "37.4"}
    design["rolling z, 500 votes, z > 1.645"] = "21.0"
    for rule, told in design.items():
        counts = np.array([month[rule] for month in months], dtype=float)
        error = 1.96 * float(counts.std(ddof=1)) / math.sqrt(len(counts)) if len(counts) > 1 else None
        setting = "5%, 200 segments (Zipf), 29,889 votes"
        value = float(counts.mean())
        yield Row("false alarms a month", rule, setting, len(counts), value, error or 0.0, None, None, told)


def watch_rows(paths: list[dict[tuple[int, float, int], int | None]]) -> Iterator[Row]:
    """Yield how many votes a declared watch takes; a path that alarmed before the change has no delay."""
    for key in paths[0]:
        place, worse, good = key
        delays = [delay for path in paths if (delay := path[key]) is None or delay > 0]
        setting = f"5 -> {worse:.0%}, " + (f"after {good:,} good" if good else "from the start")
        yield delay_row("delay (median / p90)", f"declared watch, group {place} of its budget", setting, delays, "")


def gate_rows(seed: int, draws: int) -> Iterator[Row]:
    """Yield how often the gate passes a candidate that is worse by the margin (size), and one that is equal (power)."""
    wrong = {cell: gate_passes(seed, *cell, cell[2], draws) for cell in GATE_CELLS}
    worst = max(wrong, key=lambda cell: sum(wrong[cell]))
    n, discordant, margin = worst
    setting = f"worst of {len(wrong)} cells: n={n}, {discordant:.0%} differ, margin {margin:.0%}"
    yield probability_row("gate, false pass", "judge_candidate", setting, wrong[worst], "<= 0.056")
    for n, margin, design in ((100, 0.05, "0.44"), (200, 0.05, "0.71"), (500, 0.05, "0.97"), (1500, 0.02, "0.79")):
        setting = f"truly equal, n={n}, 10% differ, margin {margin:.0%}"
        passed = gate_passes(seed, n, 0.1, margin, 0.0, draws)
        yield probability_row("gate, power", "judge_candidate", setting, passed, design)
    for discordant in (0.1, 0.15, 0.2):
        worse = mean_rule_passes(seed, 100, discordant, 0.05, draws)
        setting = f"5 points worse, n=100, {discordant:.0%} differ"
        design = "0.12" if discordant == 0.15 else ""
        yield probability_row("gate, false pass", "mean not lower", setting, worse, design)
    equal = [not passed for passed in mean_rule_passes(seed, 100, 0.1, 0.0, draws)]
    yield probability_row("gate, false block", "mean not lower", "truly equal, n=100, 10% differ", equal, "0.44")


def microseconds_per_update() -> float:
    """Return the time of one `RateMonitor.update` on this machine."""
    votes = (np.random.default_rng(0).random(100_000) < BASELINE).tolist()
    monitor = RateMonitor(BASELINE, horizon=HORIZON)
    began = time.perf_counter()
    for vote in votes:
        monitor.update(vote)
    return (time.perf_counter() - began) / len(votes) * 1e6


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    lines = ["| what | rule | setting | n | measured | +- | design | apart |", "|---|---|---|---:|---:|---:|---:|---|"]
    for row in rows:
        if row.found is None and row.value is not None:
            measured, error = f"{row.value:.3f}", f"{row.error:.3f}"
        else:
            measured = " / ".join("-" if number is None else f"{number:.0f}" for number in (row.value, row.p90))
            measured += "" if row.found in (None, 1.0) else f" ({row.found:.0%} found)"
            error = "-" if row.error is None else f"{row.error:.0f}"
        apart = {None: "", False: "no", True: "**yes**"}[row.apart()]
        cells = (row.table, row.rule, row.setting, str(row.n), measured, error, row.design, apart)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--paths", type=int, help="streams without a change (default 1500, quick 120)")
    parser.add_argument("--quick", action="store_true", help="about 15 seconds, wide errors")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows here")
    parser.add_argument("--markdown", type=Path, metavar="OUT", help="write the table here")
    args = parser.parse_args()
    args.paths = args.paths or (120 if args.quick else 1500)
    if args.paths < 1:
        parser.error(f"expected --paths to be 1 or more, got {args.paths}")
    return args


def main() -> None:
    args = arguments()
    began = time.perf_counter()
    tasks = [(args.seed, path) for path in range(args.paths)]
    fewer = tasks[: max(1, args.paths // 2)]
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        quiet = pool.map(quiet_path, tasks, chunksize=4)
        print(f"{time.perf_counter() - began:.0f} s: streams without a change", file=sys.stderr)
        changed = pool.map(change_path, fewer, chunksize=4)
        print(f"{time.perf_counter() - began:.0f} s: streams with a change", file=sys.stderr)
        share_quiet = pool.map(share_quiet_path, tasks, chunksize=4)
        share_changed = pool.map(share_change_path, fewer, chunksize=4)
        print(f"{time.perf_counter() - began:.0f} s: canaries", file=sys.stderr)
        months = pool.map(segments_month, tasks[: max(2, args.paths // 10)], chunksize=2)
        delays = pool.map(delays_of_watches, tasks[: max(2, args.paths // 4)], chunksize=4)
    rows = [*monitor_rows(quiet, changed), *share_rows(share_quiet, share_changed)]
    rows += [*segment_rows(months), *watch_rows(delays), *gate_rows(args.seed, 20_000)]
    update_us = microseconds_per_update()
    table = markdown(rows)
    print(table)
    compared = [apart for row in rows if (apart := row.apart()) is not None]
    ending = (
        f"\n{sum(compared)} of {len(compared)} figures are apart from the design's by more than the 95% error of their"
        f" difference; chance alone would make it {0.05 * len(compared):.0f}.\n"
        f"\n{time.perf_counter() - began:.0f} s on {args.jobs} processes; one RateMonitor update: {update_us:.1f} us."
        "\n+- is the 95% Monte Carlo error. Delays count votes, false alarms before the change left out."
    )
    print(ending)
    if args.markdown:
        head = "# Detection: false alarms and delays\n\nMade by `python benches/bench_detection.py` "
        head += f'(seed {args.seed}). "design" is the figure the design was built on, from another implementation.\n\n'
        args.markdown.write_text(f"{head}{table}\n{ending}\n")
    if args.json:
        machine = {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "jobs": args.jobs,
            "seconds": round(time.perf_counter() - began, 1),
            "update_us": round(update_us, 2),
        }
        result = {"bench": "detection", "machine": machine, "seed": args.seed, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
