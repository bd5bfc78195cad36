"""How a stage goes on when one row stops it: the batch is halved down to that row, which is set aside.

A row that is set aside counts as one that has not arrived: the rows around it end as they would without it, and when it
is tried again it arrives late, which stages bear anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from trimtab.errors import ConfigError, Conflict, MissingExtra, Unavailable, whereabouts

__all__ = ["Sieve", "is_of_the_row"]

R = TypeVar("R")
_IN_A_ROW = 50
_ELSEWHERE = (Unavailable, Conflict, ConfigError, MissingExtra, OSError, MemoryError)


def is_of_the_row(error: Exception) -> bool:
    """Say whether an error may lie in what was handled. One of the machine, the settings or of timing never does."""
    return not isinstance(error, _ELSEWHERE)


class Sieve(Generic[R]):
    """Handles rows so that one which raises holds up no other.

    After `in_a_row` rows that all failed, with none between them that was handled, the fault is not theirs: the error
    is raised, and the stage waits with its cursor before the next of them.
    """

    def __init__(self, *, in_a_row: int = _IN_A_ROW) -> None:
        self._most = in_a_row
        self._failed = 0

    def run(
        self, rows: Sequence[R], handle: Callable[[Sequence[R]], None], set_aside: Callable[[R, str], None]
    ) -> None:
        """Handle the rows in order, all at once where that goes; `set_aside` is told of each that cannot be, and why.

        Both commit what they do, cursors included, before they return. Raises what `handle` raises when that is no
        fault of a row, with all rows before it handled or set aside.
        """
        try:
            handle(rows)
        except Exception as error:
            if not is_of_the_row(error):
                raise
            if len(rows) == 1:
                self._give_up(rows[0], error, set_aside)
                return
        else:
            self._failed = 0
            return
        half = len(rows) // 2
        self.run(rows[:half], handle, set_aside)
        self.run(rows[half:], handle, set_aside)

    def read(self, read: Callable[[int], Sequence[R]], limit: int, lose: Callable[[str], bool]) -> Sequence[R]:
        """Return the next rows, at most `limit`, or fewer where one of them cannot be read.

        Where the very next one cannot be, `lose` is told why; it sets the row aside, moves the cursor, and says whether
        there was such a row. The next call then goes on behind it.
        """
        try:
            return read(limit)
        except Exception as error:
            if not is_of_the_row(error):
                raise
            if limit == 1:
                if self._failed >= self._most or not lose(whereabouts(error)):
                    raise
                self._failed += 1
                return []
        return self.read(read, limit // 2, lose)

    def _give_up(self, row: R, error: Exception, set_aside: Callable[[R, str], None]) -> None:
        if self._failed >= self._most:
            raise error
        set_aside(row, whereabouts(error))
        self._failed += 1
