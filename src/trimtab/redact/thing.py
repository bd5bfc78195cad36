"""Things that hold runs of digits: UUIDs, hashes and dates are cut out of a run before it is read as a number."""

from __future__ import annotations

import re
from typing import Final

from trimtab.redact import benign

__all__ = ["REACH", "is_in_word", "without"]

_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
)
_UUID_CHARS: Final = 36
_DATE_CHARS: Final = 8
_BARE_DATES: Final = frozenset({12, 14})
_WORD: Final = re.compile(r"[0-9A-Za-z]+")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_HASH_SIZES: Final = frozenset({24, 32, 40, 56, 64, 96, 128})
_FAR: Final = 128
# How far from a run the characters are that decide what is cut out of it.
REACH: Final = _FAR + 2


def is_in_word(text: str, start: int, end: int) -> bool:
    """Return whether a letter or digit stands right beside `text[start:end]`."""
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def without(text: str, run: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of `run`, `text[start:end]`, that are left when UUIDs, hashes and dates are cut out of it."""
    things: list[tuple[int, int]] = []
    glued = is_in_word(text, start, end)
    if glued or (len(run) >= _UUID_CHARS and "-" in run):
        things += [found.span() for found in _UUID.finditer(text, max(start - _UUID_CHARS, 0), end + _UUID_CHARS)]
    if glued and not things:
        word = _word_at(text, start)
        # One word is around all of a run of bare digits.
        words = (word,) if word[1] >= end else (word, _word_at(text, end - 1))
        things += [span for span in words if _is_hash(text[span[0] : span[1]])]
    # A date in digits alone is all of its run.
    dated = len(run) in _BARE_DATES if run.isdigit() else len(run) >= _DATE_CHARS
    if dated and ("20" in run or "19" in run) and text[start - 1 : start] != "+":
        things += [found.span() for found in benign.DATE.finditer(text, start, end)]
    if not things:
        return [(start, end)]
    parts: list[tuple[int, int]] = []
    position = start
    for first, last in sorted(things):
        if first >= end:
            break
        if first > position:
            parts.append((position, first))
        position = max(position, last)
    if position < end:
        parts.append((position, end))
    return parts


def _word_at(text: str, place: int) -> tuple[int, int]:
    """Return the extent of the ASCII letters and digits around a place, up to 128 characters each way."""
    left = _WORD.match(text[max(place - _FAR, 0) : place][::-1])
    right = _WORD.match(text, place, place + _FAR)
    return place - (left.end() if left else 0), right.end() if right else place


def _is_hash(token: str) -> bool:
    return (
        len(token) in _HASH_SIZES
        and _HEX.fullmatch(token) is not None
        and sum(letter.isalpha() for letter in token) >= len(token) // 8
    )
