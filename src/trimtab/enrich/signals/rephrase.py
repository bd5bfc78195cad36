"""The same thing asked again, word for word (regenerate) or in other words (rephrase), and not a next step.

Two requests are a rephrase when they are alike and neither swaps what the other is about: "delete a column" and
"reorder a column" are spelt alike, but each has a word of its own, so the second is a next step. "Sum of an array" and
"sum of all elements of an array" only add. The rule is ours; what it finds was checked by hand (docs/signals.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from trimtab.enrich.signals.phrase import words_of
from trimtab.enrich.signals.wording import common_words, goes_on

__all__ = ["comparable", "normalised", "swapped"]

_LONGEST = 600
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
    words = " ".join(words_of(text))
    if len(words) < _SHORTEST:
        return ""
    return " ".join(text.casefold().split()) if _is_code(text) else words


def comparable(before: str, after: str, languages: tuple[str, ...]) -> bool:
    """Say whether `after` can be a rephrase of `before`: prose, not code, not begun as a next step.

    Under two words about the matter there is nothing to compare. Over 600 characters a text is mostly pasted material:
    two questions about one document are alike and still two questions.
    """
    if max(len(before), len(after)) > _LONGEST or _is_code(before) or _is_code(after):
        return False
    common = common_words(languages)
    if min(len(_about(text, common)) for text in (before, after)) < _FEWEST_WORDS:
        return False
    return not goes_on(after, before, languages)


def swapped(before: str, after: str, languages: tuple[str, ...]) -> float:
    """Return the smaller of both shares of words about the matter that the other request lacks; 1 if numbers change.

    0: one only adds to the other. Words with the same first four letters count as one.
    """
    common = common_words(languages)
    left, right = _about(before, common), _about(after, common)
    if not left or not right:
        return 1.0
    lost, gained = _missing(left, right), _missing(right, left)
    if any(_is_number(word) for word in lost) and any(_is_number(word) for word in gained):
        return 1.0
    return min(len(lost) / len(left), len(gained) / len(right))


def _about(text: str, common: frozenset[str]) -> set[str]:
    return {part for word in words_of(text) if word not in common for part in _parts(word)}


def _parts(word: str) -> Iterable[str]:
    """Return the word, or the pairs of characters of one that is written in a script without spaces."""
    if word[0] < "\u2e80" or len(word) < 2:
        return (word,)
    return (word[at : at + 2] for at in range(len(word) - 1))


def _missing(words: set[str], others: set[str]) -> list[str]:
    starts = {other[:_SAME_START] for other in others if len(other) >= _SAME_START and not _is_number(other)}
    return [
        word
        for word in words
        if word not in others and (len(word) < _SAME_START or _is_number(word) or word[:_SAME_START] not in starts)
    ]


def _is_number(word: str) -> bool:
    return any(character.isdigit() for character in word)


def _is_code(text: str) -> bool:
    return len(_SYMBOL.findall(text)) > _MOST_SYMBOLS * len(text)
