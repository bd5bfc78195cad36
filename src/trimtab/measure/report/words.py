"""Numbers as people read them."""

from __future__ import annotations

from trimtab.measure.overview import Part
from trimtab.measure.pace import Median

__all__ = ["interval_of", "part_in_words", "span_in_words"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def span_in_words(seconds: float | None) -> str:
    """Return a length of time as people say it; a dash for one the data do not reach.

    >>> span_in_words(5400), span_in_words(4 * 86400), span_in_words(None)
    ('90 min', '4.0 days', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} days"


def interval_of(median: Median) -> str:
    """Return the interval of a median; nothing where the data reach neither end."""
    if median.low is None and median.high is None:
        return ""
    return f"{span_in_words(median.low)} to {span_in_words(median.high)}"


def part_in_words(part: Part) -> list[str]:
    """Return the share, its interval, and what it is of, for three columns of a table."""
    if part.value is None:
        return ["-", "", "0 of 0"]
    return [f"{part.value:.1%}", f"{part.low:.1%} to {part.high:.1%}", f"{part.count:,} of {part.n:,}"]
