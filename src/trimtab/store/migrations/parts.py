"""The words migrations are written in: columns by what they hold, tables of records, tables of derived rows.

A migration says what the tables were made of at its time, so it never looks at `trimtab.store.schema`. These words
keep their meaning for ever, too: a table that must be built in another way gets a word of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, PrimaryKeyConstraint, Text, false, true
from sqlalchemy import text as sql

__all__ = ["blob", "derived", "events", "flag", "number", "number_key", "real", "record", "text", "uuid"]

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def text(name: str, *, optional: bool = False, default: str | None = None) -> Column[Any]:
    """Return a column of text or JSON; `default` fills the rows that are there already."""
    return Column(name, _TEXT, nullable=optional, server_default=default)


def uuid(name: str, *, optional: bool = False) -> Column[Any]:
    """Return a column of ids, 16 bytes each."""
    return Column(name, LargeBinary(16), nullable=optional)


def blob(name: str) -> Column[Any]:
    """Return a column of bytes of any number."""
    return Column(name, LargeBinary(), nullable=False)


def number(name: str, *, optional: bool = False, default: int | None = None) -> Column[Any]:
    """Return a column of whole numbers or times (microseconds since the epoch); `default` as in `text`."""
    return Column(name, BigInteger(), nullable=optional, server_default=None if default is None else str(default))


def number_key(name: str) -> Column[Any]:
    """Return a small whole number to be a key; SQLite then keeps it in place of a row number of its own."""
    return Column(name, Integer(), nullable=False, autoincrement=False)


def real(name: str, *, optional: bool = False, default: float | None = None) -> Column[Any]:
    """Return a column of floating point numbers; `default` as in `text`."""
    return Column(name, Float(), nullable=optional, server_default=None if default is None else str(default))


def flag(name: str, *, optional: bool = False, default: bool | None = None) -> Column[Any]:
    """Return a column of truths; `default` as in `text`."""
    filled = None if default is None else true() if default else false()
    return Column(name, Boolean(), nullable=optional, server_default=filled)


def record(name: str, *columns: Column[Any], key: Sequence[str]) -> None:
    """Make the table of a record, behind its place and project, unique by `key`; in a key, null equals null."""
    op.create_table(
        name, _place(), text("project_id"), *columns, PrimaryKeyConstraint("seq"), sqlite_autoincrement=True
    )
    _key(name, columns, key)


def events(name: str, *columns: Column[Any]) -> None:
    """Make the table of an event, unique by project and id; PostgreSQL splits it by the time that an id carries."""
    if op.get_context().dialect.name == "postgresql":
        op.create_table(
            name,
            _place(),
            text("project_id"),
            *columns,
            PrimaryKeyConstraint("seq", "id"),
            postgresql_partition_by="RANGE (id)",
        )
        _key(name, columns, ("project_id", "id"))
        op.execute(f"CREATE TABLE {name}_other PARTITION OF {name} DEFAULT")
    else:
        record(name, *columns, key=("project_id", "id"))


def derived(name: str, *columns: Column[Any], key: Sequence[str]) -> None:
    """Make a small table of derived rows, which are found by `key` alone."""
    op.create_table(name, *columns, PrimaryKeyConstraint(*key), sqlite_with_rowid=False)


def _place() -> Column[Any]:
    given = sql("trimtab_seq()") if op.get_context().dialect.name == "postgresql" else None
    kind = BigInteger().with_variant(Integer(), "sqlite")
    return Column("seq", kind, nullable=False, autoincrement=given is None, server_default=given)


def _key(name: str, columns: Sequence[Column[Any]], key: Sequence[str]) -> None:
    optional = {column.name for column in columns if column.nullable}
    parts = [sql(f"coalesce({part}, '')") if part in optional else part for part in key]
    op.create_index(f"{name}_key", name, parts, unique=True)
