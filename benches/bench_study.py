"""Six months of drift in three worlds: what each way of working loses, and the negative controls beside it.

Needs CLINC150 (`$TRIMTAB_DATA/clinc150/data_full.json`, by default `../shared/data` beside the checkout). Its drift is
injected, not natural. Prints one table and writes `results/study.md` and `results/study.json`.

    python benches/bench_study.py [--seeds 4] [--first-seed 20]

The study's settings were chosen while looking at seeds 0 to 5, so the table is of others.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trimtab.study.arms import ARMS
from trimtab.study.data import Table, read
from trimtab.study.report import as_json
from trimtab.study.run import ArmResult, Study, run
from trimtab.study.world import Dials

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("TRIMTAB_DATA", HERE.parent / ".." / "shared" / "data"))
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
HEAD = (
    "| arm | live start -> end | live loss | fresh loss | mean accuracy | labels | hours (assumed) | incidents "
    "| promoted |"
)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the mean with its 95% t interval over worlds; alone where there is one."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    half = T95.get(len(values), 2.0) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def row(name: str, results: Sequence[ArmResult]) -> str:
    """Return one line of the table."""
    ends = f"{statistics.mean(r.live_start for r in results):.1f} -> {statistics.mean(r.live_end for r in results):.1f}"
    cells = [
        name,
        ends,
        spread([r.live_loss for r in results]),
        spread([r.fresh_loss for r in results]),
        spread([r.mean_accuracy for r in results]),
        spread([r.labels for r in results], 0),
        spread([r.hours["assumed"] for r in results]),
        f"{statistics.mean(r.incidents for r in results):.1f}",
        f"{statistics.mean(r.promotions for r in results):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def months(name: str, results: Sequence[ArmResult]) -> str:
    """Return one line of accuracy by month."""
    shares = [
        f"{100 * statistics.mean(r.months[place].accuracy for r in results):.1f}"
        for place in range(len(results[0].months))
    ]
    return f"| {name} | {' | '.join(shares)} |"


def one(table: Table, seed: int, kind: str) -> Study:
    """Run one world: all arms in a drifting one, the closed arm in a control."""
    dials = Dials(seed=seed, drift=0.0 if kind == "drift 0" else 1.0, shuffled=kind == "shuffled")
    return run(table, dials, arms=ARMS if kind == "drift 1" else ["closed"])


def main() -> None:
    """Run everything, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=20)
    told = parser.parse_args()
    started = time.perf_counter()
    table = read(DATA / "clinc150" / "data_full.json")
    with ThreadPoolExecutor(2) as pool:  # two worlds at a time, each with a process per arm
        work = {
            kind: [pool.submit(one, table, seed, kind) for seed in range(told.first_seed, told.first_seed + told.seeds)]
            for kind in ("drift 1", "drift 0", "shuffled")
        }
        drifting, still, shuffled = ([future.result() for future in futures] for futures in work.values())
    minutes = (time.perf_counter() - started) / 60
    first = drifting[0]
    dials = first.assumptions["dials"]
    span = f"{dials['weeks']} weeks x {dials['per_week']}"
    intro = (
        f"CLINC150 (Larson et al. 2019, CC BY 3.0): real questions, **injected** drift. {told.seeds} worlds (seeds "
        f"from {told.first_seed}; settings were chosen on seeds 0 to 5), {span}; mean and 95% t interval over worlds. "
        "Losses in points against the arm's own start: live on the stream's last four weeks, fresh on texts held out."
    )
    lines = [
        "# Six months of drift, three ways of working",
        "",
        intro,
        "",
        HEAD,
        "|---|---|---|---|---|---|---|---|---|",
        *(row(name, [study.arms[name] for study in drifting]) for name in ARMS),
        row("closed, drift 0 (control)", [study.arms["closed"] for study in still]),
        row("closed, shuffled feedback (control)", [study.arms["closed"] for study in shuffled]),
        "",
        "Right answers, live, percent by month:",
        "",
        "| arm | " + " | ".join(f"{month.month}" for month in first.arms["static"].months) + " |",
        "|---|" + "---|" * len(first.arms["static"].months),
        *(months(name, [study.arms[name] for study in drifting]) for name in ARMS),
        "",
        f"All of it took {minutes:.1f} minutes on {os.cpu_count()} cores.",
        "",
        "Assumed:",
        "",
        "```json",
        json.dumps(first.assumptions, indent=2),
        "```",
        "",
    ]
    print("\n".join(lines[: lines.index("Assumed:")]))
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "study.md").write_text("\n".join(lines), encoding="utf-8")
    report = {
        "drift 1": [as_json(study) for study in drifting],
        "drift 0": [as_json(study) for study in still],
        "shuffled": [as_json(study) for study in shuffled],
    }
    (results / "study.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
