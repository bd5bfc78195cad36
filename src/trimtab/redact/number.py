"""Runs of digits: what in them is a card, a national number, a telephone number, or too long to be harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from trimtab.redact import benign, card, context, national, phone, thing
from trimtab.redact.layout import LONG, Layout, layout, stretches
from trimtab.redact.settled import DOUBTFUL, FOUND, NOBODYS, PLAIN, Run, Settled, key
from trimtab.redact.span import Span

__all__ = ["NEAR", "find", "is_short", "stays", "whole"]

_RUN: Final = re.compile(r"[0-9][0-9 .()/\-\t\r\n]{4,}[0-9]")
_MARKS: Final = " .()/-\t\r\n"
_BARE_DIGITS: Final = str.maketrans("", "", _MARKS)
_DIGIT: Final = re.compile(r"[0-9]")
_HARMLESS: Final = re.compile(
    r"(?:[1-9]?[0-9]|1[0-9]{2})\.[0-9]+"  # a decimal or coordinate
    r"|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?: [0-2]?[0-9])?"  # a date, perhaps with an hour
    r"|97[89](?:-[0-9]{1,7}){3}-[0-9]"  # an ISBN
)
NEAR: Final = 3  # how far around a run the characters are that count, words aside
_MIN_CARD: Final = 12
_MIN_DIGITS: Final = 6
_MAX_CARD: Final = 19
_UUID_CHARS: Final = 36
_AFTER: Final = 16
_NO_WORDS: Final[list[str]] = []
_OPENINGS: Final = frozenset("+(")
_EXTENDS: Final = frozenset(["", *"xXeE#pPdD"])  # what an extension begins with; or its end is out of sight
_POINTS: Final = frozenset(".,")
_PLUSES: Final = ("+", "(+")


class _Look:
    """One look at a run: `cleared` when its last stretch counts a thing, `doubtful` once only a word said so."""

    __slots__ = ("cleared", "doubtful", "strict", "told")

    def __init__(self, *, strict: bool, told: bool) -> None:
        self.strict = strict
        self.told = told
        self.cleared = False
        self.doubtful = False


def find(
    text: str, *, strict: bool, told: bool = True, settled: Settled | None = None, addresses: Sequence[Span] = ()
) -> list[Span]:
    """Return cards, national numbers, telephone numbers and, when strict, long numbers that may be any of them.

    `told` False says that no word in the text can make a number a telephone's or a national one. A run that is one of
    the `addresses`, which are all to be replaced, is not looked at: nothing found in it could outrank them.
    """
    span_ends = {} if told else {address.start: address.end for address in addresses}
    spans: list[Span] = []
    runs: list[Run] = settled.runs if settled is not None else []
    known = settled.known if settled is not None else ()
    look = _Look(strict=strict, told=told)
    is_harmless = _HARMLESS.fullmatch
    for match in _RUN.finditer(text):
        start, end = match.span()
        if span_ends and span_ends.get(start) == end and _is_only_address(text, start, end):
            continue
        if known and not _is_cut(text, start, end) and key(text, start, end) in known:
            continue
        run = match.group()
        # Most often a decimal, and a call is half of what it costs.
        written = None if is_harmless(run) is not None else _doubted(text, start, run, told=told)
        if written is None:
            runs.append((text, start, end, NOBODYS))
            continue
        look.doubtful = False
        found = _looked_at(text, start, run, written, look)
        if found:
            spans += found
            runs.append((text, start, end, FOUND))
        else:
            runs.append((text, start, end, DOUBTFUL if look.doubtful else PLAIN))
    return spans


def _is_only_address(text: str, start: int, end: int) -> bool:
    """Return whether a telephone number read into an address would not reach beyond it."""
    return text[start - 1 : start] not in _OPENINGS and phone.EXTENSION.match(text, end) is None


def is_short(run: str) -> bool:
    """Return whether a run has too few digits for anybody's number."""
    return len(run.translate(_BARE_DIGITS)) < _MIN_DIGITS


