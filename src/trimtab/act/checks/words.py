"""Checks that look at words alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

__all__ = ["WORDS", "WordsCheck", "holds"]

WordsCheck = Literal["exact", "contains", "similar"]

_ALIKE: Final = 0.6


def holds(check: WordsCheck, expected: str, answer: str) -> bool:
    """Say whether the answer passes. White space and letter case do not count."""
    return WORDS[check](expected, answer)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _similar(expected: str, answer: str) -> bool:
    words = _words(expected)
    return bool(words) and len(words & _words(answer)) >= _ALIKE * len(words)


WORDS: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": lambda expected, answer: _folded(expected) == _folded(answer),
    "contains": lambda expected, answer: _folded(expected) in _folded(answer),
    "similar": _similar,
}
"""The checks by name."""
