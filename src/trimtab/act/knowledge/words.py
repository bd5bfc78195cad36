"""The words of a text that carry what it says."""

from __future__ import annotations

import re

__all__ = ["content_words"]

_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_FUNCTION_WORDS = """
a an and any are as at be been but by can could did do does for from get had has have how i if in into is it its just
may me my of on one or our please shall should so than that the their them there these they this those to too up us
was we were what when where which who whom why will with would you your yours
"""
_EMPTY = frozenset(_FUNCTION_WORDS.split())
_STEM = 6


def content_words(text: str) -> frozenset[str]:
    """Return the words and numbers of a text that carry what it says, each as a crude stem.

    Left out are English function words; a word is cut to six letters and loses a plural s, so that "returns" and
    "return" are one; numbers stay whole ("1,50" is "1.50"). In other languages function words count as well.

    >>> sorted(content_words("How long do I have for returning 2 bikes?"))
    ['2', 'bike', 'long', 'return']
    """
    return frozenset(_stem(word) for word in _WORD.findall(text.casefold()) if word not in _EMPTY)


def _stem(word: str) -> str:
    if any(character.isdigit() for character in word):
        return word.replace(",", ".")
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:_STEM]
