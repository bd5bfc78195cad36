"""What the event itself says about its user: literals to take out of its texts.

Every event may bring others, so nothing is compiled for one: plain searches over the folded text find where to look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec
import phonenumbers

from trimtab.redact import mail, number, phone, view
from trimtab.redact.entity import Entity
from trimtab.redact.span import Span

__all__ = ["KnownValue", "Literals"]

_ENTITY: Final[dict[str, Entity]] = {"name": "NAME", "email": "EMAIL", "phone": "PHONE", "user": "USER"}
_MIN_CHARS: Final = 3
_MIN_DIGITS: Final = 6
_MAX_GAP: Final = 3
_NO_DIGITS: Final = re.compile(r"[^0-9]+")
_BETWEEN: Final = str.maketrans("", "", " \t\n\r\v\f\x1c\x1d\x1e\x1f().-/")
_RUN: Final = re.compile(r"[0-9](?:[\s().\-/]{0,3}[0-9]){5,}")


class KnownValue(msgspec.Struct, frozen=True):
    """One fact about the person an event is about, such as `KnownValue("name", "Maria Okafor")`."""

    kind: Literal["name", "email", "phone", "user"]
    value: str


class _Phone(msgspec.Struct, frozen=True):
    spellings: list[str]  # digits only, the longest first
    least: str  # each of them ends in it
    canonical: str


class Literals:
    """Known values, ready to be looked for: in any case, as whole words, of 3 characters or more.

    A telephone number is found in any grouping, with and without its country's prefix; it and an e-mail address get the
    token that the rules give them where they stand alone.
    """

    __slots__ = ("_phones", "_words")

    def __init__(self, known: Iterable[KnownValue]) -> None:
        self._words: list[tuple[list[str], KnownValue]] = []  # folded words, and the plain value
        self._phones: list[tuple[str, str]] = []  # the last digits, and the plain value
        for one in known:
            value = (seen.text if (seen := view.plain(one.value)) is not None else one.value).strip()
            if len(value) < _MIN_CHARS:
                continue
            if one.kind != "phone":
                self._words.append((_each_folded(value).split(), KnownValue(one.kind, value)))
            elif len(digits := _NO_DIGITS.sub("", value)) >= _MIN_DIGITS:
                self._phones.append((digits[-_MIN_DIGITS:], value))

    def may_stand_in(self, text: str) -> bool:
        """Return whether `find` may find something: no for nearly every text that holds no value."""
        plain = view.plain(text)
        seen = plain.text if plain is not None else text
        if self._words:
            folded = _folded(seen)
            for words, _ in self._words:
                if words[0] in folded and all(word in folded for word in words):
                    return True
        if self._phones:
            digits = _joined(seen)
            return any(tail in digits for tail, _ in self._phones)
        return False

    def find(self, text: str) -> list[Span]:
        """Return where the values stand in `text`, which is plain (`view.plain`)."""
        spans: list[Span] = []
        folded = _folded(text) if self._words else ""
        for words, one in self._words:
            if words[0] in folded:
                entity, canonical = _ENTITY[one.kind], _canonical(one.kind, one.value)
                spans += [Span(start, end, entity, canonical) for start, end in _places(folded, words)]
        digits = _joined(text) if self._phones else ""
        # Reading a number by its country's plan takes longest, and nearly no text holds its last digits.
        phones = [_phone(value) for tail, value in self._phones if tail in digits]
        for run in _RUN.finditer(text) if phones else ():
            spans += _phones(text, run, phones)
        return spans


def _canonical(kind: str, value: str) -> str:
    if kind == "email":
        found = mail.find(value)
        if len(found) == 1 and (found[0].start, found[0].end) == (0, len(value)):
            return found[0].canonical
    return value.lower()


def _joined(text: str) -> str:
    """Return a text with the digits of each number next to each other."""
    return text.translate(_BETWEEN) if text.isascii() else _NO_DIGITS.sub("", text)


def _folded(text: str) -> str:
    """Return a text without case, character by character."""
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    return folded if len(folded) == len(text) else _each_folded(text)


def _each_folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join([one if len(one := char.casefold()) == 1 else char for char in text])


def _places(folded: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where the words stand in a row, one to three spaces apart, with no letter or digit beside them."""
    start = folded.find(words[0])
    while start >= 0:
        end = start + len(words[0])
        for word in words[1:]:
            begin = end
            while begin < end + _MAX_GAP and folded[begin : begin + 1].isspace():
                begin += 1
            if begin == end or not folded.startswith(word, begin):
                end = -1
                break
            end = begin + len(word)
        if end > 0 and not _is_word(folded[start - 1 : start]) and not _is_word(folded[end : end + 1]):
            yield start, end
            start = folded.find(words[0], end)
        else:
            start = folded.find(words[0], start + 1)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _phone(value: str) -> _Phone:
    """Return the ways to write a telephone number: with its country's prefix, in national form, and as it was told."""
    digits = _NO_DIGITS.sub("", value)
    canonical = number.whole(value) or phone.canonical(value, digits)
    least = digits
    spellings = {digits}
    if canonical.startswith("+"):
        try:
            told = phonenumbers.parse(canonical, None)
        except phonenumbers.NumberParseException:
            return _Phone([digits], digits, canonical)
        national = str(told.national_number)
        if len(national) >= _MIN_DIGITS and digits.endswith(national):
            least = national
            country = str(told.country_code)
            prefixes = ("", "0", country, f"{country}0", f"00{country}", f"00{country}0")
            spellings.update(prefix + national for prefix in prefixes)
    return _Phone(sorted(spellings, key=len, reverse=True), least, canonical)


def _phones(text: str, run: re.Match[str], known: Sequence[_Phone]) -> Iterator[Span]:
    """Yield the known numbers in a run of digits; a number begins and ends where no further digit is beside it."""
    written = run.group()
    digits = _NO_DIGITS.sub("", written)
    places: list[int] = []
    for one in known:
        if one.least not in digits:
            continue
        places = places or [run.start() + at for at, char in enumerate(written) if "0" <= char <= "9"]
        done = 0
        while (found := digits.find(one.least, done)) >= 0:
            done = found + 1
            last = found + len(one.least)
            for spelling in one.spellings:
                first = last - len(spelling)
                if first < 0 or not digits.startswith(spelling, first):
                    continue
                start, end = places[first], places[last - 1] + 1
                if text[start - 1 : start].isdigit() or text[end : end + 1].isdigit():
                    continue
                start -= text[start - 1 : start] == "+"
                start -= text[start - 1 : start] == "(" and ")" in text[start:end]
                yield Span(start, end, "PHONE", one.canonical)
                done = last
                break
