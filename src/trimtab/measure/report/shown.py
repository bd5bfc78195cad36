"""A report as a file: Markdown, one HTML page that stands alone, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from trimtab.measure.report.chart import svg
from trimtab.measure.report.parts import Asked, Grid, Section

__all__ = ["as_html", "as_json", "as_markdown"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
figure { margin: 1.5rem 0; }
figcaption, .note { opacity: .75; font-size: .9em; }
svg { width: 100%; height: auto; }
"""


def as_json(asked: Asked, sections: Sequence[Section]) -> bytes:
    """Return the data of all sections under their keys, indented."""
    told = {"project_id": asked.project_id, "feature": asked.feature, "since": asked.since, "until": asked.until}
    return msgspec.json.format(
        msgspec.json.encode({**told, **{section.key: section.data for section in sections}}), indent=2
    )


def as_markdown(asked: Asked, sections: Sequence[Section]) -> str:
    """Return words and tables; charts are in the HTML."""
    lines = [f"# {_title(asked)}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        lines += [f"- {_cell(line)}" for line in section.lead]
        lines += [""] if section.lead else []
        for grid in section.grids:
            lines += [*_table(grid), ""]
    return "\n".join(lines).rstrip() + "\n"


def as_html(asked: Asked, sections: Sequence[Section]) -> str:
    """Return one page with its charts inside: no script, nothing loaded from elsewhere."""
    body = "\n".join(part for section in sections for part in _section(section))
    title = escape(_title(asked))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        f"<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _title(asked: Asked) -> str:
    of = f" of {asked.feature}" if asked.feature else ""
    return f"Trimtab report{of}, {asked.since:%Y-%m-%d} to {asked.until:%Y-%m-%d}"


def _cell(text: str) -> str:
    return escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _table(grid: Grid) -> Iterator[str]:
    yield "| " + " | ".join(_cell(name) for name in grid.columns) + " |"
    yield "|" + "---|" * len(grid.columns)
    for row in grid.rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def _section(section: Section) -> Iterator[str]:
    yield f'<section id="{escape(section.key)}">\n<h2>{escape(section.title)}</h2>'
    for line in section.lead:
        yield f"<p>{escape(line)}</p>"
    for chart in section.charts:
        note = f'<br><span class="note">{escape(chart.note)}</span>' if chart.note else ""
        yield f"<figure>\n{svg(chart)}\n<figcaption>{escape(chart.title)}{note}</figcaption>\n</figure>"
    for grid in section.grids:
        head = "".join(f"<th>{escape(name)}</th>" for name in grid.columns)
        rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in grid.rows)
        yield f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    yield "</section>"
