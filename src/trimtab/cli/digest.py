"""`trimtab digest`: what changed, the surest change first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab.cli.failure import told_plainly
from trimtab.cli.looking import DATE_FORMATS, looking, span
from trimtab.cli.place import ConfigOption, DataOption
from trimtab.measure.digest import Digest, Finding
from trimtab.measure.digest_lines import lines_of
from trimtab.runtime.acting import digest_of

__all__ = ["digest"]

_WEEK = timedelta(days=7)


def digest(
    *,
    feature: Annotated[str | None, typer.Option(help="Only of this feature.", show_default=False)] = None,
    project: Annotated[str, typer.Option(help="Of this project.")] = "default",
    since: Annotated[
        datetime | None,
        typer.Option(formats=DATE_FORMATS, help="From then on (UTC).", show_default="seven days before --until"),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=DATE_FORMATS, help="Before then (UTC).", show_default="now")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show what changed: versions, topics and groups of people whose answers got worse or better."""
    with told_plainly(), looking(config, data, project) as look:
        _, end = span(None, until, begin=look.project.created_at, end=look.now)
        begin, end = span(since, until, begin=end - _WEEK, end=end)
        found = digest_of(look.settings, look.store, project, begin, end, None if feature is None else (feature,))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)


def _print(found: Digest) -> None:
    console = Console()
    lines = lines_of(found)
    if not lines:
        console.print("Nobody voted in this time, and nothing happened.")
        return
    for line in lines[:2]:
        console.print(Text(line))
    if not found.findings:
        console.print(Text(lines[-1]))
        return
    table = Table("what", "", "now", "before", "interval, points", "at least")
    for each in found.findings:
        sign = "+" if each.direction == "worse" else "-"
        table.add_row(
            Text(_what(each)),
            each.direction,
            f"{each.now.value or 0.0:.1%} of {each.now.n:,}",
            f"{each.before.value or 0.0:.1%} of {each.before.n:,}",
            f"{100 * each.low:+.1f} to {100 * each.high:+.1f}",
            f"{sign}{100 * each.size:.1f} points",
        )
    console.print(table)
    console.print(
        f"{found.groups:,} groups were compared; at most {found.false_discovery_rate:.0%} of what is told is expected "
        "to be chance. Rates are of people who voted.",
        style="dim",
    )


def _what(finding: Finding) -> str:
    parts = [finding.feature]
    parts += [finding.version_id] if finding.version_id else []
    parts += [f"about: {finding.topic}"] if finding.topic else []
    parts += [f"{key} {value}" for key, value in finding.segment.items()]
    return ", ".join(parts)
