"""Lists of events: by their own time, from indexes alone, however long the history and rare the match.

A list that is narrowed by feature, version or time walks an index in the order of (`created_at`, `seq`), each range by
itself where there are several, and reads only the rows of its page. One that is not walks the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Select, and_, func, literal_column, or_, select

from trimtab.clock import from_micros, to_micros
from trimtab.records import Feedback, Inference
from trimtab.store.exchange import cursor_behind, cut_cursor
from trimtab.store.hot.page import Port, chunks, paged, within
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import FEEDBACK, INFERENCES, Noun, counters, joins

__all__ = ["Lists", "Spot", "after_spot", "by_time", "cut_spots"]

T = TypeVar("T", bound=Struct)

_DAY_S = 86_400
_DAY = _DAY_S * 1_000_000
_EARLIEST = -(1 << 62)
_inference = INFERENCES.table.c
_feedback = FEEDBACK.table.c
_SPOT_OF_INFERENCE = (_inference.created_at, _inference.seq)
_SPOT_OF_FEEDBACK = (_feedback.created_at, _feedback.seq)
_SPOT_OF_JOIN = (joins.c.created_at, joins.c.place)


class Spot(NamedTuple):
    """A row's place in a list: its own time in microseconds, and its `seq`. An index alone tells them."""

    created_at: int
    seq: int

    @property
    def cursor(self) -> int:
        """Return what a page's `next` says, so that the next one begins behind this row."""
        return cursor_behind(from_micros(self.created_at), self.seq)


class _Range(NamedTuple):
    """A stretch of time [low, high) of one feature, in microseconds; None: without an end."""

    feature: str
    low: int | None
    high: int | None


class Lists(Port):
    """The verbs of `EventStore` that list; the contract stands there."""

    def list_inferences(self, project_id: str, query: Query) -> Page[Inference]:
        """Return one page of inferences."""
        if not _narrowed(query):
            return paged(self._database, INFERENCES, project_id, query)
        statement = select(*_SPOT_OF_INFERENCE).where(_inference.project_id == project_id)
        if query.version_id is not None:
            statement = statement.where(_inference.version_id == query.version_id)
            ranges = self._served(project_id, query)
        else:
            ranges = [_Range(name, None, None) for name in self._features(_inference.feature, project_id, query)]

        def read(piece: _Range) -> Sequence[Spot]:
            own = statement.where(_inference.feature == piece.feature, *_between(_inference.created_at, piece))
            return self._spots(by_time(own, INFERENCES.table.c.created_at, INFERENCES.table.c.seq, query))

        return self._page(INFERENCES, project_id, query, _first(ranges, read, query))

    def list_feedback(self, project_id: str, query: Query) -> Page[Feedback]:
        """Return one page of feedback."""
        if not _narrowed(query):
            return paged(self._database, FEEDBACK, project_id, query)
        own = select(*_SPOT_OF_FEEDBACK).where(_feedback.project_id == project_id)
        found: list[Spot] = []
        if query.feature is None and query.version_id is None:
            found += self._spots(by_time(own, FEEDBACK.table.c.created_at, FEEDBACK.table.c.seq, query))
        else:
            joined = select(*_SPOT_OF_JOIN).where(joins.c.project_id == project_id)
            if query.version_id is not None:
                joined = joined.where(joins.c.version_id == query.version_id)
            for feature in self._features(joins.c.feature, project_id, query):
                about = joined.where(joins.c.feature == feature)
                found += self._spots(by_time(about, joins.c.created_at, joins.c.place, query))
            if query.version_id is None:
                named = own.where(_feedback.feature == query.feature)
                found += self._spots(by_time(named, FEEDBACK.table.c.created_at, FEEDBACK.table.c.seq, query))
        return self._page(FEEDBACK, project_id, query, found)

    def _served(self, project_id: str, query: Query) -> list[_Range]:
        """Return the days on which the version answered, as ranges, the ones to list first ahead.

        Counters know them. Rows that are older than any counter may be anybody's.
        """
        daily = and_(
            counters.c.project_id == project_id,
            counters.c.group_key == literal_column("''"),
            counters.c.width == literal_column(str(_DAY_S)),
        )
        first = self._database.rows(select(func.min(counters.c.start)).where(daily))[0][0]
        days = select(counters.c.feature, counters.c.start).where(
            daily,
            counters.c.metric == literal_column("'inferences'"),
            counters.c.version_id == query.version_id,
            counters.c["count"] > literal_column("0"),
        )
        if query.feature is not None:
            days = days.where(counters.c.feature == query.feature)
        if query.since is not None:
            days = days.where(counters.c.start > to_micros(query.since) - _DAY)
        if query.until is not None:
            days = days.where(counters.c.start < to_micros(query.until))
        ranges: list[_Range] = []
        for feature, start in sorted((row[0], int(row[1])) for row in self._database.rows(days)):
            last = ranges[-1] if ranges else None
            if last is not None and last.feature == feature and last.high == start:
                ranges[-1] = last._replace(high=start + _DAY)
            else:
                ranges.append(_Range(feature, start, start + _DAY))
        oldest = self._features(_inference.feature, project_id, query)
        ranges += [_Range(feature, None, None if first is None else int(first)) for feature in oldest]
        return sorted(ranges, key=lambda each: _EARLIEST if each.low is None else each.low, reverse=query.newest)

    def _features(self, column: Any, project_id: str, query: Query) -> list[str]:
        """Return the features there are rows of: the one asked for, or all, found by leaps through the index."""
        if query.feature is not None:
            return [query.feature]
        table = column.table
        least = select(func.min(column).label("name")).where(table.c.project_id == project_id)
        names = least.cte("names", recursive=True)
        later = select(func.min(column)).where(table.c.project_id == project_id, column > names.c.name)
        names = names.union_all(select(later.correlate(names).scalar_subquery()).where(names.c.name.is_not(None)))
        rows = self._database.rows(select(names.c.name).where(names.c.name.is_not(None)))
        return [row[0] for row in rows]

    def _spots(self, statement: Select[Any]) -> list[Spot]:
        return [Spot(int(row[0]), int(row[1])) for row in self._database.rows(statement)]

    def _page(self, noun: Noun[T], project_id: str, query: Query, found: Iterable[Spot]) -> Page[T]:
        kept, following = cut_spots(found, query)
        columns = noun.table.c
        rows: dict[int, Stored[T]] = {}
        for lot in chunks([spot.seq for spot in kept]):
            statement = select(*noun.columns).where(columns.project_id == project_id, columns.seq.in_(lot))
            # The places are told, so no other way to find the rows is to be thought of.
            statement = statement.with_hint(noun.table, "NOT INDEXED", dialect_name="sqlite")
            rows.update((row[0], noun.stored(row)) for row in self._database.rows(statement))
        return Page([rows[spot.seq] for spot in kept if spot.seq in rows], following)


