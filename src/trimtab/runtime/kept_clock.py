"""A clock that is set by hand and remembers, across restarts, what it was set to."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from trimtab.clock import EPOCH, SetClock
from trimtab.errors import ConfigError

__all__ = ["CLOCK_FILE", "FollowedClock", "KeptClock"]

CLOCK_FILE = "clock"


class KeptClock(SetClock):
    """A SetClock over a file in `folder`; it starts where it was left, at first at the Unix epoch.

    Raises ConfigError at construction when the file does not hold a time.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / CLOCK_FILE
        try:
            left = datetime.fromisoformat(self._file.read_text(encoding="ascii").strip())
            super().__init__(left)
        except FileNotFoundError:
            super().__init__(EPOCH)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{str(self._file)!r} is damaged: expected a time with its zone; remove it") from error

    def set(self, now: datetime) -> datetime:
        """Move the clock and write down where it stands. Raises ValueError when that would run it backwards."""
        later = super().set(now)
        draft = self._file.with_suffix(".new")
        draft.write_text(later.isoformat(), encoding="ascii")
        os.replace(draft, self._file)  # noqa: PTH105  whole or not at all, also under a kill
        return later


class FollowedClock:
    """The clock that another process keeps in `folder`, as it is now; the Unix epoch before it is first set."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / CLOCK_FILE
        self._read = (EPOCH, (0, 0))  # what was read, and the file it was read from: each time set is a new one

    def now(self) -> datetime:
        """Return the time that clock was last set to."""
        try:
            seen = os.stat(self._file)  # noqa: PTH116  three times as fast, several times a request
            mark = (seen.st_ino, seen.st_mtime_ns)
            if mark != self._read[1]:
                self._read = (datetime.fromisoformat(self._file.read_text(encoding="ascii")), mark)
        except FileNotFoundError:
            return EPOCH
        return self._read[0]
