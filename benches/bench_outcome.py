"""Measure whether the share of bad answers can be known from hints, few votes and a small audit.

Products whose truth is known (`outcome_world.py`: 15% bad, 5% of the bad and 2% of the good voted on, hints that come
together through their users) are judged by the table alone, by weights learned from votes with and without the table as
a prior, and with an audit. Prints a table; writes it, with JSON, to benches/results/.

    PYTHONPATH=src:. python benches/bench_outcome.py [--quick] [--worlds N] [--out FOLDER]
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from benches.machine import machine
from benches.outcome_world import KINDS, World, audit, labelled, made, scores
from trimtab.config import Outcomes
from trimtab.enrich.calibrate import calibrate
from trimtab.enrich.weights import HINTS, table
from trimtab.records import Calibration
from trimtab.stats.calibration import auc, ece
from trimtab.stats.interval import wilson
from trimtab.stats.logistic import fit_slopes
from trimtab.stats.prediction import prediction_powered

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = Outcomes(min_votes=1)
TABLE = table("product", SETTINGS, now=NOW)
AUDITED = 150
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One line: the mean over `worlds` and the standard deviation between them; `design` is what was planned with."""

    what: str
    answers: int
    worlds: int
    figures: dict[str, tuple[float, float]]
    design: str = ""


def by_table(_: World, __: int) -> Calibration:
    return TABLE


def by_votes(world: World, sd: float) -> Calibration:
    """Fit slopes and level to the votes alone: what most would do."""
    votes = labelled(world, np.flatnonzero(world.voted).tolist())
    rows = [[float(kind in answer.hints) for kind in HINTS] for answer in votes]
    centre = [float(TABLE.weights[kind]) for kind in HINTS]
    fit = fit_slopes(rows, [answer.bad for answer in votes], centre=centre, sd=sd, intercept_sd=100.0)
    return msgspec.structs.replace(TABLE, base=fit.intercept, weights=dict(zip(HINTS, fit.slopes, strict=True)))


def most_likely(world: World, _: int) -> Calibration:
    return by_votes(world, 100.0)


def most_probable(world: World, _: int) -> Calibration:
    return by_votes(world, SETTINGS.slope_sd)


def with_audit(world: World, seed: int) -> Calibration:
    """Calibrate as Trimtab does: slopes from votes, level from the audit."""
    drawn = [place for place in audit(world, AUDITED, seed) if not world.voted[place]]
    votes = np.flatnonzero(world.voted).tolist()
    return calibrate("product", labelled(world, votes), labelled(world, drawn), SETTINGS, NOW)


WAYS: dict[str, tuple[Callable[[World, int], Calibration], dict[int, str]]] = {
    "table only": (by_table, {3000: ".794 / .046 / .103"}),
    "ML on votes": (most_likely, {3000: ".726 / .104 / .238", 30_000: ".790 / .106 / .256"}),
    "MAP on votes": (most_probable, {3000: ".791 / .079 / .228", 30_000: ".793 / .104 / .254"}),
    f"MAP + {AUDITED} audited": (with_audit, {3000: ".791 / .028 / .150", 30_000: ".793 / .035 / .151"}),
}


def spread(values: Iterable[float]) -> tuple[float, float]:
    found = np.fromiter(values, dtype=float)
    return round(float(found.mean()), 4), round(float(found.std(ddof=1)), 4)


def score_rows(worlds: int) -> list[Row]:
    """Return how good each way's scores are, on all answers of the world against their truth."""
    rows = []
    for answers in (3000, 30_000):
        for way, (calibrated, design) in WAYS.items():
            found = []
            for seed in range(worlds):
                world = made(seed, answers)
                score, truth = scores(world, calibrated(world, seed)), world.bad.astype(float).tolist()
                ranks, off = auc(score.tolist(), truth, draws=0).value, ece(score.tolist(), truth, draws=0).value
                found.append((ranks or 0.0, off or 0.0, float(score.mean()), float(np.mean(truth))))
            names = ("AUC", "ECE", "mean p", "truth")
            figures = {name: spread(each[place] for each in found) for place, name in enumerate(names)}
            rows.append(Row(way, answers, worlds, figures, design.get(answers, "")))
    return rows


