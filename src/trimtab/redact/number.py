"""Runs of digits: what in them is a card, a national number, a telephone number, or too long to be harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from trimtab.redact import benign, card, context, national, phone, thing
from trimtab.redact.settled import Run, Settled
from trimtab.redact.span import Span

__all__ = ["find", "is_short", "stays", "whole"]

_RUN: Final = re.compile(r"[0-9][0-9 .()/\-\t\r\n]{4,}[0-9]")
_BARE_DIGITS: Final = str.maketrans("", "", " .()/-\t\r\n")
_GROUP: Final = re.compile(r"[0-9]+")
_PHONE_ANYWHERE: Final = frozenset({(3, 3, 4), (1, 3, 3, 4)})
_HARMLESS: Final = re.compile(
    r"(?:[1-9]?[0-9]|1[0-9]{2})\.[0-9]+"  # a decimal or coordinate
    r"|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?: [0-2]?[0-9])?"  # a date, perhaps with an hour
    r"|97[89](?:-[0-9]{1,7}){3}-[0-9]"  # an ISBN
)
_NEAR: Final = 3
_MIN_CARD: Final = 12
_MIN_DIGITS: Final = 6
_MAX_CARD: Final = 19
_BARE: Final = 9
_AFTER: Final = 16
_NO_WORDS: Final[list[str]] = []
_OPENINGS: Final = frozenset("+(")


class _Look:
    """One look at a run: `cleared` when its last stretch counts a thing, `doubtful` once only a word said so."""

    __slots__ = ("cleared", "doubtful", "strict", "told")

    def __init__(self, *, strict: bool, told: bool) -> None:
        self.strict = strict
        self.told = told
        self.cleared = False
        self.doubtful = False


class _Group(NamedTuple):
    start: int
    end: int
    digits: str


def find(
    text: str, *, strict: bool, told: bool = True, settled: Settled | None = None, addresses: Sequence[Span] = ()
) -> list[Span]:
    """Return cards, national numbers, telephone numbers and, when strict, long numbers that may be any of them.

    `told` False says that no word in the text can make a number a telephone's or a national one. A run that is one of
    the `addresses`, which are all to be replaced, is not looked at: nothing found in it could outrank them.
    """
    span_ends = {} if told else {address.start: address.end for address in addresses}
    spans: list[Span] = []
    look = _Look(strict=strict, told=told)
    for run in _RUN.finditer(text):
        start, end = run.span()
        if span_ends and span_ends.get(start) == end and _is_only_address(text, start, end):
            continue
        if settled is None:
            spans += _in_text(text, start, end, look)
            continue
        if settled.known and not _is_cut(text, start, end):
            key = Run(text, start, end, found=False, doubtful=False).key()
            if key in settled.known:
                continue
        look.doubtful = False
        found = _in_text(text, start, end, look)
        settled.runs.append(Run(text, start, end, bool(found), look.doubtful))
        spans += found
    return spans


def _is_only_address(text: str, start: int, end: int) -> bool:
    """Return whether a telephone number read into an address would not reach beyond it."""
    return text[start - 1 : start] not in _OPENINGS and phone.EXTENSION.match(text, end) is None


def is_short(run: str) -> bool:
    """Return whether a run has too few digits for anybody's number."""
    return len(run.translate(_BARE_DIGITS)) < _MIN_DIGITS


def stays(text: str, run: Run, low: int, high: int, *, strict: bool, told: bool) -> bool:
    """Return whether a run stays nobody's when of the text only `text[low:high]` is left, cut beside no letter."""
    if run.found:
        return False
    start, end, doubtful = run.start, run.end, run.doubtful
    near = _NEAR if not doubtful else thing.REACH if thing.is_in_word(text, start, end) else context.WINDOW + 2
    if (low == 0 or start - low >= near) and (high == len(text) or high - end >= near):
        return True
    return not _in_text(text[low:high], start - low, end - low, _Look(strict=strict, told=told))


