"""Runs of digits: what in them is a card, a national number, a telephone number, or too long to be harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from trimtab.redact import benign, card, national, phone
from trimtab.redact.span import Span

__all__ = ["find", "whole"]

_RUN: Final = re.compile(r"[0-9][0-9 .()/\-\t\r\n]{4,}[0-9]")
_GROUP: Final = re.compile(r"[0-9]+")
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
)
_HASH: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]+(?![0-9A-Za-z])")
_HASH_SIZES: Final = frozenset({24, 32, 40, 56, 64, 96, 128})
_GLUED_ID: Final = re.compile(r"[a-z][_\-/.]?\Z")
_PHONE_ANYWHERE: Final = frozenset({(3, 3, 4), (1, 3, 3, 4)})
_MIN_DIGITS: Final = 6
_MAX_CARD: Final = 19
_BARE: Final = 9


class _Group(NamedTuple):
    start: int
    end: int
    digits: str


def find(text: str, *, strict: bool) -> list[Span]:
    """Return cards, national numbers, telephone numbers and, when strict, long numbers that may be any of them."""
    spans: list[Span] = []
    for run in _RUN.finditer(text):
        for start, end in _without_things(text, run.start(), run.end()):
            groups = [_Group(found.start(), found.end(), found.group()) for found in _GROUP.finditer(text, start, end)]
            if sum(len(group.digits) for group in groups) >= _MIN_DIGITS:
                spans += _in_run(text, groups, strict=strict)
    return spans


def whole(text: str) -> str | None:
    """Return the canonical telephone number that all of `text` is, or None."""
    spans = find(text, strict=False)
    if len(spans) == 1 and spans[0].entity == "PHONE" and (spans[0].start, spans[0].end) == (0, len(text)):
        return spans[0].canonical
    return None


def _without_things(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run of digits that are left when UUIDs, hashes and dates are cut out of it."""
    things: list[tuple[int, int]] = []
    before, after = text[start - 1 : start], text[end : end + 1]
    if before.isalnum() or after.isalnum() or "-" in text[start:end]:
        low, high = max(start - 36, 0), min(end + 36, len(text))
        things += [found.span() for found in _UUID.finditer(text, low, high)]
    if before.isalnum() or after.isalnum():
        low, high = max(start - 128, 0), min(end + 128, len(text))
        things += [found.span() for found in _HASH.finditer(text, low, high) if _is_hash(found.group())]
    if text[start - 1 : start] != "+":
        things += [found.span() for found in benign.DATE.finditer(text, start, end)]
    position = start
    for first, last in sorted(things):
        if first >= end:
            break
        if first > position:
            yield position, first
        position = max(position, last)
    if position < end:
        yield position, end


def _is_hash(token: str) -> bool:
    return len(token) in _HASH_SIZES and sum(letter.isalpha() for letter in token) >= len(token) // 8


def _in_run(text: str, groups: list[_Group], *, strict: bool) -> Iterator[Span]:
    """Yield what is found in a run: cards over any groups of it first, then each stretch between them."""
    rest: list[_Group] = []
    index = 0
    while index < len(groups):
        count = _card_at(groups, index)
        if count:
            yield from _in_stretches(text, rest, strict=strict)
            rest = []
            yield Span(groups[index].start, groups[index + count - 1].end, "CREDIT_CARD")
            index += count
        else:
            rest.append(groups[index])
            index += 1
    yield from _in_stretches(text, rest, strict=strict)


def _card_at(groups: list[_Group], index: int) -> int:
    """Return how many groups from `index` on make a card number; 0 for none."""
    digits = ""
    sizes: tuple[int, ...] = ()
    best = 0
    for offset in range(index, min(index + _MAX_CARD, len(groups))):
        group = groups[offset]
        if sizes and group.start - groups[offset - 1].end > 3:
            break
        digits += group.digits
        if len(digits) > _MAX_CARD:
            break
        sizes += (len(group.digits),)
        if len(digits) >= 12 and card.looks_grouped(sizes) and card.is_card(digits):
            best = len(sizes)
    return best


def _in_stretches(text: str, groups: list[_Group], *, strict: bool) -> Iterator[Span]:
    """Yield what is found between the places where a line, a wide gap or a sentence ends."""
    stretch: list[_Group] = []
    for group in groups:
        if stretch and _parts(text, stretch, group):
            yield from _in_stretch(text, stretch, strict=strict)
            stretch = []
        stretch.append(group)
    yield from _in_stretch(text, stretch, strict=strict)


def _parts(text: str, stretch: list[_Group], group: _Group) -> bool:
    gap = text[stretch[-1].end : group.start]
    if len(gap) == 1 and gap in " -./":
        return False
    if len(gap) > 4 or "\t" in gap or ". " in gap:
        return True
    if "\n" in gap or "\r" in gap:
        # A number split by a line break goes on when it had a hyphen there, or began with + and is far too short.
        plus = text[stretch[0].start - 1 : stretch[0].start] == "+"
        return not (gap[0] in "-." or (plus and sum(len(one.digits) for one in stretch) < 8))
    return gap.isspace() and len(gap) > 1


