"""Reading by key and by page: what the verbs of every port share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Select, select

from trimtab.clock import to_micros
from trimtab.store.codec import id_bytes
from trimtab.store.hot.database import Database
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import Noun

__all__ = ["Port", "after", "by_id", "chunks", "cut", "one_id", "paged", "placed", "within"]

T = TypeVar("T", bound=Struct)
C = TypeVar("C")

_CHUNK = 500  # parameters in one IN list; drivers take at least 999


class Port:
    """A set of verbs over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database


def chunks(values: Sequence[C]) -> Iterator[Sequence[C]]:
    """Yield the values in lots that fit into one IN list."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def one_id(text: str) -> bytes | None:
    """Return the id to look up, or None for a text that is no UUID and so names nothing."""
    try:
        return id_bytes(text)
    except ValueError:
        return None


def by_id(database: Database, noun: Noun[T], project_id: str, text: str) -> T | None:
    """Return the record of that project with that UUID."""
    key = one_id(text)
    if key is None:
        return None
    columns = noun.table.c
    rows = database.rows(select(*noun.fields).where(columns.project_id == project_id, columns.id == key))
    return noun.decode(rows[0]) if rows else None


def after(database: Database, noun: Noun[T], seq: int, limit: int) -> list[Stored[T]]:
    """Return at most `limit` rows of all projects after `seq`, in order of arrival, none of which can come late."""
    place = noun.table.c.seq
    statement = select(*noun.columns).where(place > seq, *database.settled(place)).order_by(place).limit(limit)
    return [noun.stored(row) for row in database.rows(statement)]


def within(column: Column[Any], since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """Return the conditions since <= column < until, for the bounds that are given."""
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found.append(column >= to_micros(since))
    if until is not None:
        found.append(column < to_micros(until))
    return found


def paged(
    database: Database,
    noun: Noun[T],
    project_id: str,
    query: Query,
    *conditions: ColumnElement[bool],
    time: Column[Any] | None = None,
) -> Page[T]:
    """Return one page of a noun's rows under the query's place, limit and time, and the conditions given."""
    table = noun.table
    statement = select(*noun.columns).where(
        table.c.project_id == project_id,
        *within(table.c.created_at if time is None else time, query.since, query.until),
        *conditions,
    )
    if query.since is None and query.until is None:
        # Without a span, walking in order of arrival finds a page soonest; an index on time would be read whole.
        statement = statement.with_hint(table, "NOT INDEXED", dialect_name="sqlite")
    rows = database.rows(placed(statement, table.c.seq, query))
    return cut([noun.stored(row) for row in rows], query)


def placed(statement: Select[Any], seq: Column[Any], query: Query) -> Select[Any]:
    """Return the statement in the query's order, from its cursor on, with one row more than a page."""
    if query.limit < 1:
        raise ValueError(f"expected limit >= 1, got {query.limit!r}")
    if query.after is not None:
        statement = statement.where(seq < query.after if query.newest else seq > query.after)
    return statement.order_by(seq.desc() if query.newest else seq).limit(query.limit + 1)


def cut(rows: list[Stored[T]], query: Query) -> Page[T]:
    """Return the page, with a cursor when there was a row more."""
    more = len(rows) > query.limit
    kept = rows[: query.limit]
    return Page(kept, kept[-1].seq if more else None)
