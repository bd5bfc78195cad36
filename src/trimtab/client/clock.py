"""The SDK's one look at the wall clock, and the text form in which times travel."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Micros", "micros_of", "rfc3339", "wall"]

Micros = int
"""Whole microseconds since the Unix epoch."""


def wall() -> Micros:
    """Return the machine's time. The SDK runs inside the application, so nobody hands it a clock by default."""
    return time.time_ns() // 1000


def micros_of(clock: Callable[[], datetime]) -> Callable[[], Micros]:
    """Return `clock` as a function that gives microseconds; for simulations that set the time themselves."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 only a simulation needs it

    epoch, step = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    return lambda: (clock() - epoch) // step


def rfc3339(micros: Micros) -> str:
    """Return `micros` as the UTC time the wire carries: 2026-01-31T12:00:00.000001Z."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{rest:06}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    at = time.gmtime(seconds)
    return f"{at[0]:04}-{at[1]:02}-{at[2]:02}T{at[3]:02}:{at[4]:02}:{at[5]:02}"
