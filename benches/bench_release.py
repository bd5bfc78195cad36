"""How many votes, and how much time, until a bad release is found, and until nobody is served it, with no person.

    PYTHONPATH=src python benches/bench_release.py [--seeds 20] [--controls 60] [--json OUT] [--markdown OUT]

A real `trimtab serve` process with default settings, an app with the SDK in
this process, everything between them over HTTP on loopback, and the machine's clock. Each seed has its own feature:
600 people vote on a first version of which 10% of answers are voted down (500 votes are the baseline), then a person
releases another one through the API. From then on a person a turn is served, 50 a second, each votes, and nobody looks.
A release counts as found when its incident opens, as rolled back when the pointer moves, as gone when the app itself
serves the earlier version again. The control is a release that is as good as what it replaces, 1,000 votes each, which
come at 200 a second.

Votes are what it takes; seconds are votes at this pace. At one vote a minute the same votes take hours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from tests.sample_app import Released, SampleApp  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.stats.interval import clopper_pearson  # noqa: E402

BAD_RATE = {"first": 0.1, "twice": 0.2, "thrice": 0.3, "half": 0.5, "as-good": 0.1}
LEARNED = 600
PER_SECOND = 50.0
CONTROL_PER_SECOND = 200.0
FIRST_SEED = 810_000


class Cell(NamedTuple):
    """A kind of release: its model, and how many votes it gets at the most."""

    model: str
    votes: int


CONTROL = "as-good"
CELLS = (Cell("twice", 2_000), Cell("thrice", 1_000), Cell("half", 1_000), Cell(CONTROL, 1_000))


def live(server: ServerProcess, folder: Path, cell: Cell, seed: int) -> Released:
    with SampleApp(server.url, server.keys, f"f-{cell.model}-{seed}", folder / "spool", BAD_RATE, seed) as app:
        app.release("first")
        app.learn(LEARNED)
        version = app.release(cell.model)
        pace = CONTROL_PER_SECOND if cell.model == CONTROL else PER_SECOND
        return app.follow(version, cell.model, votes=cell.votes, per_second=pace)


def row(cell: Cell, ended: Sequence[Released]) -> dict[str, Any]:
    found = [one for one in ended if one.found_s is not None]
    rate = clopper_pearson(len(found), len(ended))
    told: dict[str, Any] = {
        "release": f"{BAD_RATE['first']:.0%} -> {BAD_RATE[cell.model]:.0%}",
        "seeds": len(ended),
        "votes_at_most": cell.votes,
        "rolled_back": len(found),
        "low": round(rate.low, 3),
        "high": round(rate.high, 3),
    }
    for name, values in (
        ("votes_until_found", [one.heard for one in found]),
        ("votes_until_gone", [one.votes for one in found]),
        ("found_s", [one.found_s for one in found]),
        ("switched_after_found_s", [(one.switched_s or 0) - (one.found_s or 0) for one in found]),
        ("gone_after_found_s", [(one.back_in_app_s or 0) - (one.found_s or 0) for one in found]),
    ):
        told[name] = spread([float(value) for value in values if value is not None])
    return told


def spread(values: list[float]) -> dict[str, float] | None:
    """Return median, nine of ten, and the most."""
    if not values:
        return None
    ordered = sorted(values)
    ninth = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return {"median": round(statistics.median(ordered), 3), "p90": round(ninth, 3), "most": round(ordered[-1], 3)}


def table(rows: Sequence[dict[str, Any]], on: dict[str, Any], command: str) -> str:
    lines = [
        "# A bad release, found and rolled back with no person",
        "",
        f"Made by `{command}`,",
        f"seeds from {FIRST_SEED:,}: a real server, an app with the SDK, HTTP on loopback, the machine's clock,",
        f"{PER_SECOND:g} votes a second after the release. {on['processor']}, {on['cores']} cores,",
        f"load {on['load_before']} before it began. Intervals are Clopper-Pearson, 95%. Median / nine of ten / most.",
        "",
        "| bad votes | rolled back | interval | votes, found | votes, gone | s, found | s from found to gone |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in rows:
        cells = [shown(one[name]) for name in ("votes_until_found", "votes_until_gone")]
        cells += [shown(one["found_s"], 1), shown(one["gone_after_found_s"], 2)]
        lines.append(
            f"| {one['release']} | {one['rolled_back']} of {one['seeds']} (within {one['votes_at_most']:,} votes) "
            f"| {one['low']:.0%} - {one['high']:.0%} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "The last line is the control: a release that is as good as what it replaces. Each version's promise is a",
        "false alarm in at most 5% within 2,000 votes; the baseline it is held to was learned from 500.",
        "",
    ]
    return "\n".join(lines)


def shown(told: dict[str, float] | None, digits: int = 0) -> str:
    return " / ".join(f"{value:,.{digits}f}" for value in told.values()) if told else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--controls", type=int, default=60)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--markdown", type=Path, metavar="OUT")
    args = parser.parse_args()
    on, rows = machine(), []
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        (folder / "data").mkdir()
        settings = {"TRIMTAB_LOGGING__LEVEL": "warning"}
        server = ServerProcess(folder / "data", settings)
        server.start()
        try:
            for place, cell in enumerate(CELLS):
                count = args.controls if cell.model == CONTROL else args.seeds
                seeds = [FIRST_SEED + 1000 * place + number for number in range(count)]
                rows.append(row(cell, [live(server, folder, cell, seed) for seed in seeds]))
                print(json.dumps(rows[-1]), flush=True)
        finally:
            server.stop()
    if args.json:
        args.json.write_text(json.dumps({"bench": "release", "machine": on, "rows": rows}, indent=1) + "\n")
    if args.markdown:
        command = f"python benches/bench_release.py --seeds {args.seeds} --controls {args.controls}"
        args.markdown.write_text(table(rows, on, command), encoding="utf-8")


if __name__ == "__main__":
    main()