def estimate_rows(worlds: int) -> list[Row]:
    """Return how often the estimate's interval holds the truth, how wide it is, and what votes alone would say."""
    rows = []
    for answers, audited in ((3000, 50), (3000, AUDITED), (3000, 400), (30_000, AUDITED)):
        found = []
        for seed in range(worlds):
            world = made(10_000 + seed, answers)
            score, truth = scores(world, TABLE, votes=True), float(world.bad.mean())
            pairs = [(float(score[place]), float(world.bad[place])) for place in audit(world, audited, seed)]
            own = prediction_powered(answers, float(score.sum()), float((score**2).sum()), pairs)
            bare = np.array([bad for _, bad in pairs])
            voters = wilson(int(world.bad[world.voted].sum()), int(world.voted.sum()))
            found.append(
                (
                    own.value,
                    own.low <= truth <= own.high,
                    own.se,
                    float(bare.std(ddof=1) / np.sqrt(audited)),
                    voters.value or 0.0,
                    voters.low <= truth <= voters.high,
                    (voters.value or 0.0) / truth,
                )
            )
        names = ("estimate", "held", "se", "se of the audit alone", "voters say", "voters held", "voters / truth")
        figures = {name: spread(each[place] for each in found) for place, name in enumerate(names)}
        rows.append(Row(f"{audited} audited", answers, worlds, figures, ".151, se .025, audit alone .029"))
    return rows


def badge_rows(worlds: int) -> list[Row]:
    """Return how often a feature gets the badge, by size of its audit; the table's weights are roughly right here."""
    rows = []
    for audited in (100, 150, 200, 300, 600):
        found = []
        for seed in range(worlds):
            world = made(20_000 + seed, 3000)
            drawn = [place for place in audit(world, audited, seed) if not world.voted[place]]
            made_of = calibrate("product", [], labelled(world, drawn), Outcomes(), NOW)
            truth = world.bad.astype(float).tolist()
            real = ece(scores(world, made_of).tolist(), truth, draws=0).value or 0.0
            found.append((made_of.calibrated, made_of.ece or 0.0, real))
        names = ("badge", "ECE measured", "ECE in truth")
        figures = {name: spread(each[place] for each in found) for place, name in enumerate(names)}
        rows.append(Row(f"{audited} audited", 3000, worlds, figures))
    return rows


def cell(figure: tuple[float, float], *, share: bool = False) -> str:
    return f"{figure[0]:.1%}" if share else f"{figure[0]:.3f} ± {figure[1]:.3f}"


def markdown(parts: dict[str, list[Row]]) -> str:
    """Return the tables; shares are of the worlds, ± is the standard deviation between worlds."""
    lines = []
    for title, rows in parts.items():
        names = list(rows[0].figures)
        lines += [f"## {title}", "", "| | answers | worlds | " + " | ".join(names) + " | design |"]
        lines.append("|---|---:|---:|" + "---:|" * (len(names) + 1))
        for row in rows:
            shown = [cell(row.figures[name], share=name in ("held", "voters held", "badge")) for name in names]
            lines.append(f"| {row.what} | {row.answers:,} | {row.worlds} | {' | '.join(shown)} | {row.design} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=40, help="worlds per row; ten times as many for intervals")
    parser.add_argument("--quick", action="store_true", help="4 worlds per row")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write outcome.json and outcome.md")
    args = parser.parse_args()
    worlds = 4 if args.quick else args.worlds
    if worlds < 2:
        parser.error(f"expected --worlds to be 2 or more, got {worlds}")
    began, place = time.perf_counter(), machine()
    parts = {
        "Scores": score_rows(worlds),
        "Estimated dissatisfaction, by the table's scores": estimate_rows(10 * worlds),
        "The badge": badge_rows(5 * worlds),
    }
    text = markdown(parts)
    print(text)
    seconds = time.perf_counter() - began
    head = (
        f"# Outcomes\n\nMade by `python benches/bench_outcome.py` ({seconds:.0f} s; Python {place['python']}; its "
        "figures do not depend on the machine). ± is the standard deviation between worlds; `design` has the figures "
        f"planned with, as AUC / ECE / mean p. {len(KINDS)} kinds of hints; the truth is 15% bad.\n\n"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "outcome.md").write_text(head + text)
    rows = {title: [asdict(row) for row in part] for title, part in parts.items()}
    result = {"bench": "outcome", "machine": place, "seconds": round(seconds, 1), "tables": rows}
    (args.out / "outcome.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