def stays(run: Run, low: int, high: int, *, strict: bool, told: bool) -> bool:
    """Return whether a run stays nobody's when of its text only `text[low:high]` is left, cut beside no letter."""
    text, start, end, said = run
    if said == NOBODYS:
        return True
    if said == FOUND:
        return False
    near = NEAR if said == PLAIN else thing.REACH if thing.is_in_word(text, start, end) else context.WINDOW + 2
    if (low == 0 or start - low >= near) and (high == len(text) or high - end >= near):
        return True
    rest, start = text[low:high], start - low
    piece = text[low + start : end]
    written = _doubted(rest, start, piece, told=told)
    return written is None or not _looked_at(rest, start, piece, written, _Look(strict=strict, told=told))


def _is_cut(text: str, start: int, end: int) -> bool:
    """Return whether a word near a run was cut by what was taken out beside it, and may say something else now."""
    return (start <= context.WINDOW and text[:1].isalpha()) or (len(text) - end <= _AFTER and text[-1:].isalpha())


def _doubted(text: str, start: int, run: str, *, told: bool) -> Layout | None:
    """Return how a run that is not harmless is written; None if it is nobody's whatever else the text says."""
    if run.isdigit():
        if not told and len(run) < LONG and text[start - 1 : start] not in _OPENINGS:
            return None
        return layout(run)
    written = layout(run)
    return None if written.count < _MIN_DIGITS else written


def _looked_at(text: str, start: int, run: str, written: Layout, look: _Look) -> Sequence[Span]:
    """Return what is found in a run that may be somebody's and begins at `start`."""
    size = len(run)
    end = start + size
    before, after = text[start - 1 : start], text[end : end + 1]
    if size <= LONG:
        if size < LONG and not written.gaps and before not in _OPENINGS:
            return _short(text, start, end) if look.told else ()
        if before.isalpha() and after.isalpha():
            look.doubtful = True  # between letters, and too short for anything but a telephone's
            return ()
    if before.isalnum() or after.isalnum():
        look.doubtful = True
    elif not (written.dated and ("20" in run or "19" in run)) and size < _UUID_CHARS:
        if written.one and not written.carded:
            return _in_stretch(text, start, run, written, look)
        return _in_part(text, start, run, written, look)
    spans: list[Span] = []
    for first, last in thing.without(text, run, start, end):
        digit = _DIGIT.search(text, first, last)
        if digit is not None:
            part = text[digit.start() : last].rstrip(_MARKS)
            spans += _in_part(text, digit.start(), part, written if part == run else layout(part), look)
    return spans


def _in_part(text: str, start: int, run: str, written: Layout, look: _Look) -> Sequence[Span]:
    """Return what is found in a run or a part of it, which begins at `start` and begins and ends with a digit."""
    if written.carded:
        first = written.sizes[0]
        if written.card and run.startswith(card.FIRST, 0, first) and card.is_card(run.translate(_BARE_DIGITS)):
            return [Span(start, start + len(run), "CREDIT_CARD")]
        return list(_in_run(text, start, run, written, look))
    return _in_stretches(text, start, run, written, look) if written.count >= _MIN_DIGITS else []


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


def _in_run(text: str, start: int, run: str, written: Layout, look: _Look) -> Iterator[Span]:
    """Yield what is found in a run: cards over any groups of it first, then each stretch between them."""
    bounds, sizes = written.bounds, written.sizes
    rest = -1  # the first group that no card has taken
    index = listed = 0
    left = written.count
    while index < len(bounds) and left >= _MIN_CARD:
        if index >= listed:
            listed = index + _small_groups(sizes, index)
        # A card in groups of one to three digits fills its row; in a longer row they are a list of numbers.
        if listed - index > _MAX_CARD:
            rest = index if rest < 0 else rest
            left -= sum(sizes[index:listed])
            index = listed
            continue
        count = _card_at(run, written, index) if left >= card.SHORTEST[run[bounds[index][0]]] else 0
        if count:
            if rest >= 0:
                yield from _in_groups(text, start, run, bounds[rest:index], look)
                rest = -1
            yield Span(start + bounds[index][0], start + bounds[index + count - 1][1], "CREDIT_CARD")
            left -= sum(sizes[index : index + count])
            index += count
        else:
            rest = index if rest < 0 else rest
            left -= sizes[index]
            index += 1
    rest = index if rest < 0 else rest
    if rest == 0:
        yield from _in_stretches(text, start, run, written, look)
    elif rest < len(bounds):
        yield from _in_groups(text, start, run, bounds[rest:], look)


