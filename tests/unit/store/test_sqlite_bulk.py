"""Rows that go in by hundreds in one step are the same rows, in the same order, as those that go in one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from trimtab.store.hot.sqlite_bulk import Bulk

NEW = "INSERT INTO t (key, word) VALUES (?, ?) ON CONFLICT DO NOTHING"
SUM = "INSERT INTO t (key, word) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET word = t.word || excluded.word"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY, key INTEGER UNIQUE, word TEXT)")
    yield opened
    opened.close()


@pytest.mark.parametrize("count", [1, 3, 4, 63, 64, 341, 1000])
def test_every_row_goes_in_once_and_in_order(connection: sqlite3.Connection, count: int) -> None:
    rows = [(key, f"word {key}") for key in range(count)]
    assert Bulk(NEW).run(connection, rows) == count
    assert connection.execute("SELECT key, word FROM t ORDER BY seq").fetchall() == rows


def test_a_key_that_repeats_in_a_lot_counts_once_at_its_first_place(connection: sqlite3.Connection) -> None:
    rows = [(number % 100, f"word {number}") for number in range(300)]
    assert Bulk(NEW).run(connection, rows) == 100
    assert connection.execute("SELECT key, word FROM t ORDER BY seq").fetchall() == rows[:100]


def test_an_upsert_of_one_key_adds_up_in_order(connection: sqlite3.Connection) -> None:
    assert Bulk(SUM).run(connection, [(1, "abc"[number % 3]) for number in range(70)]) == 70
    assert connection.execute("SELECT word FROM t").fetchall() == [(("abc" * 24)[:70],)]


def test_a_statement_that_cannot_be_repeated_runs_by_row(connection: sqlite3.Connection) -> None:
    Bulk(NEW).run(connection, [(key, "old") for key in range(100)])
    assert Bulk("UPDATE t SET word = ? WHERE key = ?").run(connection, [("new", key) for key in range(90)]) == 90
    assert connection.execute("SELECT count(*) FROM t WHERE word = 'new'").fetchone() == (90,)
    wrapped = Bulk("INSERT INTO t (key, word) VALUES (?, upper(?))")
    assert wrapped.run(connection, [(key, "x") for key in range(200, 300)]) == 100
    assert connection.execute("SELECT DISTINCT word FROM t WHERE key >= 200").fetchall() == [("X",)]
