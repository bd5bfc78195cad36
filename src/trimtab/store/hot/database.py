"""What the verbs of the hot store need of a database: snapshots to read from, transactions to write in.

The verbs are written once in SQLAlchemy Core on top of this; a backend brings connections, its bulk insert and the
words of its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Column,
    ColumnElement,
    Dialect,
    Executable,
    Table,
    bindparam,
)

from trimtab.store.schema import Noun

__all__ = ["Database", "Insert", "Prepared", "Snapshot", "Transaction", "holes", "prepare"]

Insert = Callable[[Table], Any]
"""The dialect's own INSERT construct, the one that knows ON CONFLICT."""


class Prepared:
    """A statement compiled once for one driver; it takes tuples of values in the order of `names`."""

    __slots__ = ("_places", "names", "sql")

    def __init__(self, sql: str, names: tuple[str, ...], order: tuple[str, ...]) -> None:
        self.sql = sql
        self.names = names
        self._places = None if order == names else tuple(names.index(name) for name in order)

    def arranged(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the rows in the order in which the compiled text takes its parameters."""
        if self._places is None:
            return rows
        return [[row[place] for place in self._places] for row in rows]


def holes(names: Sequence[str]) -> dict[str, BindParameter[Any]]:
    """Return one bind parameter per name, for `insert(...).values(...)`."""
    return {name: bindparam(name) for name in names}


def prepare(statement: ClauseElement, dialect: Dialect, names: Sequence[str]) -> Prepared:
    """Compile `statement` for a driver with positional parameters; rows will hold the values of `names`."""
    compiled = statement.compile(dialect=dialect)
    order = tuple(getattr(compiled, "positiontup", None) or ())
    return Prepared(str(compiled), tuple(names), order)


class Snapshot(Protocol):
    """One unchanging view of the database."""

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of a query."""
        ...


class Transaction(Protocol):
    """A write that is under way: all of it happens or none."""

    def many(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> int:
        """Run the statement for each row of values; return how many rows of the table it changed."""
        ...

    def found(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return all rows of a query inside the transaction."""
        ...

    def returned(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Run the statement, which has a RETURNING, for each row of values, and return all that it returned."""
        ...

    def one(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Any] | None:
        """Return the first row of a query inside the transaction."""
        ...

    def insert_new(self, noun: Noun[Any], rows: Sequence[Sequence[Any]]) -> list[bool]:
        """Insert rows of `noun.inserted` at full speed, skip those whose key is there; say by position which were new.

        `noun` is keyed by project and id. A key that repeats inside `rows` counts once, at its first place.
        """
        ...

    def count(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add to the counters: rows of all columns of `counters`, each key once, in the order in which to take them."""
        ...


class Database(Protocol):
    """One open database file or server."""

    dialect: Dialect
    insert: Insert

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a view for reading. Raises `Unavailable` when the database cannot be read."""
        ...

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of one query."""
        ...

    def settled(self, place: Column[Any]) -> list[ColumnElement[bool]]:
        """Return what must hold of a row's `place` (a `seq`) so that none can turn up below it later.

        Who keeps a place to go on from reads under these conditions; none are needed where commits take turns.
        """
        ...

    def transaction(
        self, claims: Iterable[str] = (), *, beside: Iterable[str] = ()
    ) -> AbstractContextManager[Transaction]:
        """Open the write; leaving it commits durably, an error undoes all. Raises `Unavailable`.

        Two transactions that have a claim in common, in whatever processes, take turns: the second begins to read and
        write when the first has ended. Those that name it in `beside` take turns with who claims it, not with each
        other.
        """
        ...

    def make_room(self, until: datetime) -> None:
        """Be told, outside of transactions, up to when events come in, so that tables split by time can be made."""
        ...

    def require_room(self) -> None:
        """Raise `Unavailable` where a row would still find a place in a page that is there, and a batch none."""

    def scrub(self) -> list[str]:
        """Take off the disk what was deleted, as far as the database can; return what is to be known about the rest.

        Raises `Unavailable` while something holds it up.
        """
        ...

    def give_back(self, before: datetime) -> int:
        """Give back room of tables split by time that hold nothing of times before `before`; say how many parts went.

        Where somebody is in the way, it is left for later.
        """
        ...

    def close(self) -> None:
        """Finish what is under way and close every connection."""
        ...
