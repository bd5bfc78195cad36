"""How much of an answer was changed before it was used."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

__all__ = ["distance"]

S = TypeVar("S", str, list[Any])
_LONGEST = 4000


def distance(shown: str, kept: str) -> float | None:
    """Return the normalised Levenshtein distance: edits / length of the longer; 0 kept as it was, 1 nothing of it left.

    What both share at the ends is cut first. Where more than 4,000 characters still differ, words are compared instead
    and their share is scaled to the part that differs; None where more than 4,000 words differ: that costs too much.

    >>> distance("Refunds take 5 days.", "Refunds take 9 days.")
    0.05
    """
    if shown == kept:
        return 0.0
    longest = max(len(shown), len(kept))
    left, right = _differing(shown, kept)
    if max(len(left), len(right)) <= _LONGEST:
        return _levenshtein(left, right) / longest
    scale = max(len(left), len(right)) / longest
    words, others = left.split(), right.split()
    most = max(len(words), len(others), 1)
    words, others = _differing(words, others)
    if max(len(words), len(others)) > _LONGEST:
        return None
    return scale * _levenshtein(words, others) / most


def _differing(left: S, right: S) -> tuple[S, S]:
    shorter = min(len(left), len(right))
    start = next((at for at in range(shorter) if left[at] != right[at]), shorter)
    left, right, shorter = left[start:], right[start:], shorter - start
    end = next((at for at in range(shorter) if left[-1 - at] != right[-1 - at]), shorter)
    return left[: len(left) - end], right[: len(right) - end]


def _levenshtein(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Return the edit distance by bit vectors (Myers, JACM 46(3), 1999; Hyyro, 2003), one big number per column."""
    if not left or not right:
        return len(left) + len(right)
    places: dict[Hashable, int] = {}
    for at, symbol in enumerate(left):
        places[symbol] = places.get(symbol, 0) | 1 << at
    mask, top = (1 << len(left)) - 1, 1 << (len(left) - 1)
    up, down, score = mask, 0, len(left)
    for symbol in right:
        match = places.get(symbol, 0)
        sideways = match | down
        match |= (((match & up) + up) ^ up) & mask
        more = down | (mask & ~(match | up))
        fewer = up & match
        score += 1 if more & top else -1 if fewer & top else 0
        more = (more << 1 | 1) & mask
        up = (fewer << 1 & mask) | (mask & ~(sideways | more))
        down = more & sideways
    return score
