"""Exemplars that ask alike: each pair of a space is looked at once, however many versions hold both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.records import Exemplar

__all__ = ["ALIKE", "Alike"]

ALIKE = 0.55
"""Cosine from which two inputs ask for the same thing."""

_ROUNDING = 1e-4
_FOUR = 4
_AT_ONCE = 256  # exemplars whose likeness to all others is at hand at once
_Key = tuple[str, int]


class _Near(NamedTuple):
    """The places near one, with their likeness; only places below `seen` were looked at."""

    seen: int
    places: NDArray[np.int64]
    likeness: NDArray[np.float32]


class Alike:
    """The vectors of the exemplars of one space, each at a place of its own, and which of them are near others."""

    def __init__(self) -> None:
        self._places: dict[_Key, int] = {}
        self._rows: NDArray[np.float32] = np.zeros((0, 1), dtype=np.float32)
        self._near: dict[int, _Near] = {}

    def places(
        self, exemplars: Sequence[Exemplar], embed: Callable[[Sequence[str]], NDArray[np.float32]]
    ) -> NDArray[np.int64]:
        """Return the place of each exemplar, all different; only texts that are new here are embedded."""
        times: dict[str, int] = {}
        keys: list[_Key] = []
        for item in exemplars:
            times[item.input] = again = times.get(item.input, -1) + 1
            keys.append((item.input, again))
        new = [key for key in keys if key not in self._places]
        if new:
            texts = list(dict.fromkeys(text for text, _ in new))
            rows = dict(zip(texts, embed(texts), strict=True))
            fresh = np.stack([rows[text] for text, _ in new])
            self._rows = np.vstack([self._rows, fresh]) if len(self._rows) else fresh
            self._places.update((key, len(self._places)) for key in new)
        return np.array([self._places[key] for key in keys], dtype=np.int64)

    def vectors(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors at these places (n x d, unit rows)."""
        rows: NDArray[np.float32] = self._rows[places]
        return rows

    def rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for every place the row that it has among these, or -1."""
        rows = np.full(len(self._rows), -1)
        rows[places] = np.arange(len(places))
        return rows

    def look(self, speakers: NDArray[np.int64]) -> None:
        """See to it that `near` knows all that is near these places."""
        seen = np.array([self._near[place].seen if place in self._near else 0 for place in speakers.tolist()])
        for begin in np.unique(seen[seen < len(self._rows)]):
            waiting = speakers[seen == begin]
            for start in range(0, len(waiting), _AT_ONCE):
                self._compare(waiting[start : start + _AT_ONCE], int(begin))

    def near(self, place: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the places that may be as near as `ALIKE` to this one, and what `vectors @ its vector` has there."""
        found = self._near[place]
        return found.places, found.likeness

    def _compare(self, speakers: NDArray[np.int64], begin: int) -> None:
        rough = self._rows[speakers] @ self._rows[begin:].T
        who, what = np.nonzero(rough >= ALIKE - _ROUNDING)
        ends = np.searchsorted(who, np.arange(len(speakers) + 1))
        for number, speaker in enumerate(speakers.tolist()):
            places = what[ends[number] : ends[number + 1]] + begin
            likeness = in_fours(self._rows, places, self._rows[speaker])
            if begin:
                before = self._near[speaker]
                places = np.concatenate([before.places, places])
                likeness = np.concatenate([before.likeness, likeness])
            self._near[speaker] = _Near(len(self._rows), places, likeness)


def in_fours(
    vectors: NDArray[np.float32], places: NDArray[np.int64], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the likeness of `query` to the rows at `places`, the same whichever others are asked for.

    A product takes rows in fours, and what a row of a four adds up to may differ in the last bit from what a row that
    is left over does: the last four is filled up.
    """
    if not len(places):
        return np.zeros(0, dtype=np.float32)
    filled = np.concatenate([places, np.repeat(places[-1], -len(places) % _FOUR)])
    found: NDArray[np.float32] = (vectors[filled] @ query)[: len(places)]
    return found
