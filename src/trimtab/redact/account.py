"""Account and identity numbers that mix letters and digits: IBAN, NINO, NIF, NIE, codice fiscale, PAN."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from stdnum import iban
from stdnum.es import dni, nie
from stdnum.it import codicefiscale

from trimtab.redact.span import Span

__all__ = ["HEAD", "HEADS", "find"]

# Where one of them may begin, each with the length of what it matches: the gate reports where a match ends.
HEADS: Final[tuple[tuple[str, int], ...]] = (
    (r"\b[a-z]{2}[0-9]{2}[a-z0-9]{4}", 8),
    (r"\b[a-z]{2}[0-9]{2}[ \-\n\t][a-z0-9]{4}", 9),
    (r"\b[a-z]{2}[0-9]{6}[a-d]\b", 9),
    (r"\b[a-z]{2}[ -][0-9]{6}[ -][a-d]\b", 11),
    (r"\b[a-z]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][a-d]\b", 13),
    (r"\b[xyz][0-9]{7}", 8),
    (r"\b[xyz]-[0-9]{7}", 9),
    (r"\b[0-9]{8}[a-z]\b", 9),
    (r"\b[0-9]{8}[ -][a-z]\b", 10),
    (r"\b[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[a-z]\b", 12),
    (r"\b[a-z]{6}[0-9lmnp-v]{2}[a-z][0-9lmnp-v]{2}[a-z]", 12),
    (r"\b[a-z]{5}[0-9]{4}[a-z]\b", 10),
)

HEAD: Final = re.compile(
    r"(?<!\w)(?:(?P<iban>[a-z]{2}[0-9]{2})(?=[ \-\n\t]?[a-z0-9]{4})(?![0-9]{4}[a-d](?!\w))"
    r"|(?P<nino>[a-ceghj-prtw-z][a-ceghj-nprtw-z](?P<sep>[ -]?)[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[a-d])(?!\w)"
    r"|(?P<nie>[xyz]-?[0-9]{7}-?[a-z])(?!\w)"
    r"|(?P<dni>[0-9]{8}[ -]?[a-z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[a-z])(?!\w)"
    r"|(?P<cf>[a-z]{6}[0-9lmnp-v]{2}[a-z][0-9lmnp-v]{2}[a-z][0-9lmnp-v]{3}[a-z])(?!\w)"
    r"|(?P<pan>[a-z]{3}[abcfghjlpt][a-z][0-9]{4}[a-z])(?!\w))",
    re.IGNORECASE | re.ASCII,
)

# Length of an IBAN by country, from the SWIFT IBAN registry.
_IBAN_CHARS: Final[dict[str, int]] = {
    country: chars
    for chars, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_MIN_IBAN_DIGITS: Final = 10


def find(text: str, starts: Iterable[int] | None, *, strict: bool) -> list[Span]:
    """Return the numbers that begin at `starts`, or anywhere for None."""
    spans = []
    for head in _heads(text, starts):
        span = _iban(text, head.start(), strict=strict) if head["iban"] else _identity(head)
        if span is not None:
            spans.append(span)
    return spans


def _heads(text: str, starts: Iterable[int] | None) -> Iterable[re.Match[str]]:
    if starts is None:
        yield from HEAD.finditer(text)
        return
    done = 0
    for start in starts:
        if start >= done and (head := HEAD.match(text, start)) is not None:
            done = head.end()
            yield head


def _identity(head: re.Match[str]) -> Span | None:
    compact = re.sub(r"[ .\-]", "", head.group()).upper()
    start, end = head.span()
    if head["nino"]:
        return Span(start, end, "UK_NINO") if compact[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"} else None
    if head["nie"]:
        return Span(start, end, "ES_NIE") if nie.is_valid(compact) else None
    if head["dni"]:
        return Span(start, end, "ES_NIF") if dni.is_valid(compact) else None
    if head["cf"]:
        return Span(start, end, "IT_CF") if codicefiscale.is_valid(compact) else None
    return Span(start, end, "IN_PAN")


def _iban(text: str, start: int, *, strict: bool) -> Span | None:
    """Return the IBAN that begins at `start`: as many letters and digits as its country's have."""
    wanted = _IBAN_CHARS.get(text[start : start + 2].upper())
    if wanted is None:
        return None
    compact = ""
    end = start
    gap = 0
    for place in range(start, min(start + 2 * wanted, len(text))):
        char = text[place]
        if char.isascii() and char.isalnum():
            compact += char
            end, gap = place + 1, 0
            if len(compact) == wanted:
                break
        else:
            gap += 1
            if gap > 2 or char not in " -.\n\r\t":
                break
    if len(compact) != wanted or text[end : end + 1].isdigit():
        return None
    compact = compact.upper()
    if iban.is_valid(compact, check_country=False):
        return Span(start, end, "IBAN", compact)
    one_piece = text[start:end].count(" ") in {0, (wanted - 1) // 4}
    if strict and one_piece and sum(char.isdigit() for char in compact) >= _MIN_IBAN_DIGITS:
        return Span(start, end, "NUMBER") if not text[end : end + 1].isalpha() else None
    return None
