"""How a run of digits is written: its groups, the gaps between them, and what so written it can be at all.

Few ways to write a number make up most of all runs, so what follows from the way alone is worked out once for each.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from trimtab.redact import card, national, phone

__all__ = ["KEPT", "LONG", "Layout", "layout", "stretches"]

LONG: Final = 9
KEPT: Final = 48  # characters of a run whose layout is worth keeping
_MAX_CARD: Final = 19
_MIN_CARD: Final = 12
_SHAPE: Final = str.maketrans("123456789", "0" * 9)
_GROUP: Final = re.compile(r"0+")
# Where `benign.DATE` may match; told by digits alone, it matches in fewer places.
_DATED: Final = re.compile(r"(?<!0)(?:0000[-./]00?[-./]00?|00?[-./]00?[-./]0000|0{8}-?0{4}(?:00)?)(?!0)")


class Layout(msgspec.Struct, frozen=True):
    """What a run's groups of digits and the gaps between them say, whatever the digits are.

    `bounds` are the groups' places in the run; `one` tells whether it surely is a single stretch, `carded`
    whether a card may be in it, `card` whether it may be one as a whole, `closes` whether it closes a bracket too many,
    `grouped` whether the groups are a telephone's, `many` whether they are a long number's, `numbered` whether a
    national number can be written so with no word that says so.
    """

    count: int
    bounds: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    gaps: list[str]
    longest: int
    one: bool
    dated: bool
    carded: bool
    card: bool
    closes: bool
    grouped: bool
    many: bool
    numbered: bool
    anywhere: bool


def layout(run: str) -> Layout:
    """Return the layout of a run; only short ones are worth keeping."""
    shape = run.translate(_SHAPE)
    return _layout(shape) if len(shape) <= KEPT else _layout.__wrapped__(shape)


def stretches(run: str, *, plus: bool) -> tuple[tuple[int, int], ...]:
    """Return where in a run the stretches are between which a line, a wide gap or a sentence ends.

    `plus` says that the run follows a plus sign.
    """
    shape = run.translate(_SHAPE)
    return _stretches(shape, plus) if len(shape) <= KEPT else _stretches.__wrapped__(shape, plus)


@lru_cache(maxsize=8192)
def _layout(shape: str) -> Layout:
    bounds = tuple([found.span() for found in _GROUP.finditer(shape)])
    sizes = tuple([end - start for start, end in bounds])
    gaps = [shape[one[1] : two[0]] for one, two in pairwise(bounds)]
    count = sum(sizes)
    return Layout(
        count=count,
        bounds=bounds,
        sizes=sizes,
        gaps=gaps,
        longest=max(sizes, default=0),
        one=len(bounds) == 1 or (len(shape) <= KEPT and _is_one(shape)),
        dated=_DATED.search(shape) is not None,
        carded=count >= _MIN_CARD and _has_card(sizes, gaps),
        card=_MIN_CARD <= count <= _MAX_CARD and card.looks_grouped(sizes) and all(len(gap) <= 3 for gap in gaps),
        closes=shape.count(")") > shape.count("("),
        grouped=phone.is_grouped(sizes, gaps),
        many=_is_many(count, sizes, gaps),
        numbered=national.is_numbered(count, sizes, gaps),
        anywhere=sizes in phone.ANYWHERE,
    )


def _is_one(shape: str) -> bool:
    return all(len(_stretches(shape, plus)) == 1 for plus in (True, False))


def _has_card(sizes: tuple[int, ...], gaps: list[str]) -> bool:
    """Return whether any groups in a row may make a card number; yes for too many of them to be worth a look."""
    if len(sizes) > _MAX_CARD:
        return True
    for first in range(len(sizes)):
        totals = accumulate(sizes[first:])
        for last, total in enumerate(totals, first + 1):
            if total > _MAX_CARD or (last - first > 1 and len(gaps[last - 2]) > 3):
                break
            if total >= _MIN_CARD and card.looks_grouped(sizes[first:last]):
                return True
    return False


def _is_many(count: int, sizes: tuple[int, ...], gaps: list[str]) -> bool:
    if len(sizes) == 1:
        return count >= LONG
    if national.is_ssn_shape(sizes, gaps):
        return True
    return _MIN_CARD <= count <= _MAX_CARD and len(set(gaps)) == 1 and card.looks_grouped(sizes) and min(sizes) >= 3


@lru_cache(maxsize=8192)
def _stretches(shape: str, plus: bool) -> tuple[tuple[int, int], ...]:  # noqa: FBT001  the cache's key
    found: list[tuple[int, int]] = []
    start = end = -1
    digits = 0
    for group in _GROUP.finditer(shape):
        first, last = group.span()
        if start >= 0 and _parts(shape[end:first], digits, plus=plus and start == 0):
            found.append((start, end))
            start = -1
        if start < 0:
            start, digits = first, 0
        end = last
        digits += last - first
    if start >= 0:
        found.append((start, end))
    return tuple(found)


def _parts(gap: str, digits: int, *, plus: bool) -> bool:
    """Return whether a gap after so many digits ends a stretch; `plus` says that they follow a plus sign."""
    if len(gap) == 1 and gap in " -./":
        return False
    if len(gap) > 4 or "\t" in gap or ". " in gap:
        return True
    if "\n" in gap or "\r" in gap:
        # A number split by a line break goes on when it had a hyphen there, or began with + and is far too short.
        return not (gap[0] == "-" or (plus and digits < 8))
    return gap.isspace() and len(gap) > 1
