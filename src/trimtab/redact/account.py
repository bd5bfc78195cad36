"""Account and identity numbers that mix letters and digits: IBAN, NINO, NIF, NIE, codice fiscale, PAN."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.it import codicefiscale

from trimtab.redact.span import Span

__all__ = ["HEAD", "HEADS", "find"]

# Where one of them may begin, each with the length of what it matches: the gate reports where a match ends.
HEADS: Final[tuple[tuple[str, int], ...]] = (
    (r"\b[a-z]{2}[0-9]{2}[a-z0-9]{4}", 8),
    (r"\b[a-z]{2}[0-9]{2}[ \-\n\t][a-z0-9]{4}", 9),
    (r"\b[a-z]{2}[0-9]{6}[a-z]\b", 9),
    (r"\b[a-z]{2}[ -][0-9]{6}[ -][a-z]\b", 11),
    (r"\b[a-z]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][a-z]\b", 13),
    (r"\b[xyz][0-9]{7}", 8),
    (r"\b[xyz]-[0-9]{7}", 9),
    (r"\b[0-9]{8}[a-z]\b", 9),
    (r"\b[0-9]{8}[ -][a-z]\b", 10),
    (r"\b[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[a-z]\b", 12),
    (r"\b[a-z]{6}[0-9lmnp-v]{2}[a-z][0-9lmnp-v]{2}[a-z]", 12),
    (r"\b[a-z]{5}[0-9]{4}[a-z]\b", 10),
    (r"\b[12][0-9]{4}2[ab][0-9]{8}\b", 15),
    (r"\b[12] [0-9]{2} [0-9]{2} 2[ab] [0-9]{3} [0-9]{3} [0-9]{2}\b", 21),
)

HEAD: Final = re.compile(
    r"(?<!\w)(?<![0-9]\.)(?:(?P<iban>[a-z]{2}[0-9]{2})(?=[ \-\n\t]?[a-z0-9]{4})(?![0-9]{4}[a-z](?!\w))"
    r"|(?P<nino>[a-z]{2}[0-9]{6}[a-z]|[a-z]{2}[ -][0-9]{6}[ -][a-z]"
    r"|[a-z]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][0-9]{2}[ -][a-z])(?!\w)"
    r"|(?P<nie>[xyz]-?[0-9]{7}-?[a-z])(?!\w)"
    r"|(?P<dni>[0-9]{8}[ -]?[a-z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[a-z])(?!\w)"
    r"|(?P<cf>[a-z]{6}[0-9lmnp-v]{2}[a-z][0-9lmnp-v]{2}[a-z][0-9lmnp-v]{3}[a-z])(?!\w)"
    r"|(?P<nir>[12][0-9]{4}2[ab][0-9]{8}|[12] [0-9]{2} [0-9]{2} 2[ab] [0-9]{3} [0-9]{3} [0-9]{2})(?!\w)"
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
_NINO: Final = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]")
_MIN_IBAN_DIGITS: Final = 10
_VALUES: Final = {letter: str(letter - 55) for letter in range(65, 91)}
_DIGITS: Final = str.maketrans("", "", "0123456789")
_GAPS: Final = re.compile(r"[ \-.\n\r\t]+")
_PIECE: Final = re.compile(
    r"[A-Za-z]{2}[0-9]{2}(?:[A-Za-z0-9]{11,30}(?![A-Za-z0-9])"
    r"|(?:[ -][A-Za-z0-9]{4}){2,7}(?:[ -][A-Za-z0-9]{1,3})?(?!\w))"
)


def find(text: str, starts: Iterable[int] | None, *, strict: bool) -> list[Span]:
    """Return the numbers that begin at `starts`, or anywhere for None."""
    spans = []
    for head in _heads(text, starts):
        span = _iban(text, head.start(), strict=strict) if head["iban"] else _identity(head, strict=strict)
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


def _identity(head: re.Match[str], *, strict: bool) -> Span | None:
    compact = re.sub(r"[ .\-]", "", head.group()).upper()
    start, end = head.span()
    if head["nino"]:
        if _NINO.fullmatch(compact):
            return Span(start, end, "UK_NINO")
        # A temporary number, or a mistyped one.
        return Span(start, end, "NUMBER") if strict and "-" not in head.group() else None
    if head["nie"]:
        return Span(start, end, "ES_NIE") if nie.is_valid(compact) else None
    if head["dni"]:
        return Span(start, end, "ES_NIF") if dni.is_valid(compact) else None
    if head["cf"]:
        return Span(start, end, "IT_CF") if codicefiscale.is_valid(compact) else None
    if head["nir"]:
        return Span(start, end, "FR_NIR") if nir.is_valid(compact) else (Span(start, end, "NUMBER") if strict else None)
    return Span(start, end, "IN_PAN")


def _iban(text: str, start: int, *, strict: bool) -> Span | None:
    """Return the IBAN that begins at `start`: as many letters and digits as its country's have.

    Strict policies also take one whose length or check digits are wrong, when it is written in one piece or in fours.
    """
    wanted = _IBAN_CHARS.get(text[start : start + 2].upper())
    if wanted is None:
        return None
    written = _written(wanted).match(text, start)
    if written is not None and not text[written.end() : written.end() + 1].isdigit():
        compact = _GAPS.sub("", written.group()).upper()
        if _is_checked(compact):
            return Span(start, written.end(), "IBAN", compact)
    if not strict:
        return None
    piece = _PIECE.match(text, start)
    if piece is None or len(piece.group()) - len(piece.group().translate(_DIGITS)) < _MIN_IBAN_DIGITS:
        return None
    return Span(start, piece.end(), "NUMBER")


@cache
def _written(chars: int) -> re.Pattern[str]:
    """Return the pattern of `chars` letters and digits with gaps of up to two between them."""
    return re.compile(rf"(?:[A-Za-z0-9][ \-.\n\r\t]{{0,2}}){{{chars - 1}}}[A-Za-z0-9]")


def _is_checked(compact: str) -> bool:
    """Return whether the check digits are right (ISO 7064, MOD 97-10)."""
    return int((compact[4:] + compact[:4]).translate(_VALUES)) % 97 == 1