def _in_groups(text: str, start: int, run: str, bounds: Sequence[tuple[int, int]], look: _Look) -> Sequence[Span]:
    """Return what is found, cards aside, in some groups in a row of a run that begins at `start`."""
    part = run[bounds[0][0] : bounds[-1][1]]
    return _in_stretches(text, start + bounds[0][0], part, layout(part), look)


def _small_groups(sizes: tuple[int, ...], index: int) -> int:
    """Return how many groups from `index` on have fewer than four digits."""
    count = 0
    while index + count < len(sizes) and sizes[index + count] < 4:
        count += 1
    return count


def _card_at(run: str, written: Layout, index: int) -> int:
    """Return how many groups from `index` on make a card number; 0 for none."""
    bounds, gaps = written.bounds, written.gaps
    if not run.startswith(card.FIRST, bounds[index][0], bounds[index][1]):
        return 0
    digits = ""
    best = 0
    for offset in range(index, min(index + _MAX_CARD, len(bounds))):
        if offset > index and len(gaps[offset - 1]) > 3:
            break
        digits += run[bounds[offset][0] : bounds[offset][1]]
        if len(digits) > _MAX_CARD:
            break
        if len(digits) >= _MIN_CARD and card.looks_grouped(written.sizes[index : offset + 1]) and card.is_card(digits):
            best = offset + 1 - index
    return best


def _in_stretches(text: str, start: int, run: str, written: Layout, look: _Look) -> list[Span]:
    """Return what is found between the places where a line, a wide gap or a sentence ends."""
    if written.one:
        return _in_stretch(text, start, run, written, look)
    spans: list[Span] = []
    for first, last in stretches(run, plus=text[start - 1 : start] == "+"):
        part = run[first:last]
        spans += _in_stretch(text, start + first, part, layout(part), look)
    return spans


def _in_stretch(text: str, first: int, run: str, written: Layout, look: _Look) -> list[Span]:
    if written.count < _MIN_DIGITS:
        return []
    start = _opening(text, first, written)
    if text.startswith(_PLUSES, start) and not text[start - 1 : start].isdigit():
        return _after_plus(text, start, first, run, written, look)
    span = _classified(text, start, first, run, written, look)
    if span is not None:
        return [span]
    gaps = written.gaps
    spans: list[Span] = []
    if gaps and not look.cleared and written.longest >= LONG:
        # Nobody groups like that: a long number with something short beside it.
        for low, high in written.bounds:
            part = run[low:high]
            spans += _in_stretch(text, first + low, part, layout(part), look)
    elif len(gaps) > 1 and " " in gaps and len(set(gaps)) > 1:
        # `52.5200 13.4050`, `4111-1111 2024`: two things beside each other, each looked at by itself.
        begin = 0
        for (low, high), gap in zip(written.bounds, [*gaps, " "], strict=True):
            begin = low if begin < 0 else begin
            if gap == " ":
                part = run[begin:high]
                spans += _in_stretch(text, first + begin, part, layout(part), look)
                begin = -1
    return spans


def _opening(text: str, start: int, written: Layout) -> int:
    """Return where a number begins whose first digit is at `start`: with its plus sign and a bracket it closes."""
    if written.closes:
        if text[start - 1 : start] == "(":
            start -= 1
        elif text[max(start - 2, 0) : start] == "(+":
            return start - 2
    return start - 1 if start > 0 and text[start - 1] == "+" else start


def _after_plus(text: str, start: int, first: int, run: str, written: Layout, look: _Look) -> list[Span]:
    bounds = written.bounds
    count = phone.split_plus([run[low:high] for low, high in bounds]) if written.count > phone.MOST else len(bounds)
    end = bounds[count - 1][1] if count else 0
    digits = run[:end].translate(_BARE_DIGITS)
    if count and (len(digits) >= 7 if look.strict else phone.is_valid_plus(digits)):
        canonical = phone.canonical(text[start : first + end], digits)
        found = Span(start, _extended(text, first + end), "PHONE", canonical)
        return [found, *_in_groups(text, first, run, bounds[count:], look)] if count < len(bounds) else [found]
    if look.strict and written.count >= LONG and len(digits) >= LONG:
        return [Span(first, first + len(run), "NUMBER")]
    return []


