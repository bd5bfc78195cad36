"""Which answers a reviewer is asked about: one for each theme of what is suspect, and some drawn at random."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect

__all__ = ["Batch", "Theme", "choose", "themes"]

_Array = npt.NDArray[np.float64]
_SHARPNESS = 4
_SAME = 1e-6  # rows this near to one that was picked are the same question


class Theme(NamedTuple):
    """Suspect answers that are alike: the one to ask about (`pick`), all `members`, it and what is most like it first.

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
    exact). Then the `top` most suspect of the others are put into as many themes as the budget has left, each with the
    row that speaks for it.
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
    found = themes(suspect[first], space[first], max(left, 0))
    named = [Theme(int(first[each.pick]), tuple(int(first[i]) for i in each.members), each.weight) for each in found]
    return Batch(named, tuple(map(int, drawn)), wanted / framed if framed else 0.0)


def themes(p_wrong: npt.ArrayLike, vectors: npt.ArrayLike, count: int) -> list[Theme]:
    """Return at most `count` themes that hold all rows, the weightiest first; fewer where rows coincide.

    Rows are picked one after the other, each time the one with the greatest
        p_i ((1 - c_i) + sum over j != i of p_j max(0, a_ij - c_j)),  a_ij = max(0, v_i . v_j)^4,
    where c_j is the greatest a_jk of the rows k picked before: how many wrong answers a verdict on it is expected to
    mend or to explain, which it does if it finds one wrong, beyond what the others do. Every row then belongs to the
    pick it is most like. Source: greedy maximum coverage (facility location), Nemhauser, Wolsey and Fisher, 1978; the
    factor p_i is ours. Assumption: answers to like questions are wrong together, a heuristic that was measured
    (`benches/results/study-ablation/`).
    """
    space, suspect = np.asarray(vectors, dtype=np.float64), np.asarray(p_wrong, dtype=np.float64)
    if not len(space) or count < 1:
        return []
    alike = space @ space.T
    if not np.isfinite(alike).all():
        raise ValueError("expected finite vectors, got NaN or infinity among them")
    np.fill_diagonal(alike, 1.0)
    picks = _covering(np.maximum(suspect, 1e-9), np.maximum(alike, 0.0) ** _SHARPNESS, count)
    group = alike[:, picks].argmax(axis=1)
    found = []
    for place, pick in enumerate(picks):
        rows = np.flatnonzero(group == place)
        rows = rows[np.lexsort((-suspect[rows], -alike[rows, pick], rows != pick))]
        found.append(Theme(pick, tuple(map(int, rows)), float(suspect[rows].sum())))
    return sorted(found, key=lambda theme: (-theme.weight, theme.pick))


def _covering(suspect: _Array, alike: _Array, count: int) -> list[int]:
    """Return the picks in their order. What a row is worth only falls, so most are not looked at again."""
    covered = np.zeros(len(suspect))

    def worth(row: int) -> float:
        gains = np.maximum(alike[row] - covered, 0.0)
        return float(suspect[row] * (gains[row] * (1.0 - suspect[row]) + gains @ suspect))

    waiting = [(-worth(row), row) for row in range(len(suspect))]
    heapq.heapify(waiting)
    picks: list[int] = []
    while waiting and len(picks) < count:
        _, row = heapq.heappop(waiting)
        if 1.0 - covered[row] < _SAME:
            continue
        now = -worth(row)
        if waiting and (now, row) > waiting[0]:
            heapq.heappush(waiting, (now, row))
            continue
        picks.append(row)
        covered = np.maximum(covered, alike[row])
    return picks
