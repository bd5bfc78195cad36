"""Runs of digits: cards by Luhn and issuer range, telephone numbers by shape and number plan."""

from __future__ import annotations

import re
from typing import Final

from trimtab.redact.span import Span

__all__ = ["find"]

_RUN: Final = re.compile(r"\+?\(?[0-9][0-9 .\-/()]{5,60}[0-9]")
_CARD: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,13}|6\d{12,18}|5[06-8]\d{10,17}"
    r"|(?:2131|1800|35\d\d\d)\d{11}"
)
_PHONE_SHAPE: Final = re.compile(
    r"\+[\d .\-/()]{8,22}|\(?[2-9]\d\d\)?[ .-]?[2-9]\d\d[ .-]?\d{4}|\(?0[\d .\-/()]{8,16}|00[\d .\-/()]{9,18}"
)
_DATE: Final = re.compile(r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])")


def luhn(digits: str) -> bool:
    """Return whether `digits` carry a right Luhn check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def find(text: str, *, strict: bool) -> list[Span]:
    """Return the cards, telephone numbers and, under a strict policy, long bare numbers."""
    spans: list[Span] = []
    for run in _RUN.finditer(text):
        found = run.group()
        digits = re.sub(r"\D", "", found)
        if _CARD.fullmatch(digits) and luhn(digits):
            spans.append(Span(run.start(), run.end(), "CREDIT_CARD"))
        elif _DATE.match(found):
            continue
        elif _PHONE_SHAPE.fullmatch(found) and 8 <= len(digits) <= 15:
            spans.append(Span(run.start(), run.end(), "PHONE", digits))
        elif strict and len(digits) >= 13 and "." not in found:
            spans.append(Span(run.start(), run.end(), "NUMBER"))
    return spans
