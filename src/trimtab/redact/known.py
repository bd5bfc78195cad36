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
_NO_DIGITS: Final = re.compile(r"[^0-9]")
_BETWEEN: Final = str.maketrans("", "", " \t\n\r\v\f().-/")
_RUN: Final = re.compile(r"[0-9](?:[\s().\-/]{0,3}[0-9]){5,}")


class KnownValue(msgspec.Struct, frozen=True):
    """One fact about the person an event is about, such as `KnownValue("name", "Maria Okafor")`."""

    kind: Literal["name", "email", "phone", "user"]
    value: str


class _Words(msgspec.Struct, frozen=True):
    words: list[str]
    entity: Entity
    canonical: str


class _Phone(msgspec.Struct, frozen=True):
    spellings: list[str]  # digits only, the longest first
    least: str  # is in each of them
    canonical: str


class Literals:
    """Known values, ready to be looked for: in any case, as whole words, of 3 characters or more.

    A telephone number is found in any grouping, with and without its country's prefix; it and an e-mail address get the
    token that the rules give them where they stand alone.
    """

    __slots__ = ("_phones", "_words")

    def __init__(self, known: Iterable[KnownValue]) -> None:
        self._words: list[_Words] = []
        self._phones: list[_Phone] = []
        for one in known:
            value = (seen.text if (seen := view.plain(one.value)) is not None else one.value).strip()
            if len(value) < _MIN_CHARS:
                continue
            if one.kind == "phone":
                if (told := _phone(value)) is not None:
                    self._phones.append(told)
            else:
                self._words.append(_Words(_each_folded(value).split(), _ENTITY[one.kind], _canonical(one.kind, value)))

    def may_stand_in(self, text: str) -> bool:
        """Return whether `find` may find something: no for nearly every text that holds no value."""
        plain = view.plain(text)
        seen = plain.text if plain is not None else text
        if self._words:
            folded = _folded(seen)
            if any(all(word in folded for word in one.words) for one in self._words):
                return True
        if self._phones:
            digits = seen.translate(_BETWEEN) if seen.isascii() else "".join(_NO_DIGITS.split(seen))
            return any(one.least in digits for one in self._phones)
        return False

    def find(self, text: str) -> list[Span]:
        """Return where the values stand in `text`, which is plain (`view.plain`)."""
        spans: list[Span] = []
        if self._words:
            folded = _folded(text)
            for one in self._words:
                spans += [Span(start, end, one.entity, one.canonical) for start, end in _places(folded, one.words)]
        if self._phones:
            for run in _RUN.finditer(text):
                spans += _phones(text, run, self._phones)
        return spans


def _canonical(kind: str, value: str) -> str:
    if kind == "email":
        found = mail.find(value)
        if len(found) == 1 and (found[0].start, found[0].end) == (0, len(value)):
            return found[0].canonical
    return value.lower()


def _folded(text: str) -> str:
    """Return a text without case, character by character."""
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    return folded if len(folded) == len(text) else _each_folded(text)


def _each_folded(text: str) -> str:
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


def _phone(value: str) -> _Phone | None:
    digits = _NO_DIGITS.sub("", value)
    if len(digits) < _MIN_DIGITS:
        return None
    canonical = number.whole(value) or phone.canonical(value, digits)
    spellings = {digits}
    least = digits
    if canonical.startswith("+"):
        try:
            told = phonenumbers.parse(canonical, None)
        except phonenumbers.NumberParseException:
            told = None
        national = str(told.national_number) if told is not None else ""
        if told is not None and len(national) >= _MIN_DIGITS:
            country = str(told.country_code)
            prefixes = ("", "0", country, f"{country}0", f"00{country}", f"00{country}0")
            spellings.update(prefix + national for prefix in prefixes)
            least = national if national in digits else digits
            spellings = {one for one in spellings if least in one}
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
