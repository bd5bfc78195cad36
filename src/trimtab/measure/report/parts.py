"""What a report is made of: sections of words, tables and charts, and the data behind them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from trimtab.config import Settings
from trimtab.store.ports import HotStore

__all__ = ["Asked", "Band", "Chart", "Grid", "Line", "Mark", "Section"]


class Asked(NamedTuple):
    """What a report is of."""

    store: HotStore
    settings: Settings
    project_id: str
    since: datetime
    until: datetime
    feature: str | None


class Grid(Struct, frozen=True, kw_only=True):
    """A table of words and numbers as they are shown."""

    columns: list[str]
    rows: list[list[str]]
    title: str = ""


class Band(NamedTuple):
    """An interval at one place of a line."""

    x: float
    low: float
    high: float


class Line(Struct, frozen=True, kw_only=True):
    """Points from left to right, as a line, a line of steps, or bars; `band` are the intervals around them."""

    name: str
    points: list[tuple[float, float]]
    shape: Literal["line", "steps", "bars"] = "line"
    band: list[Band] = []


class Mark(NamedTuple):
    """Something that happened at one place: an upright line, with words that show on it."""

    x: float
    label: str
    kind: Literal["good", "bad", "plain"]


class Chart(Struct, frozen=True, kw_only=True):
    """Lines over one axis: `time` is seconds since the epoch, `days` a length of time in days.

    A `share` runs from 0 to 1 and is shown in per cent; a `count` begins at 0.
    """

    title: str
    lines: list[Line]
    x: Literal["time", "days"]
    y: Literal["share", "count"]
    marks: list[Mark] = []
    note: str = ""


class Section(Struct, frozen=True, kw_only=True):
    """One part of a report; `data` is what programs read of it, under `key`."""

    key: str
    title: str
    data: Any
    lead: list[str] = []
    grids: list[Grid] = []
    charts: list[Chart] = []
