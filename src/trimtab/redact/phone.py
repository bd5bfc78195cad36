"""Telephone numbers: by prefix, by the way their digits are grouped, by the words around them."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

__all__ = [
    "ANYWHERE",
    "EXTENSION",
    "MOST",
    "canonical",
    "is_grouped",
    "is_plan",
    "is_shape",
    "is_valid_plus",
    "split_plus",
]

# Group sizes of North American numbers, which are telephones whatever is between the groups.
ANYWHERE: Final = frozenset({(3, 3, 4), (1, 3, 3, 4)})

# More digits than that after a `+` are a number and what follows it.
MOST: Final = 13
EXTENSION: Final = re.compile(
    r"\s?(?:x|ext\.?|extension|#|poste|durchwahl|dw)\s?\.?:?\s?[0-9]{1,6}(?![0-9])", re.IGNORECASE
)
# Sizes of digit groups that people write telephone numbers in, where neither a prefix nor a word says so.
_SHAPES: Final = frozenset(
    {
        (3, 4),
        (3, 2, 2),
        (2, 2, 2, 2),
        (4, 4),
        (2, 3, 3),
        (3, 2, 3),
        (2, 6),
        (3, 3, 2),
        (3, 5),
        (5, 3),
        (3, 3, 3),
        (2, 7),
    }
    | {(2, 3, 2, 2), (3, 2, 2, 2), (3, 6), (5, 4), (1, 4, 4), (2, 3, 4), (4, 5), (1, 2, 2, 2, 2), (3, 3, 4), (3, 7)}
    | {(6, 4), (4, 6), (3, 3, 2, 2), (2, 4, 4), (5, 5), (4, 3, 3), (2, 2, 2, 2, 2), (4, 2, 2, 2), (2, 8), (2, 3, 5)}
    | {(1, 3, 3, 4), (2, 5, 4), (3, 4, 4), (5, 6), (3, 8), (4, 7), (2, 3, 3, 3), (2, 4, 5), (3, 4, 2, 2), (4, 3, 2, 2)}
    | {(2, 3, 3, 4), (2, 5, 5), (2, 2, 4, 4), (2, 2, 5, 4), (2, 2, 2, 2, 2, 2), (2, 10), (4, 4, 4), (2, 3, 3, 2, 2)}
    | {(3, 3, 3, 3), (2, 1, 2, 2, 2, 2), (1, 10), (3, 9)}
)
_DOTTED: Final = frozenset({(3, 3, 4), (3, 3, 3), (3, 3, 2, 2), (3, 4), (1, 3, 3, 4)})


def is_shape(text: str, sizes: tuple[int, ...], gaps: list[str], *, grouped: bool) -> bool:
    """Return whether a number without a `+` is written like a telephone number; `grouped` as `is_grouped` says."""
    first = text[0]
    if first not in "(01":
        return grouped
    if gaps and max(map(len, gaps)) > 3:
        return False
    count = sum(sizes)
    if first == "(" and ")" in text:
        return 7 <= count <= 13 and sizes[0] <= 5
    if text.startswith("00") and count >= 10:
        return count <= 17
    if first == "0" and 9 <= count <= 12:
        return True
    return grouped


def is_grouped(sizes: tuple[int, ...], gaps: list[str]) -> bool:
    """Return whether people write telephone numbers in groups of these sizes with these gaps."""
    marks = {gap.strip() for gap in gaps}
    if not gaps or "/" in marks or any(len(gap) > 3 for gap in gaps):
        return False
    if "." in marks:
        return marks == {"."} and sizes in _DOTTED
    return sizes in _SHAPES


def is_plan(digits: str) -> bool:
    """Return whether bare digits are a valid North American number, or an international one without its `+`."""
    if len(digits) == 10:
        return digits[0] in "23456789" and digits[3] in "23456789" and _is_valid(digits, "US")
    return 11 <= len(digits) <= 13 and digits[0] != "0" and _is_valid("+" + digits, None)


def is_valid_plus(digits: str) -> bool:
    """Return whether `digits` after a `+` are a valid number of their country's plan."""
    return _is_valid("+" + digits, None)


def canonical(text: str, digits: str) -> str:
    """Return one spelling for the ways to write an international number: `+`, then digits."""
    if "(0)" in text:
        digits = "".join([char for char in text.replace("(0)", "") if char in "0123456789"])
    if text.startswith(("+", "(+")):
        return "+" + digits
    if digits.startswith("00"):
        return "+" + digits[2:]
    if len(digits) == 10 and digits[0] in "23456789" and digits[3] in "23456789":
        return "+1" + digits
    return "+" + digits if len(digits) == 11 and digits[0] == "1" else digits


def split_plus(groups: list[str]) -> int:
    """Return how many of the groups after a `+` belong to the number: all, or the longest valid beginning."""
    if sum(map(len, groups)) <= MOST:
        return len(groups)
    best = 0
    digits = ""
    for taken, group in enumerate(groups, 1):
        digits += group
        if len(digits) > 15:
            break
        if best == 0 and len(digits) >= 8:
            best = taken
        if len(digits) >= 8 and _is_valid("+" + digits, None):
            best = taken
    return best


def _is_valid(number: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False
