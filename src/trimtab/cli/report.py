"""`trimtab report`: how fast the loop learns, week by week, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab.cli.counts import SentOption, counted, counts_section
from trimtab.cli.failure import told_plainly
from trimtab.cli.looking import DATE_FORMATS, looking, span
from trimtab.cli.place import ConfigOption, DataOption
from trimtab.cli.watching import watching_section
from trimtab.detect.watching import watched
from trimtab.errors import InvalidField
from trimtab.measure.report.parts import Asked, Section
from trimtab.measure.report.sections import report as make_report
from trimtab.measure.report.shown import as_html, as_json, as_markdown

__all__ = ["Form", "report"]


class Form(StrEnum):
    """What the report is shown as."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


def report(
    *,
    feature: Annotated[str | None, typer.Option(help="Only of this feature.", show_default=False)] = None,
    project: Annotated[str, typer.Option(help="Of this project.")] = "default",
    since: Annotated[
        datetime | None, typer.Option(formats=DATE_FORMATS, help="From then on (UTC).", show_default="the beginning")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=DATE_FORMATS, help="Before then (UTC).", show_default="now")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How to show it; HTML has the charts.")] = Form.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.", show_default="the terminal")] = None,
    sent: SentOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show learning velocity, week by week, what changed, and whether every count agrees; status 1 where one is lost.

    Also while the server runs.
    """
    with told_plainly():
        chosen = Form.JSON if json else form
        if chosen is Form.TABLE and out is not None:
            raise InvalidField("--out: expected --format json, markdown or html with it, got table", param="out")
        with looking(config, data, project) as look:
            begin, end = span(since, until, begin=look.project.created_at, end=look.now)
            asked = Asked(look.store, look.settings, project, begin, end, feature)
            counts = counted(look.settings, look.store, sent)
            seen = watched(look.store, look.settings, project)
            sections = [
                watching_section([each for each in seen if feature in (None, each.feature)]),
                *make_report(asked),
                counts_section(counts),
            ]
        if chosen is Form.TABLE:
            _print(sections)
        elif out is None:
            typer.echo(_text(chosen, asked, sections).rstrip("\n"))
        else:
            _write(out, _text(chosen, asked, sections))
    if not counts.whole:
        raise typer.Exit(1)


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidField(f"--out: cannot write {str(out)!r}: {error.strerror}", param="out") from error
    typer.echo(f"wrote {out}")


def _text(form: Form, asked: Asked, sections: Sequence[Section]) -> str:
    if form is Form.JSON:
        return as_json(asked, sections).decode() + "\n"
    return as_markdown(asked, sections) if form is Form.MARKDOWN else as_html(asked, sections)


def _print(sections: Sequence[Section]) -> None:
    console = Console()
    for section in sections:
        console.print(Text(section.title, style="bold"))
        for line in section.lead:
            console.print(Text(line))
        for grid in section.grids:
            table = Table(*grid.columns)
            for row in grid.rows:
                table.add_row(*(Text(cell) for cell in row))
            console.print(table)
        console.print()
