"""Many rows in few steps: a statement whose VALUES are repeated, so that SQLite works on hundreds of rows at once.

Python gives up its lock around every step of a statement, and asks for it again behind it. `executemany` steps once a
row: beside one busy thread it then gets a row in each time that thread is made to wait, a few thousand a second. A
statement of 256 rows steps once, and the other thread has the processor meanwhile.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

__all__ = ["Bulk"]

_LOTS = (256, 64, 16, 4)
_MOST_VALUES = 32_766  # what SQLite takes in one statement unless it was built otherwise
_VALUES = re.compile(r"VALUES (\(\?(?:, \?)*\))")


class Bulk:
    """One statement for any number of rows. An INSERT with all its parameters in VALUES runs in lots, others by row."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._lots: list[tuple[int, str]] = []
        found = _VALUES.search(sql)
        if found is not None and sql.startswith("INSERT ") and sql.count("?") == (width := found[1].count("?")):
            sizes = [size for size in _LOTS if size * width <= _MOST_VALUES]
            self._lots = [(size, _repeated(sql, found, size)) for size in sizes]

    def run(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Run the statement for each row, in order; return how many rows were inserted or changed."""
        place = changed = 0
        for size, sql in self._lots:
            while len(rows) - place >= size:
                values = list(chain.from_iterable(rows[place : place + size]))
                changed += connection.execute(sql, values).rowcount
                place += size
        if place < len(rows):
            changed += connection.executemany(self._sql, rows[place:] if place else rows).rowcount
        return changed


def _repeated(sql: str, found: re.Match[str], times: int) -> str:
    return f"{sql[: found.start(1)]}{', '.join([found[1]] * times)}{sql[found.end(1) :]}"
