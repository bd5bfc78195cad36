"""The text spaces of a world: each fitted on what had been seen by then, and shared by all arms of the world.

What users ask does not depend on what they are answered, so every arm would fit the same spaces; it is done once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.study.world import PILOT_WEEKS, World

__all__ = ["KnownSpace", "Spaces"]

_REFIT_WEEKS = 4
_FIRST_REFIT = 4  # weeks into the calm time: by then most of what it holds was said once
_RECENT_WEEKS = 8  # older inputs have their say in the exemplars; the newest must not be outnumbered by them
_DIMENSIONS = 512
_BLOCK = 512  # texts: what is asked in about three days
_FEATURES = 12_000  # of each kind of n-gram: rarer ones cost most of the fit and add nothing


class KnownSpace:
    """A fitted space that keeps the vectors of the world's texts; others are embedded when asked.

    The world's are embedded in blocks as they stand, each when one of its texts is first asked for: a vector hangs on
    what it was embedded with to the last bit, and must not hang on which arm asked first. The same others come again
    and again: the golden cases that a gate asks, of either version, week after week.
    """

    def __init__(self, inner: LsaEmbedder, places: dict[str, int]) -> None:
        self._inner = inner
        self._places = places
        self._texts = list(places)
        self._rows = np.empty((len(places), inner.dimensions), dtype=np.float32)
        self._done: set[int] = set()
        self._others: dict[tuple[str, ...], NDArray[np.float32]] = {}

    @property
    def space(self) -> str:
        """Id of the fitted space."""
        return self._inner.space

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text, as the fitted space gives it."""
        if not texts:
            return np.zeros((0, self._rows.shape[1]), dtype=np.float32)
        found = np.array([self._places.get(text, -1) for text in texts])
        for block in np.unique(found[found >= 0] // _BLOCK).tolist():
            self._embed(block)
        rows: NDArray[np.float32] = self._rows[found]
        strange = np.flatnonzero(found < 0)
        if len(strange):
            others = tuple(texts[int(place)] for place in strange)
            if others not in self._others:
                self._others = {others: self._inner.embed(others)}
            rows[strange] = self._others[others]
        return rows

    def _embed(self, block: int) -> None:
        if block not in self._done:
            part = slice(block * _BLOCK, (block + 1) * _BLOCK)
            self._rows[part] = self._inner.embed(self._texts[part])
            self._done.add(block)


class Spaces:
    """Which space is in use in which week (-26 is the first calm one), fitted when first asked for.

    At launch on the launch texts; then on these and the inputs of the eight weeks before: four weeks into the calm
    time, four weeks before the start, and every four weeks after it.
    """

    def __init__(self, world: World, *, like: Spaces | None = None) -> None:
        """Take the spaces of the calm time from a world that has the same one, where there is one."""
        self._world = world
        asks = [*world.pilot, *(ask for week in world.weeks for ask in week)]
        texts = [row.text for row in world.launch] + [ask.text for ask in asks]
        texts += [text for part in world.fresh.values() for text in part]
        self._places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        self._fitted: dict[int, KnownSpace] = {}
        if like is not None:
            self._places = like._places  # noqa: SLF001  of the same class; texts they do not hold are embedded when asked
            self._fitted = {begun: space for begun, space in like._fitted.items() if begun < 0}  # noqa: SLF001

    def refits(self) -> list[int]:
        """Return the weeks at whose beginning another space comes into use."""
        later = range(_REFIT_WEEKS, self._world.dials.weeks, _REFIT_WEEKS)
        return [-PILOT_WEEKS, _FIRST_REFIT - PILOT_WEEKS, -_REFIT_WEEKS, *later]

    def at(self, week: int) -> KnownSpace:
        """Return the space in use in a week."""
        begun = max(each for each in self.refits() if each <= week)
        if begun not in self._fitted:
            texts = dict.fromkeys(row.text for row in self._world.launch)
            for week_before in range(max(begun - _RECENT_WEEKS, -PILOT_WEEKS), begun):
                texts.update(dict.fromkeys(ask.text for ask in self._world.asks_of(week_before)))
            inner = fit_lsa(
                list(texts),
                dimensions=_DIMENSIONS,
                max_features=_FEATURES,
                iterations=2,
                seed=self._world.dials.seed,
            )
            self._fitted[begun] = KnownSpace(inner, self._places)
        return self._fitted[begun]
