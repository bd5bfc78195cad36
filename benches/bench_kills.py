"""Kills engines in every step of every playbook, and looks whether all runs end, nothing is done twice, all is written.

Run: `python benches/bench_kills.py [--kills 120] [--seed 0] [--worlds 4]`.

For each action (exemplar, rule, knowledge, prompt, finetune, rollback) one engine answers an incident undisturbed: it
notifies a webhook, asks for reviews, orders and trains a model, then gathers, builds, gates and exposes a candidate, or
serves the version before again. Then the same is done in several worlds whose engine sends itself SIGKILL at points
drawn by the seed (before, inside or after a commit, or after the workflow engine wrote the step down), is started
again, and is killed again at the next. Each world must end with the rows of the undisturbed one: runs with every step
and what it wrote down, changes, versions, rollouts, reviews, deliveries, jobs. Messages leave at least once, under one
id by which receivers drop repeats; they are counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from tests.crash.playbook_lives import ACTIONS  # noqa: E402
from tests.crash.playbook_worlds import STEPS, WHENS, chosen, faults, world  # noqa: E402

RESULTS = ROOT / "benches" / "results"


def killed(folder: Path, action: str, kills: int, worlds: int, seed: int) -> dict[str, Any]:
    """Let the worlds of one action live; return what came of them."""
    straight = world(folder / "straight", action)
    found: dict[str, Any] = {"action": action, "kills": 0, "points": [], "wrong": [], "repeated": 0, "messages": 0}
    found["steps"] = sorted(STEPS & set(straight.trace))
    found["runs"] = 0
    for number, points in enumerate(chosen(straight.trace, kills, worlds, seed)):
        lived = world(folder / str(number), action, points)
        found["kills"] += lived.lives.count(-9)
        found["points"].append(points)
        found["wrong"] += [f"{' '.join(points)}: {fault[:400]}" for fault in faults(straight, lived, points)]
        found["runs"] += sum(run["state"] == "done" for run in lived.end.runs)
        found["repeated"] += lived.repeated
        found["messages"] += len(lived.arrived)
        print(action, number, lived.lives, "ok" if not found["wrong"] else found["wrong"], flush=True)
    return found


def table(results: list[dict[str, Any]]) -> list[str]:
    lines = ["| action | kills | worlds | runs ended | steps killed in | messages | of them came again | otherwise |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for each in results:
        hit = {point.partition(":")[2] for points in each["points"] for point in points} & set(each["steps"])
        lines.append(
            f"| {each['action']} | {each['kills']} | {len(each['points'])} | {each['runs']} | {len(hit)} of "
            f"{len(each['steps'])} | {each['messages']} | {each['repeated']} | {len(each['wrong'])} |"
        )
    return lines


def main() -> None:
    """Kill, compare, print, and write benches/results/kills.json and kills.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--worlds", type=int, default=4, help="worlds of each action")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    ran_on, began = machine(), time.monotonic()
    each = told.kills // len(ACTIONS)
    with tempfile.TemporaryDirectory() as folder:
        results = [
            killed(Path(folder) / action, action, each, told.worlds, told.seed + number)
            for number, action in enumerate(ACTIONS)
        ]
    minutes = (time.monotonic() - began) / 60
    points = [point for result in results for lives in result["points"] for point in lives]
    whens = Counter(point.partition(":")[0] for point in points)
    names = Counter(point.partition(":")[2] for point in points)
    wrong = [fault for result in results for fault in result["wrong"]]
    kills = sum(result["kills"] for result in results)
    report = {
        "command": f"python benches/bench_kills.py --kills {told.kills} --worlds {told.worlds} --seed {told.seed}",
        "kills": kills,
        "met": not wrong and kills == each * len(ACTIONS),
        "minutes": round(minutes, 1),
        "results": results,
        "machine": ran_on,
    }
    lines = [
        "# Killed in every step of every playbook",
        "",
        f"`{report['command']}`: {kills} kills, {report['minutes']} minutes.",
        f"{ran_on['processor']}, {ran_on['cores']} cores (load {ran_on['load_before']}), Python {ran_on['python']}.",
        "",
        *table(results),
        "",
        "`otherwise` counts differences from the engine that was never killed: rows of incidents, changes, runs with",
        "every step and its detail, rollouts, versions, cases, reviews, jobs, deliveries; times trained; messages by",
        "id and body. Not compared are what a search spent (a killed one counts) and the id of a set built anew.",
        "A message that came again was killed between sending and writing it down; it bears the same id.",
        "",
        f"When: {', '.join(f'{when} {whens[when]}' for when in WHENS)}.",
        f"Where: {', '.join(f'{name} {count}' for name, count in sorted(names.items()))}.",
        *(["", "Wrong:", "", *(f"- {fault}" for fault in wrong)] if wrong else []),
    ]
    (RESULTS / "kills.json").write_text(json.dumps(report, indent=2) + "\n")
    (RESULTS / "kills.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(0 if report["met"] else 1)


if __name__ == "__main__":
    main()
