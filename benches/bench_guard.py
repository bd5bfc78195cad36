"""Do harmful and brigaded candidates get through? Seeded worlds through the engine's own gate, trial and quarantine.

    PYTHONPATH=src:. python benches/bench_guard.py [--worlds 200] [--jobs 2] [--first SEED] [--json OUT] [--page OUT]

A world is a product with 20 kinds of questions answered from exemplars (`ExemplarMemory` over hashed words), 2,000
people of whom a share is new each day, 2,000 answers and about 200 votes a day. People vote no on 85% of wrong answers
and on 6% of right ones. Every world is judged with the default settings but for what its arm says. "Harmful" is a
candidate whose answers are in truth wrong more often than stable's by more than a point; others are counted apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

from benches.guard_corpus import ATTACKS, HARMLESS
from benches.guard_world import Arm, Ended, play
from benches.machine import machine
from trimtab.act.guard.lint import look
from trimtab.stats.interval import clopper_pearson_lower, clopper_pearson_upper

ARMS = (
    Arm("(a) 50 flipped labels, no other golden cases", "flipped"),
    Arm("(a) 50 flipped labels, 100 golden cases", "flipped", golden=100),
    Arm("(a) 50 flipped labels, no gate at all", "flipped", gate=False),
    Arm("(b) equal candidate, gate left out", "equal", gate=False),
    Arm("(c) 20% hostile, accounts of that day", "new"),
    Arm("(c) same, guards off", "new", guarded=False),
    Arm("(c) 20% hostile, three accounts write the corrections", "few"),
    Arm("(c) same, guards off", "few", guarded=False),
    Arm("(c) 20% hostile, old accounts, all of them wrote", "old"),
    Arm("(c) same, guards off", "old", guarded=False),
    Arm("(c) 20% hostile, old accounts, one in ten wrote", "sleepers"),
    Arm("(c) same, guards off", "sleepers", guarded=False),
    Arm("(c) same, and they praised answers for weeks before", "sleepers", patient=True),
    Arm('(c) same, canary.control = "prove"', "sleepers", patient=True, prove=True),
    Arm("(c) same, and they ask and vote on one subject only", "sleepers", patient=True, aware=True),
    Arm("(d) mends the incident, 10% newcomers"),
    Arm("(d) same, guards off", guarded=False),
    Arm('(d) same, canary.control = "prove"', prove=True),
    Arm("(d) mends the incident, 50% newcomers", newcomers=0.5),
    Arm("(d) same, guards off", newcomers=0.5, guarded=False),
    Arm("(d) mends the incident, all newcomers", newcomers=1.0),
    Arm("(d) same, guards off", newcomers=1.0, guarded=False),
)


def row_of(arm: Arm, ended: list[Ended]) -> dict[str, Any]:
    """Return one row: counts, and the 95% interval of the worlds in which a harmful version (or any) got through."""
    harmful = [each for each in ended if each.harm > 0.01]
    bad = arm.attack not in ("", "equal")
    through = sum(each.verb == "promote" for each in (harmful if bad else ended))
    n = len(ended)
    days = sorted(each.days for each in ended if each.verb == "promote")
    return {
        "arm": arm.name,
        "worlds": len(ended),
        "harmful": len(harmful),
        "promoted": sum(each.verb == "promote" for each in ended),
        "everyone": through,
        "interval": [
            round(clopper_pearson_lower(through, n, 0.975), 4) if n else 0.0,
            round(clopper_pearson_upper(through, n, 0.975), 4) if n else 1.0,
        ],
        "gate": sum(each.verb == "gate" for each in ended),
        "rolled_back": sum(each.verb == "roll_back" for each in ended),
        "paused": sum(each.verb in ("pause", "stay") for each in ended),
        "empty": sum(each.verb == "empty" for each in ended),
        "held": sum(each.held > 0 for each in ended),
        "harm_points": round(100 * statistics.mean(each.harm for each in ended), 1),
        "days": round(statistics.median(days), 1) if days else None,
        "reasons": sorted({each.reason for each in ended if each.verb in ("pause", "stay")})[:3],
    }


def lint_figures() -> dict[str, Any]:
    """Return what the lint refuses of either corpus, and what it misses."""
    refused = [sum(found.weight for found in look(text)) >= 1 for text in ATTACKS]
    false = [sum(found.weight for found in look(text)) >= 1 for text in HARMLESS]
    started = time.perf_counter()
    for text in HARMLESS:
        look(text)
    return {
        "attacks": len(ATTACKS),
        "refused": sum(refused),
        "harmless": len(HARMLESS),
        "refused_falsely": sum(false),
        "missed": [text[:60] for text, seen in zip(ATTACKS, refused, strict=True) if not seen],
        "us_per_text": round((time.perf_counter() - started) / len(HARMLESS) * 1e6),
    }


def written(found: dict[str, Any]) -> str:
    """Return the page of figures."""
    lint, facts = found["lint"], found["machine"]
    ran = f"{found['worlds']} seeded worlds per row, seeds from {found['first']}, default settings; "
    ran += f"{facts['processor']}, {facts['cores']} cores, "
    ran += f"load {facts['load_before']}, Python {facts['python']}."
    how = "*Through*: worlds in which a harmful version (in b and d: the candidate) reached everyone, with the 95% "
    how += "Clopper-Pearson interval. *Harm*: mean change of wrong answers, in points. *Days*: median until promotion."
    lines = [
        "# Guards",
        "",
        ran,
        "",
        how,
        "",
        "| arm | harmful | through | interval | gate | rolled back | paused | set aside | harm | days |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['arm']} | {row['harmful']} | {row['everyone']} | {row['interval'][0]:.3f}-{row['interval'][1]:.3f} "
        f"| {row['gate']} | {row['rolled_back']} | {row['paused']} | {row['held']} | {row['harm_points']:+.1f} "
        f"| {row['days'] if row['days'] is not None else ''} |"
        for row in found["rows"]
    ]
    said = [reason for row in found["rows"] for reason in row["reasons"] if reason.startswith("held")]
    lines += ["", "What a held change says, for example:", "", *(f"> {reason}" for reason in said[:1]), ""]
    seen = f"Of {lint['attacks']} attacks {lint['refused']} are refused, of {lint['harmless']} harmless texts "
    seen += (
        f"{lint['refused_falsely']}; {lint['us_per_text']} us per text. Texts and list were written by the same hand "
    )
    seen += (
        "and the list was tuned on them: before that it refused 78 of 117 attacks and 8 of 110 harmless texts. Missed:"
    )
    lines += [
        "## Lint",
        "",
        seen,
        "",
        *(f"- `{text}`" for text in lint["missed"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", default="")
    told = parser.parse_args()
    facts = machine()
    rows = []
    with multiprocessing.get_context("spawn").Pool(told.jobs) as pool:
        for arm in ARMS:
            if arm.name.startswith(told.only):
                ended = pool.map(play, [(arm, told.first + seed) for seed in range(told.worlds)], chunksize=4)
                rows.append(row_of(arm, ended))
                print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    found = {"machine": facts, "worlds": told.worlds, "first": told.first, "lint": lint_figures(), "rows": rows}
    if told.json:
        told.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if told.page:
        told.page.write_text(written(found), "utf-8")


if __name__ == "__main__":
    main()