def _extended(text: str, end: int) -> int:
    if text[end : end + 2].lstrip()[:1] not in _EXTENDS:
        return end
    extension = phone.EXTENSION.match(text, end)
    return extension.end() if extension else end


def _classified(text: str, start: int, first: int, run: str, written: Layout, look: _Look) -> Span | None:
    """Return the one finding that a whole stretch is, or None."""
    end = first + len(run)
    sizes, gaps = written.sizes, written.gaps
    digits = run.translate(_BARE_DIGITS) if gaps else run
    if look.told or written.numbered:
        words = context.words_before(text, start) if look.told else _NO_WORDS
        entity = national.classify(digits, sizes, gaps, words)
        if entity is not None:
            return Span(first, end, entity)
        if (
            look.told
            and len(digits) <= 15
            and context.names_phone(words, text[end : end + _AFTER].lower())
            and not _is_fraction(text, first, end)
        ):
            return Span(start, _extended(text, end), "PHONE", phone.canonical(text[start:end], digits))
    found = text[start:end]
    # Asks no number plan yet, which takes longest.
    if gaps and written.longest < LONG and not written.anywhere and not _is_worth(text, start, found, written, look):
        return None  # whatever the words around it say
    look.cleared = _is_fraction(text, first, end) or _is_thing(text, start, first, run, written, look)
    if look.cleared:
        return None
    if _is_phone(text, start, found, digits, written, look):
        return Span(start, _extended(text, end), "PHONE", phone.canonical(found, digits))
    return Span(first, end, "NUMBER") if look.strict and written.many else None


def _is_fraction(text: str, first: int, end: int) -> bool:
    if text[first - 1 : first] in _POINTS and text[first - 2 : first - 1].isdigit():
        return True
    return text[end : end + 1] in _POINTS and text[end + 1 : end + 2].isdigit()


def _is_thing(text: str, start: int, first: int, run: str, written: Layout, look: _Look) -> bool:
    gaps = written.gaps
    zero = len(gaps) > 1 and run[0] == "0"
    glued = _is_glued(text, start)
    if not gaps:
        if benign.is_stamp(run):
            return True
    elif written.anywhere:
        if set(gaps) != {" "}:
            return False
    elif glued and not zero:
        return True
    if gaps and benign.is_counted([run[low:high] for low, high in written.bounds], gaps):
        return True
    if written.anywhere or zero:
        return False
    if glued:
        return len(run) != 10 or not text[start - 1 : start].isalpha()
    end = first + len(run)
    after = text[end : end + _AFTER].lower()
    if context.names_thing(context.words_before(text, start)) or context.is_measure(after):
        look.doubtful = True
        return True
    return False


def _is_glued(text: str, start: int) -> bool:
    """Return whether a letter stands right before a number, or one and a joining mark, as in `INV-2024`."""
    before = text[max(start - 2, 0) : start]
    return before[-1:].isalpha() or (before[-1:] in {"_", "-", "/", "."} and before[:1].isalpha())


def _is_phone(text: str, start: int, found: str, digits: str, written: Layout, look: _Look) -> bool:
    if found[0] == "(" and text[start - 1 : start].isalnum():
        return False
    if look.strict and phone.is_shape(found, written.sizes, written.gaps, grouped=written.grouped):
        return True
    return (not written.gaps or written.anywhere) and phone.is_plan(digits)


def _is_worth(text: str, start: int, found: str, written: Layout, look: _Look) -> bool:
    """Return whether groups of digits other than a telephone's anywhere can be anything but a thing."""
    if not look.strict:
        return False
    if written.many:
        return True
    if found[0] == "(" and text[start - 1 : start].isalnum():
        return False
    return phone.is_shape(found, written.sizes, written.gaps, grouped=written.grouped)
