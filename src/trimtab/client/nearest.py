"""Which worked examples of a Version are like the input: by their words, with nothing but the standard library."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from trimtab.client.version import Version

__all__ = ["nearest"]

_WORD = re.compile(r"\w+")
_KEPT = 32
_POOL = 4  # times as many as are wanted are weighed against one another
_LIKENESS = 0.7
_INDEXES: dict[str, _Index] = {}


class _Index:
    """The words of a Version's exemplars, and in which of them each occurs."""

    def __init__(self, inputs: list[str]) -> None:
        self._words = [frozenset(_WORD.findall(text.lower())) for text in inputs]
        seen = Counter(word for each in self._words for word in each)
        self._weight = {word: math.log(1 + len(inputs) / count) ** 2 for word, count in seen.items()}
        self._places: dict[str, list[int]] = {}
        for at, each in enumerate(self._words):
            for word in each:
                self._places.setdefault(word, []).append(at)
        self._norms = [self._norm(each) for each in self._words]

    def nearness(self, text: str) -> list[float]:
        """Return the cosine with each exemplar; words that no exemplar has do not count.

        A word weighs log(1 + exemplars / exemplars with it) (inverse document frequency, Sparck Jones 1972).
        """
        shared: list[list[float]] = [[] for _ in self._norms]
        words = {word for word in _WORD.findall(text.lower()) if word in self._weight}
        for word in words:
            for at in self._places[word]:
                shared[at].append(self._weight[word])
        norm = self._norm(words)
        # Summed exactly, as a set has no order: every process, and the server, must rank alike.
        return [math.fsum(each) / (own * norm) for each, own in zip(shared, self._norms, strict=True)]

    def likeness(self, one: int, other: int) -> float:
        """Return the cosine of two exemplars."""
        shared = math.fsum(self._weight[word] for word in self._words[one] & self._words[other])
        return shared / (self._norms[one] * self._norms[other])

    def _norm(self, words: Collection[str]) -> float:
        return math.sqrt(math.fsum(self._weight[word] for word in words)) or 1.0


def nearest(version: Version, text: str, limit: int, audiences: Collection[str] = frozenset()) -> list[tuple[str, str]]:
    """Return at most `limit` exemplars, the nearest last: a model minds the last ones most. Newer ones win a tie.

    Each next one is chosen for 0.7 of its likeness to the input less 0.3 of its likeness to one chosen before
    (maximal marginal relevance, Carbonell and Goldstein 1998), so that three ways to ask one thing do not fill the
    prompt. Those for somebody who is not among `audiences` are passed over.
    """
    index = _INDEXES.get(version.id)
    if index is None:
        index = _Index([asked for asked, _ in version.exemplars])
        if len(_INDEXES) >= _KEPT:
            _INDEXES.clear()
        _INDEXES[version.id] = index  # an id is the hash of the content: it never means anything else
    near = index.nearness(text)
    shown = [at for at in range(len(near)) if not version.audiences or version.audiences[at] in ("", *audiences)]
    pool = sorted(shown, key=lambda at: (near[at], at))[-_POOL * limit :] if limit > 0 else []
    chosen: list[int] = []
    while pool and len(chosen) < limit:
        best = max(pool, key=lambda at: (_worth(index, near[at], at, chosen), at))
        pool.remove(best)
        chosen.append(best)
    return [version.exemplars[at] for at in sorted(chosen, key=lambda at: (near[at], at))]


def _worth(index: _Index, near: float, at: int, chosen: list[int]) -> float:
    alike = max((index.likeness(at, other) for other in chosen), default=0.0)
    return _LIKENESS * near - (1 - _LIKENESS) * alike
