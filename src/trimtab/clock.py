"""The one clock. Every stage takes its time from here, so that a test or a study can set it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["EPOCH", "Clock", "SetClock", "SystemClock", "from_micros", "to_micros"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)  # noqa: TID251 the one place that asks the machine


class SetClock:
    """A clock that stands still until it is set; time never runs backwards.

    >>> clock = SetClock(datetime(2026, 1, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(days=1))
    datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """

    def __init__(self, now: datetime) -> None:
        self._now = _utc(now)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time this clock was last set to."""
        return self._now

    def set(self, now: datetime) -> datetime:
        """Move the clock to `now`. Raises ValueError when that would run it backwards."""
        with self._lock:
            later = _utc(now)
            if later < self._now:
                raise ValueError(f"expected a time at or after {self._now.isoformat()}, got {later.isoformat()}")
            self._now = later
            return later

    def advance(self, by: timedelta) -> datetime:
        """Move the clock forward by `by` and return the new time."""
        return self.set(self._now + by)


def to_micros(when: datetime) -> int:
    """Return whole microseconds since the Unix epoch; the store keeps times this way."""
    return (when - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the UTC time `micros` microseconds after the Unix epoch."""
    return EPOCH + timedelta(microseconds=micros)


def _utc(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError(f"expected a time with a zone, got {when!r}; add tzinfo=UTC")
    return when.astimezone(UTC)
