"""National numbers made of digits alone, by shape and check digit; rules from python-stdnum."""

from __future__ import annotations

import re
from typing import Final

from stdnum.br import cpf
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.tr import tckimlik

from trimtab.redact.card import luhn
from trimtab.redact.entity import Entity

__all__ = ["classify", "is_numbered", "is_ssn_shape"]

_WORDS: Final[dict[str, frozenset[str]]] = {
    "US_SSN": frozenset({"ssn", "social"}),
    "US_ITIN": frozenset({"itin"}),
    "NL_BSN": frozenset({"bsn", "burgerservicenummer", "sofi", "sofinummer"}),
    "UK_NHS": frozenset({"nhs"}),
    "SE_PERSONNUMMER": frozenset({"personnummer", "personnr"}),
}
_SIX_DATE: Final = re.compile(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]|6[1-9]|[78]\d|9[01])")


def is_ssn_shape(sizes: tuple[int, ...], gaps: list[str]) -> bool:
    """Return whether the groups are written like a US social security number, `123-45-6789`."""
    return sizes == (3, 2, 4) and gaps[0] == gaps[1] and gaps[0] in {"-", " ", ".", "–"}


def is_numbered(count: int, sizes: tuple[int, ...], gaps: list[str]) -> bool:
    """Return whether `classify` may say yes to `count` digits in such groups with no word before them."""
    if count == 9:
        return is_ssn_shape(sizes, gaps)
    if count == 10:
        return sizes == (6, 4)
    return count in _BY_LENGTH


def classify(digits: str, sizes: tuple[int, ...], gaps: list[str], words: list[str]) -> Entity | None:
    """Return which national number `digits` are, or None; `words` are those before them, in lower case."""
    checked = _BY_LENGTH.get(len(digits))
    return checked(digits, sizes, gaps, words) if checked else None


def _nine(digits: str, sizes: tuple[int, ...], gaps: list[str], words: list[str]) -> Entity | None:
    bare = len(sizes) == 1
    if is_ssn_shape(sizes, gaps) or (
        bare and (not _WORDS["US_SSN"].isdisjoint(words) or not _WORDS["US_ITIN"].isdisjoint(words))
    ):
        if digits[0] == "9":
            group = int(digits[3:5])
            valid = 50 <= group <= 99 and group not in {66, 67, 68, 69, 89, 93}
            return "US_ITIN" if valid else None
        if digits[:3] not in {"000", "666"} and digits[3:5] != "00" and digits[5:] != "0000":
            return "US_SSN"
        return None
    if not _WORDS["NL_BSN"].isdisjoint(words) and bsn.is_valid(digits):
        return "NL_BSN"
    return None


def _ten(digits: str, sizes: tuple[int, ...], gaps: list[str], words: list[str]) -> Entity | None:
    if (sizes == (3, 3, 4) or len(sizes) == 1) and not _WORDS["UK_NHS"].isdisjoint(words) and nhs.is_valid(digits):
        return "UK_NHS"
    if sizes == (6, 4) and gaps[0] in "-+ " and _SIX_DATE.match(digits) and luhn(digits):
        return "SE_PERSONNUMMER"
    if len(sizes) == 1 and not _WORDS["SE_PERSONNUMMER"].isdisjoint(words) and luhn(digits):
        return "SE_PERSONNUMMER"
    return None


def _eleven(digits: str, sizes: tuple[int, ...], gaps: list[str], _words: list[str]) -> Entity | None:
    if sizes == (3, 3, 3, 2) and gaps[2] == "-" and cpf.is_valid(digits):
        return "BR_CPF"
    if len(sizes) > 1:
        return None
    if tckimlik.is_valid(digits):
        return "TR_TCKN"
    if pesel.is_valid(digits):
        return "PL_PESEL"
    return "BR_CPF" if cpf.is_valid(digits) else None


def _twelve(digits: str, sizes: tuple[int, ...], gaps: list[str], _words: list[str]) -> Entity | None:
    dated = digits[:2] in {"19", "20"} and _SIX_DATE.match(digits, 2) is not None
    if dated and luhn(digits[2:]) and (len(sizes) == 1 or (sizes == (8, 4) and gaps[0] in "-+ ")):
        return "SE_PERSONNUMMER"
    if (sizes == (4, 4, 4) or len(sizes) == 1) and aadhaar.is_valid(digits):
        return "IN_AADHAAR"
    return None


def _fifteen(digits: str, _sizes: tuple[int, ...], _gaps: list[str], _words: list[str]) -> Entity | None:
    return "FR_NIR" if digits[0] in "12" and nir.is_valid(digits) else None


_BY_LENGTH: Final = {9: _nine, 10: _ten, 11: _eleven, 12: _twelve, 15: _fifteen}