def _is_cut(text: str, start: int, end: int) -> bool:
    """Return whether a word near a run was cut by what was taken out beside it, and may say something else now."""
    return (start <= context.WINDOW and text[:1].isalpha()) or (len(text) - end <= _AFTER and text[-1:].isalpha())


def _in_text(text: str, start: int, end: int, look: _Look) -> list[Span]:
    run = text[start:end]
    if run.isdigit():
        if end - start < _BARE and text[start - 1 : start] not in _OPENINGS:
            return _short(text, start, end) if look.told else []
    elif _HARMLESS.fullmatch(run) or is_short(run):
        return []
    if end - start <= _BARE and text[start - 1 : start].isalpha() and text[end : end + 1].isalpha():
        look.doubtful = True  # between letters, and too short for anything but a telephone's
        return []
    spans: list[Span] = []
    look.doubtful = look.doubtful or thing.is_in_word(text, start, end)
    for first, last in thing.without(text, run, start, end):
        groups = _groups(text, first, last)
        count = sum([len(group.digits) for group in groups])
        if count >= _MIN_CARD:
            spans += _in_run(text, groups, look)
        elif count >= _MIN_DIGITS:
            spans += _in_stretches(text, groups, look)
    return spans


def _groups(text: str, start: int, end: int) -> list[_Group]:
    """Return the groups of digits in a run."""
    bare = text[start:end]
    if bare.isdigit():
        return [_Group(start, end, bare)]
    return [_Group(found.start(), found.end(), found.group()) for found in _GROUP.finditer(text, start, end)]


def _short(text: str, start: int, end: int) -> list[Span]:
    """Return up to eight bare digits as a telephone number where the words around say so: else they are anything."""
    after = text[end : end + _AFTER].lower()
    if not context.names_phone(context.words_before(text, start), after) or _is_fraction(text, start, end):
        return []
    return [Span(start, _extended(text, end), "PHONE", text[start:end])]


def whole(text: str) -> str | None:
    """Return the canonical telephone number that all of `text` is, or None."""
    spans = find(text, strict=False)
    if len(spans) == 1 and spans[0].entity == "PHONE" and (spans[0].start, spans[0].end) == (0, len(text)):
        return spans[0].canonical
    return None


def _in_run(text: str, groups: list[_Group], look: _Look) -> Iterator[Span]:
    """Yield what is found in a run: cards over any groups of it first, then each stretch between them."""
    rest: list[_Group] = []
    index = listed = 0
    left = sum([len(group.digits) for group in groups])
    while index < len(groups):
        if left < _MIN_CARD:
            rest += groups[index:]
            break
        if index >= listed:
            listed = index + _small_groups(groups, index)
        # A card in groups of one to three digits fills its row; in a longer row they are a list of numbers.
        if listed - index > _MAX_CARD:
            rest += groups[index:listed]
            left -= sum([len(group.digits) for group in groups[index:listed]])
            index = listed
            continue
        count = _card_at(groups, index) if left >= card.SHORTEST[groups[index].digits[0]] else 0
        if count:
            if rest:
                yield from _in_stretches(text, rest, look)
                rest = []
            yield Span(groups[index].start, groups[index + count - 1].end, "CREDIT_CARD")
            left -= sum([len(group.digits) for group in groups[index : index + count]])
            index += count
        else:
            rest.append(groups[index])
            left -= len(groups[index].digits)
            index += 1
    if rest:
        yield from _in_stretches(text, rest, look)


def _small_groups(groups: list[_Group], index: int) -> int:
    """Return how many groups from `index` on have fewer than four digits."""
    count = 0
    while index + count < len(groups) and len(groups[index + count].digits) < 4:
        count += 1
    return count


def _card_at(groups: list[_Group], index: int) -> int:
    """Return how many groups from `index` on make a card number; 0 for none."""
    if not groups[index].digits.startswith(card.FIRST):
        return 0
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
        if len(digits) >= _MIN_CARD and card.looks_grouped(sizes) and card.is_card(digits):
            best = len(sizes)
    return best


