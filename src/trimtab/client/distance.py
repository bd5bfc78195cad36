"""How much a person changed a text before using it: the strongest quiet signal there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["edit"]

S = TypeVar("S", str, list[Any])
_EXACT = 2_000
"""Longest sequence compared symbol by symbol: about two milliseconds."""


def edit(shown: str, kept: str) -> float:
    """Return the normalised Levenshtein distance of two texts: 0 used as it was, 1 nothing left of it.

    Distance divided by the length of the longer text. What both share at the start and at the end is cut first. If more
    than 2,000 characters still differ, words take the place of characters; if more than 2,000 words do, the answer is
    the share of words not found in the other text (a lower bound). So the cost stays at a few milliseconds.

    >>> edit("Refunds take 5 days.", "Refunds take 9 days.")
    0.05
    """
    if shown == kept:
        return 0.0
    longest = max(len(shown), len(kept))
    left, right = _differing(shown, kept)
    if max(len(left), len(right)) <= _EXACT:
        return _levenshtein(left, right) / longest
    # A distance in words is scaled to the part of the text that differs at all.
    share = max(len(left), len(right)) / longest
    words, others = left.split(), right.split()
    most = max(len(words), len(others), 1)
    words, others = _differing(words, others)
    if max(len(words), len(others)) <= _EXACT:
        return share * _levenshtein(words, others) / most
    return share * _missing(words, others) / most


def _differing(left: S, right: S) -> tuple[S, S]:
    """Return both sequences without their common start and end."""
    shorter = min(len(left), len(right))
    start = 0
    while start < shorter and left[start] == right[start]:
        start += 1
    end = 0
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    return left[start : len(left) - end], right[start : len(right) - end]


def _levenshtein(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Return the edit distance, one column per symbol of `right`.

    The bit-parallel method of Myers (JACM 46(3), 1999) in the form of Hyyro (2003): the differences along a column of
    the table are kept as bits of two integers, so that Python's big numbers do the inner loop.
    """
    if not left or not right:
        return len(left) + len(right)
    where: dict[Hashable, int] = {}
    for at, symbol in enumerate(left):
        where[symbol] = where.get(symbol, 0) | 1 << at
    full = (1 << len(left)) - 1
    last = 1 << (len(left) - 1)
    distance, rises, falls = len(left), full, 0
    for symbol in right:
        match = where.get(symbol, 0) | falls
        diagonal = (((match & rises) + rises) ^ rises) | match
        across_rises = falls | ~(diagonal | rises) & full
        across_falls = diagonal & rises
        if across_rises & last:
            distance += 1
        elif across_falls & last:
            distance -= 1
        across_rises = (across_rises << 1 | 1) & full
        rises = (across_falls << 1 | ~(diagonal | across_rises)) & full
        falls = diagonal & across_rises
    return distance


def _missing(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Return how many items of the longer side have no partner on the other, whatever their order."""
    count: dict[Hashable, int] = {}
    for item in left:
        count[item] = count.get(item, 0) + 1
    shared = 0
    for item in right:
        if count.get(item, 0):
            count[item] -= 1
            shared += 1
    return max(len(left), len(right)) - shared
