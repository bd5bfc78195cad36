"""The same thing asked again, word for word (regenerate) or in other words (rephrase), and not a next step.

Two requests are a rephrase when they are alike and neither swaps what the other is about: "delete a column" and
"reorder a column" are spelt alike, but each has a word of its own, so the second is a next step. "Sum of an array" and
"sum of all elements of an array" only add. The rule is ours; what it finds was checked by hand (docs/signals.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from trimtab.enrich.signals.phrase import words_of
from trimtab.enrich.signals.wording import common_words, goes_on

__all__ = ["COMPARED_CHARS", "comparable", "normalised", "swapped"]

COMPARED_CHARS = 600
"""Longer texts are mostly pasted material and are never rephrases of each other."""
_READ_WHOLE = 20_000
_SAME_START = 4
_SHORTEST = 8
_FEWEST_WORDS = 2
_MOST_SYMBOLS = 0.06
_SYMBOL = re.compile(r"[(){}\[\]=<>_;+*/\\|&^%$#@`]")


def normalised(text: str) -> str:
    """Return what stays of a request when case, accents, spaces and punctuation are taken away; "" when it is short.

    Code keeps its symbols: they are what it asks. A very long text is compared as it is.
    """
    if len(text) > _READ_WHOLE:
        return text
    return (_normalised if len(text) <= COMPARED_CHARS else _normalised.__wrapped__)(text)


def comparable(before: str, after: str, languages: tuple[str, ...]) -> bool:
    """Say whether `after` can be a rephrase of `before`: prose, not code, not begun as a next step.

    Under two words about the matter there is nothing to compare. Over 600 characters a text is mostly pasted material:
    two questions about one document are alike and still two questions.
    """
    if max(len(before), len(after)) > COMPARED_CHARS or _is_code(before) or _is_code(after):
        return False
    common = common_words(languages)
    if min(len(_about(text, common).words) for text in (before, after)) < _FEWEST_WORDS:
        return False
    return not goes_on(after, before, languages)


def swapped(before: str, after: str, languages: tuple[str, ...]) -> float:
    """Return the smaller of both shares of words about the matter that the other request lacks; 1 if numbers change.

    1 too where a text is longer than what can be compared. 0: one only adds to the other. Words with the same first
    four letters count as one.
    """
    if max(len(before), len(after)) > COMPARED_CHARS:
        return 1.0
    common = common_words(languages)
    left, right = _about(before, common), _about(after, common)
    if not left.words or not right.words:
        return 1.0
    lost, gained = _missing(left, right), _missing(right, left)
    if not left.numbers.isdisjoint(lost) and not right.numbers.isdisjoint(gained):
        return 1.0
    return min(len(lost) / len(left.words), len(gained) / len(right.words))


class _Matter(NamedTuple):
    """The words of a request about the matter, those that hold a digit, and how the others start."""

    words: frozenset[str]
    numbers: frozenset[str]
    starts: frozenset[str]


@lru_cache(maxsize=16_384)  # a turn is compared with the three before it, and each of them again with the next
def _about(text: str, common: frozenset[str]) -> _Matter:
    words = frozenset(part for word in words_of(text) if word not in common for part in _parts(word))
    numbers = frozenset(word for word in words if not word.isalpha() and any(map(str.isdigit, word)))
    starts = frozenset(word[:_SAME_START] for word in words - numbers if len(word) >= _SAME_START)
    return _Matter(words, numbers, starts)


def _parts(word: str) -> Iterable[str]:
    """Return the word, or the pairs of characters of one that is written in a script without spaces."""
    if word[0] < "\u2e80" or len(word) < 2:
        return (word,)
    return (word[at : at + 2] for at in range(len(word) - 1))


def _missing(own: _Matter, other: _Matter) -> list[str]:
    return [
        word
        for word in own.words - other.words
        if len(word) < _SAME_START or word in own.numbers or word[:_SAME_START] not in other.starts
    ]


@lru_cache(maxsize=16_384)
def _normalised(text: str) -> str:
    words = " ".join(words_of(text))
    if len(words) < _SHORTEST:
        return ""
    return " ".join(text.casefold().split()) if _is_code(text) else words


def _is_code(text: str) -> bool:
    return len(_SYMBOL.findall(text)) > _MOST_SYMBOLS * len(text)
