"""Which worked examples of a Version are like the input: by their words, with nothing but the standard library."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.client.version import Version

__all__ = ["nearest"]

_WORD = re.compile(r"\w+")
_KEPT = 32
_INDEXES: dict[tuple[str, int], _Index] = {}


class _Index:
    """The words of a Version's exemplars, and in which of them each occurs."""

    def __init__(self, inputs: list[str]) -> None:
        words = [frozenset(_WORD.findall(text.lower())) for text in inputs]
        seen = Counter(word for each in words for word in each)
        self._weight = {word: math.log(1 + len(inputs) / count) for word, count in seen.items()}
        self._places: dict[str, list[int]] = {}
        for at, each in enumerate(words):
            for word in each:
                self._places.setdefault(word, []).append(at)
        self._norms = [math.sqrt(math.fsum(self._weight[word] ** 2 for word in each)) or 1.0 for each in words]

    def nearness(self, text: str) -> list[float]:
        """Return the cosine with each exemplar (but for the norm of `text`, which changes no order).

        A word weighs log(1 + exemplars / exemplars with it) (inverse document frequency, Sparck Jones 1972).
        """
        shared: list[list[float]] = [[] for _ in self._norms]
        for word in set(_WORD.findall(text.lower())):
            for at in self._places.get(word, ()):
                shared[at].append(self._weight[word] ** 2)
        # Summed exactly, as a set has no order: every process, and the server, must rank alike.
        return [math.fsum(each) / norm for each, norm in zip(shared, self._norms, strict=True)]


def nearest(version: Version, text: str, limit: int) -> list[tuple[str, str]]:
    """Return at most `limit` exemplars, the nearest last: a model minds the last ones most. Newer ones win a tie."""
    known = version.id, len(version.exemplars)  # an erasure takes examples out of a version, which keeps its id
    index = _INDEXES.get(known)
    if index is None:
        index = _Index([asked for asked, _ in version.exemplars])
        if len(_INDEXES) >= _KEPT:
            _INDEXES.clear()
        _INDEXES[known] = index
    near = index.nearness(text)
    ranked = sorted(range(len(near)), key=lambda at: (near[at], at))
    return [version.exemplars[at] for at in ranked[max(len(ranked) - limit, 0) :]] if limit > 0 else []
