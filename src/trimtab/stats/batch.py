"""Which answers a reviewer is asked about: one for each theme of what is suspect, and some drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect

__all__ = ["Batch", "Theme", "choose", "themes"]

_Array = npt.NDArray[np.float64]
_MOST_ROUNDS = 100
_STARTS = 4


class Theme(NamedTuple):
    """Suspect answers that are alike: the one to ask about (`pick`), all `members`, the nearest to the centre first.

    `weight` is the sum of their P(wrong): how many wrong ones it is expected to hold.
    """

    pick: int
    members: tuple[int, ...]
    weight: float


class Batch(NamedTuple):
    """What to ask about: `themes`, the weightiest first, and `audit`, drawn at random.

    Every row of the frame had the probability `inclusion` of being drawn, whatever it looks like.
    """

    themes: list[Theme]
    audit: tuple[int, ...]
    inclusion: float

    @property
    def picks(self) -> tuple[int, ...]:
        """The rows to ask about, themes first."""
        return tuple(theme.pick for theme in self.themes) + self.audit


def choose(
    p_wrong: npt.ArrayLike,
    vectors: npt.ArrayLike,
    *,
    seed: int | Sequence[int],
    budget: int = 40,
    audit: float = 0.1,
    top: int = 200,
    judged: Sequence[bool] = (),
    frame: int | None = None,
) -> Batch:
    """Return at most `budget` rows to ask about, all different.

    `p_wrong` has shape (n,), `vectors` shape (n, d), unit rows. First `audit` x budget rows are drawn uniformly without
    replacement (where that is no whole number, one more with the probability of the remainder, so that `inclusion` is
    exact). Then the `top` most suspect of the others are put into as many themes as the budget has left, and each
    theme's row nearest its centre is taken.
    `judged` rows, of which the truth is known already, can be drawn, else the audit would not speak for them, but are
    no theme; drawn ones cost nothing of the budget. With `frame` only the first so many rows can be drawn: those that
    stand for all, where others were put beside them because they look wrong.
    Assumption: none for the audit; themes are a heuristic. Raises ValueError for shapes that do not belong together.
    """
    suspect, space = np.asarray(p_wrong, dtype=np.float64), np.asarray(vectors)
    n = len(suspect)
    framed = n if frame is None else min(expect.count("frame", frame), n)
    if suspect.shape != (n,) or space.ndim != 2 or len(space) != n or (len(judged) and len(judged) != n):
        raise ValueError(f"expected one vector for each P(wrong), got {space.shape!r} for {suspect.shape!r}")
    expect.count("budget", budget)
    expect.fraction("audit", audit)
    random = np.random.default_rng(seed)
    wanted = min(audit * budget, float(framed))
    count = min(framed, math.floor(wanted + random.random()))
    drawn = np.sort(random.choice(framed, count, replace=False))
    known = np.asarray(judged, dtype=bool) if len(judged) else np.zeros(n, dtype=bool)
    left = budget - int((~known[drawn]).sum())
    free = known.copy()
    free[drawn] = True
    others = np.flatnonzero(~free)
    first = others[np.argsort(-suspect[others], kind="stable")[: max(top, left)]]
    found = themes(suspect[first], space[first], max(left, 0), seed=int(random.integers(2**31)))
    named = [Theme(int(first[each.pick]), tuple(int(first[i]) for i in each.members), each.weight) for each in found]
    return Batch(named, tuple(map(int, drawn)), wanted / framed if framed else 0.0)


def themes(p_wrong: npt.ArrayLike, vectors: npt.ArrayLike, count: int, *, seed: int) -> list[Theme]:
    """Return at most `count` themes that hold all rows, the weightiest first; fewer where rows coincide.

    k-means with the P(wrong) as weights: minimises sum_i p_i |v_i - c(i)|^2, the best of 4 starts, each seeded by
    drawing rows with a probability proportional to p_i times the squared distance to the nearest centre so far.
    Source: Arthur and Vassilvitskii, "k-means++", 2007; Lloyd, "Least squares quantization in PCM", 1982.
    """
    space, suspect = np.asarray(vectors, dtype=np.float64), np.asarray(p_wrong, dtype=np.float64)
    if not len(space) or count < 1:
        return []
    weights = np.maximum(suspect, 1e-9)
    random = np.random.default_rng(seed)
    best, lowest = None, math.inf
    for _ in range(_STARTS):
        centres = _settled(space, weights, _seeded(space, weights, count, random))
        distance = _squares(space, centres)
        loss = float(weights @ distance.min(axis=1))
        if loss < lowest:
            best, lowest = distance, loss
    if best is None:
        raise ValueError("expected finite vectors, got NaN or infinity among them")
    group = best.argmin(axis=1)
    found = []
    for place in np.unique(group):
        rows = np.flatnonzero(group == place)
        rows = rows[np.lexsort((-suspect[rows], best[rows, place]))]
        found.append(Theme(int(rows[0]), tuple(map(int, rows)), float(suspect[rows].sum())))
    return sorted(found, key=lambda theme: (-theme.weight, theme.pick))


def _seeded(space: _Array, weights: _Array, count: int, random: np.random.Generator) -> _Array:
    """Return at most `count` different rows, far from each other."""
    taken = [int(random.choice(len(space), p=weights / weights.sum()))]
    nearest = _squares(space, space[taken])[:, 0]
    while len(taken) < count:
        chances = weights * np.where(nearest > 1e-12, nearest, 0.0)
        total = chances.sum()
        if total <= 0.0:
            break
        taken.append(int(random.choice(len(space), p=chances / total)))
        nearest = np.minimum(nearest, _squares(space, space[taken[-1:]])[:, 0])
    return space[taken]


def _settled(space: _Array, weights: _Array, centres: _Array) -> _Array:
    """Move each centre to the weighted mean of its rows until none moves; one that loses all its rows stays."""
    group = np.full(len(space), -1)
    for _ in range(_MOST_ROUNDS):
        closest = _squares(space, centres).argmin(axis=1)
        if (closest == group).all():
            break
        group = closest
        member = np.zeros((len(centres), len(space)))
        member[group, np.arange(len(space))] = weights
        total = member.sum(axis=1)
        held = total > 0.0
        centres = centres.copy()
        centres[held] = (member[held] @ space) / total[held, None]
    return centres


def _squares(space: _Array, centres: _Array) -> _Array:
    """Return squared distances, shape (rows, centres)."""
    found: _Array = (space**2).sum(axis=1)[:, None] - 2.0 * space @ centres.T + (centres**2).sum(axis=1)[None, :]
    return np.maximum(found, 0.0)
