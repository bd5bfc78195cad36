"""How alike two requests are."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

__all__ = ["Likeness", "Spelling"]

_WORD = re.compile(r"\w+")
_FIRST_WIDE = "\u2e80"
_PIECE = 3
_READ = 4000
_SHORT = 600  # of these the bags are kept: a turn is compared with several others


class Likeness(Protocol):
    """Compares texts; the same pair always gives the same number, whatever was compared before."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return for each pair how alike its texts are: 1 the same, 0 (or less) nothing in common."""
        ...

    def __hash__(self) -> int:
        """Tell it from others: what one said of a pair is remembered."""
        ...


class Spelling:
    """Likeness by spelling: the cosine of two bags of words and of the groups of three letters in them.

    A feature seen c times counts 1 + ln c. It needs no fit and no model, so it says the same today and in a year; it
    does not know that "parcel" and "package" are the same thing. Of longer texts the first 4,000 characters count.

    >>> [round(each, 2) for each in Spelling()([("sort a list", "sorting lists"), ("sort a list", "drop a table")])]
    [0.45, 0.21]
    """

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the cosine of each pair, in [0, 1]; 0 where a text has no letter and no digit."""
        bags: dict[str, dict[str, float]] = {}
        for text in {text for pair in pairs for text in pair}:
            bags[text] = _bag(text) if len(text) <= _SHORT else _bag.__wrapped__(text)
        return [_cosine(bags[left], bags[right]) for left, right in pairs]


@lru_cache(maxsize=4096)
def _bag(text: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text[:_READ]).casefold()):
        edged = f" {word} "
        size = 2 if word[0] >= _FIRST_WIDE else _PIECE  # scripts without spaces: a word is about two characters
        counts[edged] += 1
        counts.update(edged[at : at + size] for at in range(len(edged) - size + 1))
    weights = {feature: 1 + math.log(count) for feature, count in counts.items()}
    length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
    return {feature: weight / length for feature, weight in weights.items()}


def _cosine(left: dict[str, float], right: dict[str, float]) -> float:
    shared = left.keys() & right.keys()
    return min(1.0, math.fsum(sorted(left[feature] * right[feature] for feature in shared)))
