"""Asking again what did not answer for now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from trimtab.errors import Unavailable

__all__ = ["AGAIN", "Again", "patiently"]

T = TypeVar("T")

AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0


class Again(Unavailable):
    """An attempt that failed for now."""


def patiently(ask: Callable[[], T], retries: int, pause: Callable[[float], object]) -> T:
    """Return what `ask` does, tried again after pauses that double, at most `retries` times, while it raises Again.

    A `pause` that returns True says that nobody waits any more: the trouble is raised then.
    """
    wait = _FIRST_PAUSE_S
    for _ in range(retries):
        try:
            return ask()
        except Again:
            if pause(wait) is True:
                raise
            wait = min(2 * wait, _LONGEST_PAUSE_S)
    return ask()