def _in_stretches(text: str, groups: list[_Group], look: _Look) -> list[Span]:
    """Return what is found between the places where a line, a wide gap or a sentence ends."""
    if len(groups) == 1:
        return _in_stretch(text, groups, look)
    spans: list[Span] = []
    stretch: list[_Group] = []
    for group in groups:
        if stretch and _parts(text, stretch, group):
            spans += _in_stretch(text, stretch, look)
            stretch = []
        stretch.append(group)
    if stretch:
        spans += _in_stretch(text, stretch, look)
    return spans


def _parts(text: str, stretch: list[_Group], group: _Group) -> bool:
    gap = text[stretch[-1].end : group.start]
    if len(gap) == 1 and gap in " -./":
        return False
    if len(gap) > 4 or "\t" in gap or ". " in gap:
        return True
    if "\n" in gap or "\r" in gap:
        # A number split by a line break goes on when it had a hyphen there, or began with + and is far too short.
        plus = text[stretch[0].start - 1 : stretch[0].start] == "+"
        return not (gap[0] == "-" or (plus and sum(len(one.digits) for one in stretch) < 8))
    return gap.isspace() and len(gap) > 1


def _in_stretch(text: str, groups: list[_Group], look: _Look) -> list[Span]:
    if sum([len(group.digits) for group in groups]) < _MIN_DIGITS:
        return []
    start = _opening(text, groups[0].start, groups[-1].end)
    if text.startswith(("+", "(+"), start) and not text[start - 1 : start].isdigit():
        return _after_plus(text, start, groups, look)
    gaps = [text[one.end : two.start] for one, two in pairwise(groups)] if len(groups) > 1 else []
    span = _classified(text, start, groups, gaps, look)
    if span is not None:
        return [span]
    spans: list[Span] = []
    if len(groups) > 1 and not look.cleared and max([len(group.digits) for group in groups]) >= _BARE:
        # Nobody groups like that: a long number with something short beside it.
        for group in groups:
            spans += _in_stretch(text, [group], look)
    elif len(groups) > 2 and " " in gaps and len(set(gaps)) > 1:
        # `52.5200 13.4050`, `4111-1111 2024`: two things beside each other, each looked at by itself.
        part: list[_Group] = []
        for group, gap in zip(groups, [*gaps, " "], strict=True):
            part.append(group)
            if gap == " ":
                spans += _in_stretch(text, part, look)
                part = []
    return spans


def _opening(text: str, start: int, end: int) -> int:
    """Return where a number begins whose digits are `text[start:end]`: with its plus sign and a bracket it closes."""
    closes = ")" in text[start:end] and text.count(")", start, end) > text.count("(", start, end)
    if closes and text[start - 1 : start] == "(":
        start -= 1
    elif closes and text[max(start - 2, 0) : start] == "(+":
        return start - 2
    return start - 1 if start > 0 and text[start - 1] == "+" else start


def _after_plus(text: str, start: int, groups: list[_Group], look: _Look) -> list[Span]:
    count = phone.split_plus([group.digits for group in groups])
    digits = "".join(group.digits for group in groups[:count])
    if count and (len(digits) >= 7 if look.strict else phone.is_valid_plus(digits)):
        end = _extended(text, groups[count - 1].end)
        found = Span(start, end, "PHONE", phone.canonical(text[start : groups[count - 1].end], digits))
        return [found, *_in_stretches(text, groups[count:], look)]
    if look.strict and len(digits) >= _BARE:
        return [Span(groups[0].start, groups[-1].end, "NUMBER")]
    return []


def _extended(text: str, end: int) -> int:
    extension = phone.EXTENSION.match(text, end)
    return extension.end() if extension else end