def _in_stretch(text: str, groups: list[_Group], *, strict: bool) -> Iterator[Span]:
    if not groups or sum(len(group.digits) for group in groups) < _MIN_DIGITS:
        return
    start = _opening(text, groups[0].start, groups[-1].end)
    if text[start:].startswith(("+", "(+")) and not text[start - 1 : start].isdigit():
        yield from _after_plus(text, start, groups, strict=strict)
        return
    gaps = [text[one.end : two.start] for one, two in pairwise(groups)]
    span = _classified(text, start, groups, gaps, strict=strict)
    if span is not None:
        yield span
    elif " " in gaps and len(set(gaps)) > 1 and len(groups) > 2:
        # `52.5200 13.4050`, `4111-1111 2024`: two things beside each other, each looked at by itself.
        part: list[_Group] = []
        for group, gap in zip(groups, [*gaps, " "], strict=True):
            part.append(group)
            if gap == " ":
                yield from _in_stretch(text, part, strict=strict)
                part = []


def _opening(text: str, start: int, end: int) -> int:
    """Return where a number begins whose digits are `text[start:end]`: with its plus sign and a bracket it closes."""
    closed = text.find(")", start, end) != -1
    while start > 0 and (text[start - 1] == "+" or (closed and text[start - 1] == "(")):
        start -= 1
    return start


def _after_plus(text: str, start: int, groups: list[_Group], *, strict: bool) -> Iterator[Span]:
    count = phone.split_plus([group.digits for group in groups])
    digits = "".join(group.digits for group in groups[:count])
    if count and (len(digits) >= 7 if strict else phone.is_valid_plus(digits)):
        end = _extended(text, groups[count - 1].end)
        yield Span(start, end, "PHONE", phone.canonical(text[start : groups[count - 1].end], digits))
        yield from _in_stretch(text, groups[count:], strict=strict)
    elif strict and len(digits) >= _BARE:
        yield Span(groups[0].start, groups[-1].end, "NUMBER")


def _extended(text: str, end: int) -> int:
    extension = phone.EXTENSION.match(text, end)
    return extension.end() if extension else end


def _classified(text: str, start: int, groups: list[_Group], gaps: list[str], *, strict: bool) -> Span | None:
    """Return the one finding that a whole stretch is, or None."""
    first, end = groups[0].start, groups[-1].end
    digits = "".join(group.digits for group in groups)
    sizes = tuple(len(group.digits) for group in groups)
    before = text[max(start - 40, 0) : start].lower()
    entity = national.classify(digits, sizes, gaps, before)
    if entity is not None:
        return Span(first, end, entity)
    after = text[end : end + 16].lower()
    if 6 <= len(digits) <= 15 and phone.is_told(before, after) and not _is_fraction(text, first, end):
        return Span(start, _extended(text, end), "PHONE", phone.canonical(text[start:end], digits))
    if _is_thing(text, first, groups, gaps, before, after):
        return None
    if _is_phone(text[start:end], digits, sizes, gaps, before, strict=strict):
        return Span(start, _extended(text, end), "PHONE", phone.canonical(text[start:end], digits))
    if strict and _is_long(digits, sizes, gaps):
        return Span(first, end, "NUMBER")
    return None


def _is_fraction(text: str, first: int, end: int) -> bool:
    return (text[first - 1 : first] in {".", ","} and text[first - 2 : first - 1].isdigit()) or (
        text[end : end + 1] in {".", ","} and text[end + 1 : end + 2].isdigit()
    )


def _is_thing(text: str, first: int, groups: list[_Group], gaps: list[str], before: str, after: str) -> bool:
    if _is_fraction(text, first, groups[-1].end):
        return True
    sizes = tuple(len(group.digits) for group in groups)
    named = benign.names_thing(before) or benign.is_measure(after) or _GLUED_ID.search(before) is not None
    if not gaps:
        return benign.is_stamp(groups[0].digits) or (named and not (sizes == (10,) and before[-1:].isalpha()))
    if sizes in _PHONE_ANYWHERE and set(gaps) != {" "}:
        return False
    if named and sizes not in _PHONE_ANYWHERE and not (groups[0].digits[0] == "0" and len(sizes) > 2):
        return True
    return benign.is_counted([group.digits for group in groups], gaps)


def _is_phone(found: str, digits: str, sizes: tuple[int, ...], gaps: list[str], before: str, *, strict: bool) -> bool:
    if found[0] == "(" and before[-1:].isalnum():
        return False
    if strict and phone.is_shape(found, sizes, gaps):
        return True
    return (len(gaps) == 0 or sizes in {(3, 3, 4), (1, 3, 3, 4)}) and phone.is_plan(digits)


def _is_long(digits: str, sizes: tuple[int, ...], gaps: list[str]) -> bool:
    if len(sizes) == 1:
        return len(digits) >= _BARE
    if national.is_ssn_shape(sizes, gaps):
        return True
    return 12 <= len(digits) <= 19 and len(set(gaps)) == 1 and (card.looks_grouped(sizes) and min(sizes) >= 3)
