"""Payment cards: issuer ranges and the check digit."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FIRST", "SHORTEST", "is_card", "looks_grouped", "luhn"]

# Issuer ranges by length (ISO/IEC 7812 register as the schemes publish it), Mastercard's 2-series included.
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}(?:\d\d)?(?:\d{3})?"
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d|81\d\d)\d{12}(?:\d{1,3})?"
    r"|(?:2131|1800)\d{11}|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"
    r"|(?:50|5[6-9]|6\d)\d{10,17}"
    r"|220[0-4]\d{12}(?:\d{1,3})?|9792\d{12}|(?:60|65|81|82|508)\d{13,14}"
)
# What an issued number begins with, as far as its first group of digits goes.
FIRST: Final = ("2", "3", "4", "5", "6", "18", "81", "82", "97")
# How many digits an issued number has at least, by its first.
SHORTEST: Final = {"0": 99, "1": 15, "2": 15, "3": 14, "4": 13, "5": 12, "6": 12, "7": 99, "8": 15, "9": 16}
_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_PLAIN: Final = bytes.maketrans(b"0123456789", bytes(range(10)))


def luhn(digits: str) -> bool:
    """Return whether `digits` end in the right check digit (ISO/IEC 7812-1, annex B)."""
    row = digits.encode()
    return (sum(row[-1::-2].translate(_PLAIN)) + sum(row[-2::-2].translate(_DOUBLED))) % 10 == 0


def is_card(digits: str) -> bool:
    """Return whether `digits` are in an issuer's range, of that range's length, with a right check digit."""
    return _ISSUED.fullmatch(digits) is not None and luhn(digits)


def looks_grouped(sizes: tuple[int, ...]) -> bool:
    """Return whether groups of these sizes are how people write a card number, split by a line break included."""
    if len(sizes) <= 2:
        return len(sizes) == 1 or min(sizes) >= 4
    if sizes in {(4, 6, 5), (4, 6, 4)}:
        return True
    first = sizes[0]
    return (all(size == first for size in sizes[:-1]) and sizes[-1] <= max(first, 4)) or all(
        size % 4 == 0 for size in sizes[:-1]
    )