def _classified(text: str, start: int, groups: list[_Group], gaps: list[str], look: _Look) -> Span | None:
    """Return the one finding that a whole stretch is, or None."""
    first, end = groups[0].start, groups[-1].end
    digits = "".join([group.digits for group in groups])
    sizes = tuple([len(group.digits) for group in groups])
    words = context.words_before(text, start) if look.told else _NO_WORDS
    entity = national.classify(digits, sizes, gaps, words)
    if entity is not None:
        return Span(first, end, entity)
    after = text[end : end + _AFTER].lower()
    if (
        look.told
        and 6 <= len(digits) <= 15
        and context.names_phone(words, after)
        and not _is_fraction(text, first, end)
    ):
        return Span(start, _extended(text, end), "PHONE", phone.canonical(text[start:end], digits))
    if (
        gaps
        and max(sizes) < _BARE
        and not _is_worth(text[start:end], digits, sizes, gaps, text[start - 1 : start], look)
    ):
        return None  # whatever the words around it say
    look.cleared = _is_thing(text, start, groups, gaps, sizes, after, look)
    if look.cleared:
        return None
    if _is_phone(text[start:end], digits, sizes, gaps, text[start - 1 : start], look):
        return Span(start, _extended(text, end), "PHONE", phone.canonical(text[start:end], digits))
    if look.strict and _is_long(digits, sizes, gaps):
        return Span(first, end, "NUMBER")
    return None


def _is_fraction(text: str, first: int, end: int) -> bool:
    return (text[first - 1 : first] in {".", ","} and text[first - 2 : first - 1].isdigit()) or (
        text[end : end + 1] in {".", ","} and text[end + 1 : end + 2].isdigit()
    )


def _is_thing(
    text: str, start: int, groups: list[_Group], gaps: list[str], sizes: tuple[int, ...], after: str, look: _Look
) -> bool:
    if _is_fraction(text, groups[0].start, groups[-1].end):
        return True
    if gaps and sizes in _PHONE_ANYWHERE and set(gaps) != {" "}:
        return False
    if benign.is_counted([group.digits for group in groups], gaps) if gaps else benign.is_stamp(groups[0].digits):
        return True
    if sizes in _PHONE_ANYWHERE or (gaps and groups[0].digits[0] == "0" and len(sizes) > 2):
        return False
    if _is_glued(text, start):
        return not (sizes == (10,) and text[start - 1 : start].isalpha())
    if context.names_thing(context.words_before(text, start)) or context.is_measure(after):
        look.doubtful = True
        return True
    return False


def _is_glued(text: str, start: int) -> bool:
    """Return whether a letter stands right before a number, or one and a joining mark, as in `INV-2024`."""
    before = text[max(start - 2, 0) : start]
    return before[-1:].isalpha() or (before[-1:] in {"_", "-", "/", "."} and before[:1].isalpha())


def _is_phone(found: str, digits: str, sizes: tuple[int, ...], gaps: list[str], before: str, look: _Look) -> bool:
    if found[0] == "(" and before.isalnum():
        return False
    if look.strict and phone.is_shape(found, sizes, gaps):
        return True
    return (len(gaps) == 0 or sizes in {(3, 3, 4), (1, 3, 3, 4)}) and phone.is_plan(digits)


def _is_worth(found: str, digits: str, sizes: tuple[int, ...], gaps: list[str], before: str, look: _Look) -> bool:
    """Return whether groups of digits can be anything but a thing; asks no number plan, which takes longest."""
    if sizes in _PHONE_ANYWHERE:
        return True
    return _is_phone(found, digits, sizes, gaps, before, look) or (look.strict and _is_long(digits, sizes, gaps))


def _is_long(digits: str, sizes: tuple[int, ...], gaps: list[str]) -> bool:
    if len(sizes) == 1:
        return len(digits) >= _BARE
    if national.is_ssn_shape(sizes, gaps):
        return True
    return 12 <= len(digits) <= 19 and len(set(gaps)) == 1 and (card.looks_grouped(sizes) and min(sizes) >= 3)
