"""Charts as SVG that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from trimtab.measure.report.parts import Chart, Line

__all__ = ["svg"]

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 28
_COLOURS = ("#2563eb", "#b45309", "#7c3aed", "#0f766e")
_MARKS = {"good": "#15803d", "bad": "#dc2626", "plain": "#6b7280"}
_TICKS = 6
_DAY_S = 86_400


class _Scale(NamedTuple):
    """From values to pixels."""

    x0: float
    x1: float
    y1: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x0) / ((self.x1 - self.x0) or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.y1 * (_HEIGHT - _TOP - _BOTTOM)


def svg(chart: Chart) -> str:
    """Return the chart as one `<svg>` element; axes take the colour of the text around it."""
    scale = _scaled(chart)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{escape(chart.title)}" font-family="sans-serif" font-size="11">'
        ),
        f"<title>{escape(chart.title)}</title>",
        *_axes(chart, scale),
    ]
    parts += [
        f'<line x1="{scale.x(mark.x):.1f}" x2="{scale.x(mark.x):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
        f'stroke="{_MARKS[mark.kind]}" stroke-width="1.2" stroke-dasharray="3 2">'
        f"<title>{escape(mark.label)}</title></line>"
        for mark in chart.marks
        if scale.x0 <= mark.x <= scale.x1
    ]
    for place, line in enumerate(chart.lines):
        parts += _drawn(line, _COLOURS[place % len(_COLOURS)], chart, scale)
    return "\n".join([*parts, "</svg>"])


def _scaled(chart: Chart) -> _Scale:
    places = [x for line in chart.lines for x, _ in line.points] or [0.0]
    low, high = min(places), max(places)
    if any(line.shape == "bars" for line in chart.lines) or low == high:
        step = 7.0 * _DAY_S if chart.x == "time" else 1.0
        low, high = low - step / 2, high + step / 2
    if chart.x == "days":
        low = 0.0
    tops = [y for line in chart.lines for _, y in line.points]
    tops += [band.high for line in chart.lines for band in line.band]
    most = max(tops, default=0.0)
    if chart.y == "share":
        return _Scale(low, high, 1.0 if most > 0.5 else max(0.05, math.ceil(most * 20) / 20))
    return _Scale(low, high, max(1.0, most))


def _axes(chart: Chart, scale: _Scale) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value in _levels(chart, scale.y1):
        y = scale.y(value)
        told = f"{value:.0%}" if chart.y == "share" else f"{value:g}"
        yield f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.15"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">{told}</text>'
    for tick in range(_TICKS):
        value = scale.x0 + (scale.x1 - scale.x0) * tick / (_TICKS - 1)
        told = f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}" if chart.x == "time" else f"{value:.3g}"
        anchor = "start" if tick == 0 else "end" if tick == _TICKS - 1 else "middle"
        yield (
            f'<text x="{scale.x(value):.1f}" y="{bottom + 18}" text-anchor="{anchor}" fill="currentColor">{told}</text>'
        )
    yield f'<line x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="currentColor" opacity="0.6"/>'


def _levels(chart: Chart, most: float) -> list[float]:
    if chart.y == "count":
        step = max(1, math.ceil(most / 5))
        return [float(value) for value in range(0, math.floor(most) + 1, step)]
    return [most * part / 4 for part in range(5)]


def _drawn(line: Line, colour: str, chart: Chart, scale: _Scale) -> Iterator[str]:
    if line.band:
        lows = _corners([(band.x, band.low) for band in line.band], steps=line.shape == "steps")
        highs = _corners([(band.x, band.high) for band in line.band], steps=line.shape == "steps")
        around = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in [*highs, *reversed(lows)])
        yield f'<polygon points="{around}" fill="{colour}" opacity="0.15"/>'
    if line.shape == "bars":
        width = max(1.0, 0.7 * (scale.x(scale.x0 + (7 * _DAY_S if chart.x == "time" else 1)) - _LEFT))
        for x, y in line.points:
            top = scale.y(y)
            yield (
                f'<rect x="{scale.x(x) - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - top:.1f}" fill="{colour}"><title>{y:g}</title></rect>'
            )
        return
    corners = _corners(line.points, steps=line.shape == "steps")
    told = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in corners)
    yield f'<polyline points="{told}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    if line.shape == "line":
        for x, y in line.points:
            shown = f"{y:.1%}" if chart.y == "share" else f"{y:g}"
            yield (
                f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="2.4" fill="{colour}">'
                f"<title>{shown}</title></circle>"
            )


def _corners(points: list[tuple[float, float]], *, steps: bool) -> list[tuple[float, float]]:
    """Return the points, with the corners of a line that keeps its height until the next one."""
    if not steps:
        return points
    found: list[tuple[float, float]] = []
    for x, y in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, y))
    return found
