"""Numbers that are about things, not people: dates, prices, versions, order numbers, hashes, sequences."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from stdnum import isbn

__all__ = ["DATE", "is_counted", "is_stamp"]

# A date or date and time, wherever it stands in a run of digits; it separates what is on either side.
DATE: Final = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?=[T_-]?(?:[01][0-9]|2[0-3])[0-5][0-9])[T_-]?"
    r"[0-9]{4}(?:[0-5][0-9])?)(?![0-9])"
)


def is_stamp(digits: str) -> bool:
    """Return whether bare digits are an epoch time between 2001 and 2036, a calendar time, an ISBN or round."""
    if len(digits) in {10, 13, 16, 19} and digits[0] in "12" and 1_000_000_000 <= int(digits[:10]) <= 2_100_000_000:
        return True
    if (
        DATE.fullmatch(digits)
        or digits.endswith("0000000")
        or len(set(digits)) == 1
        or digits in "01234567890123456789"
    ):
        return True
    return len(digits) == 13 and digits[:3] in {"978", "979"} and bool(isbn.is_valid(digits))


def is_counted(groups: list[str], gaps: list[str]) -> bool:
    """Return whether groups of digits are a sequence, years, thousands, a decimal or a version."""
    values = [int(group) for group in groups]
    if all(len(group) == 4 and 1900 <= value <= 2100 for group, value in zip(groups, values, strict=True)):
        return True
    if len(values) > 3 and len({after - before for before, after in pairwise(values)}) == 1:
        return True
    round_to = 10 if max(values) < 100 else 100
    if all(value % round_to == 0 and group[0] != "0" for group, value in zip(groups, values, strict=True)):
        return True
    if all(value and value & (value - 1) == 0 and group[0] != "0" for group, value in zip(groups, values, strict=True)):
        return True
    if gaps[0] == "." and len(groups) == 2:
        return len(groups[0]) <= 3 and (groups[0] == "0" or groups[0][0] != "0")
    if gaps[0] == "-" and groups[0] in {"978", "979"} and isbn.is_valid("".join(groups)):
        return True
    thousands = len(groups[0]) <= 3 and groups[0][0] != "0" and all(len(group) == 3 for group in groups[1:])
    return thousands and (groups[-1] == "000" or (gaps[0] == "." and len(groups) > 2 and len(groups[0]) < 3))
