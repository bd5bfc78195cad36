"""Numbers that are about things, not people: dates, prices, versions, order numbers, hashes, sequences."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from stdnum import ean

__all__ = ["DATE", "is_counted", "is_stamp"]

_ISBN_PREFIXES: Final = frozenset({"978", "979"})
# A date or date and time, wherever it stands in a run of digits; it separates what is on either side.
DATE: Final = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?=[T_-]?(?:[01][0-9]|2[0-3])[0-5][0-9])[T_-]?"
    r"[0-9]{4}(?:[0-5][0-9])?)(?![0-9])"
)


def is_stamp(digits: str) -> bool:
    """Return whether bare digits are an epoch time between 2001 and 2036, a calendar time, an ISBN or round."""
    count = len(digits)
    if count in {10, 13, 16, 19} and digits[0] in "12" and "1000000000" <= digits[:10] <= "2100000000":
        return True
    if digits.endswith("0000000") or digits in "01234567890123456789" or len(set(digits)) == 1:
        return True
    return _is_isbn(digits) or (count in {12, 14} and DATE.fullmatch(digits) is not None)


def is_counted(groups: list[str], gaps: list[str]) -> bool:
    """Return whether groups of digits are a sequence, years, thousands, a decimal or a version."""
    first = groups[0]
    if gaps[0] == "." and len(groups) == 2:
        return len(first) <= 3 and (first == "0" or first[0] != "0")
    if gaps[0] == "-" and first in _ISBN_PREFIXES and _is_isbn("".join(groups)):
        return True
    if "0" in {group[0] for group in groups}:
        return False
    thousands = len(first) <= 3 and all(len(group) == 3 for group in groups[1:])
    if thousands and (groups[-1] == "000" or (gaps[0] == "." and len(groups) > 2 and len(first) < 3)):
        return True
    return _is_listed([int(group) for group in groups])


def _is_listed(values: list[int]) -> bool:
    """Return whether values are years, evenly spaced, all round or all powers of two."""
    highest = max(values)
    if min(values) >= 1900 and highest <= 2100:
        return True
    if len(values) > 3 and len({after - before for before, after in pairwise(values)}) == 1:
        return True
    round_to = 10 if highest < 100 else 100
    return all(value % round_to == 0 for value in values) or all(value & (value - 1) == 0 for value in values)


def _is_isbn(digits: str) -> bool:
    return len(digits) == 13 and digits[:3] in _ISBN_PREFIXES and bool(ean.is_valid(digits))
