"""A study as people and programs read it: tables for a terminal, and one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from trimtab.study.run import Study
from trimtab.study.summary import Spread, summarise

__all__ = ["as_json", "render", "write_json"]


def as_json(study: Study) -> dict[str, Any]:
    """Return the study as plain JSON: its `plan`, its `seeds`, `summary` by cell, and `cells` with every world."""
    plain: dict[str, Any] = msgspec.to_builtins(study)
    return {**plain, "summary": {cell.name: msgspec.to_builtins(cell) for cell in summarise(study)}}


def write_json(study: Study, path: Path) -> None:
    """Write the study to `path`, indented."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(study)), indent=1) + b"\n")


def render(study: Study) -> RenderableType:
    """Return what a terminal shows: accuracy by month, and the end result."""
    return Group(_months(study), _ends(study))


def _months(study: Study) -> Table:
    table = Table(
        title=f"Right answers, live, by month ({len(study.seeds)} of {study.plan.preset.worlds} worlds)",
        title_justify="left",
    )
    table.add_column("cell")
    table.add_column("start", justify="right")
    for month in next(iter(study.cells.values()))[0].months:
        weeks = f" ({month.weeks} weeks)" if month.weeks < 4 else ""
        table.add_column(f"month {month.month}{weeks}", justify="right")
    for name, results in study.cells.items():
        start = sum(one.live_start for one in results) / len(results)
        shares = [
            100 * sum(one.months[place].accuracy for one in results) / len(results)
            for place in range(len(results[0].months))
        ]
        table.add_row(name, f"{start:.1f}%", *(f"{share:.1f}%" for share in shares))
    return table


def _ends(study: Study) -> Table:
    title = "After it all (loss in points against the cell's own start, 95% interval over worlds)"
    table = Table(title=title, title_justify="left")
    table.add_column("cell")
    for column in ("live loss", "fresh loss", "labels", "hours (assumed)", "incidents", "failed changes"):
        table.add_column(column, justify="right")
    for cell in summarise(study):
        table.add_row(
            cell.name,
            _range(cell.live_loss),
            _range(cell.fresh_loss),
            f"{cell.labels.mean:.0f}",
            f"{sum(cell.hours.values()):.1f}",
            f"{cell.incidents.mean:.1f}",
            "" if cell.failed is None else f"{cell.failed:.0%}",
        )
    return table


def _range(told: Spread) -> str:
    return f"{told.mean:+.1f}" if told.low is None else f"{told.mean:+.1f} ({told.low:+.1f} to {told.high:+.1f})"