def by_time(statement: Select[Any], time: Column[Any], seq: Column[Any], query: Query) -> Select[Any]:
    """Return the statement within the query's time, in the order of (time, seq), behind its cursor, one row over."""
    if query.limit < 1:
        raise ValueError(f"expected limit >= 1, got {query.limit!r}")
    narrowed = statement.where(*within(time, query.since, query.until), *after_spot(time, seq, query))
    order = (time.desc(), seq.desc()) if query.newest else (time, seq)
    return narrowed.order_by(*order).limit(query.limit + 1)


def after_spot(time: Column[Any], seq: Column[Any], query: Query) -> list[ColumnElement[bool]]:
    """Return what must hold of a row behind the query's cursor."""
    if query.after is None:
        return []
    at, place = cut_cursor(query.after)
    if query.newest:
        return [time <= at, or_(time < at, seq < place)]
    return [time >= at, or_(time > at, seq > place)]


def cut_spots(found: Iterable[Spot], query: Query) -> tuple[list[Spot], int | None]:
    """Return the first of the spots, each once, and the cursor behind them when there are more."""
    ordered = sorted(set(found), reverse=query.newest)
    kept = ordered[: query.limit]
    return kept, kept[-1].cursor if len(ordered) > query.limit else None


def _narrowed(query: Query) -> bool:
    return any(value is not None for value in (query.feature, query.version_id, query.since, query.until))


def _between(time: Column[Any], piece: _Range) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if piece.low is not None:
        found.append(time >= piece.low)
    if piece.high is not None:
        found.append(time < piece.high)
    return found


def _first(ranges: Sequence[_Range], read: Callable[[_Range], Sequence[Spot]], query: Query) -> Iterator[Spot]:
    """Yield the spots of each feature's ranges in turn, and of each feature no more than a page needs."""
    for feature in dict.fromkeys(piece.feature for piece in ranges):
        own = (spot for piece in ranges if piece.feature == feature for spot in read(piece))
        yield from islice(own, query.limit + 1)
