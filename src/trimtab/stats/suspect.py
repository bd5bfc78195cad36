"""How likely an answer is wrong before anybody looked at it, learned from the answers people did look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect
from trimtab.stats.logistic import fit_intercept, fit_slopes, logit
from trimtab.stats.nearest import greatest

__all__ = ["COLUMNS", "LEAST_DRAWN", "LEAST_REVIEWS", "Suspicion", "around", "by_answer", "suspicion"]

_Array = npt.NDArray[np.float64]

COLUMNS: Final = ("signals", "margin", "nearest", "around", "answer")
"""What is known of an answer, one column each, NaN where it is not:

- `signals`: log-odds of wrong that its own votes and hints add (0 where there are none);
- `margin`: how sure the app was, on any scale, larger is surer: a confidence, or the lead of the first over the second;
- `nearest`: cosine of the input to the nearest example the app knows the right answer of;
- `around`: what the signals of the nearest other inputs say (`around`);
- `answer`: what the signals of others that were given the same answer say (`by_answer`).
"""

LEAST_REVIEWS: Final = 60
"""With fewer reviews the shipped slopes hold."""

LEAST_DRAWN: Final = 30
"""With fewer answers drawn at random among the reviews, these do not set the level."""

_SHIPPED: Final = (1.0, -0.8, -0.6, 0.5, 0.2)
_SIGNS: Final = (1.0, -1.0, -1.0, 1.0, 1.0)
_CLIP = 4.0
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Suspicion:
    """P(wrong) = sigmoid(base + sum of slope x column), `signals` as they are, the others as (value - middle) / spread.

    `reviews` were learned from (0: the shipped slopes hold), `drawn` of them set the level. No slope has the wrong
    sign: a complaint never makes an answer less suspect, and more certainty of the app never more.
    """

    base: float
    slopes: tuple[float, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    reviews: int = 0
    drawn: int = 0

    def p_wrong(self, rows: npt.ArrayLike) -> _Array:
        """Return P(wrong) of each row of `COLUMNS`; shape (n, 5) in, (n,) out. NaN counts as the middle."""
        eta = np.clip(self.base + self._scaled(rows) @ np.asarray(self.slopes), -700.0, 700.0)
        found: _Array = 1.0 / (1.0 + np.exp(-eta))
        return found

    def _scaled(self, rows: npt.ArrayLike) -> _Array:
        return _scaled(_table(rows), np.asarray(self.middle), np.asarray(self.spread))


def suspicion(
    pool: npt.ArrayLike,
    reviewed: npt.ArrayLike = (),
    wrong: Sequence[float] = (),
    *,
    drawn: Sequence[bool] = (),
    base_rate: float = 0.15,
    sd: float = 0.7,
) -> Suspicion:
    """Return how suspect answers are, given the `reviewed` rows and how `wrong` (0 to 1) each was found to be.

    `pool` are the rows that are to be rated: they set the scale of each column (its mean and standard deviation),
    so that a shipped slope means the same for any app. `reviewed` rows hold what was known when they were chosen, not
    what came later. From 60 reviews on the slopes are the most probable ones with a Gaussian prior of `sd` around the
    shipped ones; a column whose slope would turn against its sign is left out and the others are fitted again. Reviews
    are not drawn at random, but chosen by these very columns, which does not bend slopes; the level is fitted to those
    which were (`drawn`), once there are 30.
    Assumptions: reviews are independent given the columns; the shipped slopes are ours, nobody measured them elsewhere.
    Source: `fit_slopes`, `fit_intercept`. Raises ValueError for shapes that do not belong together or values out of
    range.
    """
    known, seen = _table(pool), _table(reviewed)
    if len(wrong) != len(seen) or (len(drawn) and len(drawn) != len(seen)):
        raise ValueError(f"expected {len(seen)} verdicts and as many flags, got {len(wrong)} and {len(drawn)}")
    middle, spread = _scale(known if len(known) else seen)
    level, slopes = logit(base_rate), np.array(_SHIPPED)
    rows = _scaled(seen, middle, spread)
    learned = len(seen) if len(seen) >= LEAST_REVIEWS else 0
    if learned:
        level, slopes = _fitted(rows, wrong, sd)
    at_random = [place for place, flag in enumerate(drawn) if flag]
    if len(at_random) >= LEAST_DRAWN:
        level = fit_intercept(list(rows[at_random] @ slopes), [wrong[place] for place in at_random])
    return Suspicion(
        base=level,
        slopes=tuple(map(float, slopes)),
        middle=tuple(map(float, middle)),
        spread=tuple(map(float, spread)),
        reviews=learned,
        drawn=len(at_random) if len(at_random) >= LEAST_DRAWN else 0,
    )


def around(vectors: npt.ArrayLike, signals: npt.ArrayLike, of: Sequence[int], *, nearest: int = 30) -> _Array:
    """Return what the signals of the nearest other rows say about each row named in `of`.

    `vectors` are unit rows, shape (n, d), `signals` their log-odds, shape (n,). Formula: the sum of cosine x signal
    over the `nearest` other rows of positive cosine, divided by `nearest`: few or far neighbours say little.
    """
    space, said = np.asarray(vectors), np.asarray(signals, dtype=np.float64)
    if space.ndim != 2 or said.shape != (len(space),):
        raise ValueError(f"expected one signal for each row, got shapes {space.shape!r} and {said.shape!r}")
    found = np.zeros(len(of))
    taken = min(nearest, len(space) - 1)
    if taken < 1:
        return found
    for start in range(0, len(of), _CHUNK):
        rows = np.asarray(of[start : start + _CHUNK])
        likeness = space[rows] @ space.T
        likeness[np.arange(len(rows)), rows] = -2.0
        near, close = greatest(likeness, taken)
        close = np.clip(close, 0.0, 1.0)
        found[start : start + _CHUNK] = (close * said[near]).sum(axis=1) / nearest
    return found


def by_answer(answers: Sequence[str], signals: npt.ArrayLike, of: Sequence[int], *, shrink: float = 10.0) -> _Array:
    """Return what the signals of the other rows with the same answer say about each row named in `of`.

    Formula: their sum divided by their number + `shrink`, so that a rare answer is not condemned by one voter.
    """
    said = np.asarray(signals, dtype=np.float64)
    names: dict[str, int] = {}
    code = np.array([names.setdefault(answer, len(names)) for answer in answers], dtype=np.intp)
    if said.shape != code.shape:
        raise ValueError(f"expected one signal for each answer, got {len(code)} answers and shape {said.shape!r}")
    rows = np.asarray(of, dtype=np.intp)
    total = np.bincount(code, said, minlength=len(names))
    count = np.bincount(code, minlength=len(names))
    found: _Array = (total[code[rows]] - said[rows]) / (count[code[rows]] - 1 + expect.positive("shrink", shrink))
    return found


def _fitted(rows: _Array, wrong: Sequence[float], sd: float) -> tuple[float, _Array]:
    """Fit, and again without the columns whose slope has the wrong sign, until none has."""
    kept = list(range(len(COLUMNS)))
    while True:
        fit = fit_slopes(rows[:, kept].tolist(), wrong, centre=[_SHIPPED[column] for column in kept], sd=sd)
        right = [column for column, slope in zip(kept, fit.slopes, strict=True) if slope * _SIGNS[column] >= 0.0]
        if right == kept:
            slopes = np.zeros(len(COLUMNS))
            slopes[kept] = fit.slopes
            return fit.intercept, slopes
        kept = right


def _table(rows: npt.ArrayLike) -> _Array:
    table = np.asarray(rows, dtype=np.float64)
    if not table.size:
        return np.empty((0, len(COLUMNS)))
    if table.ndim != 2 or table.shape[1] != len(COLUMNS):
        raise ValueError(f"expected rows of {len(COLUMNS)} numbers ({', '.join(COLUMNS)}), got shape {table.shape!r}")
    if np.isinf(table).any():
        raise ValueError("expected finite numbers, or NaN for what is not known, got infinity; clip it first")
    return table


def _scale(table: _Array) -> tuple[_Array, _Array]:
    """Return each column's middle and spread; an empty or constant one has an endless spread and so says nothing."""
    middle, spread = np.zeros(len(COLUMNS)), np.full(len(COLUMNS), math.inf)
    for column in range(1, len(COLUMNS)):
        values = table[~np.isnan(table[:, column]), column]
        if len(values) and (deviation := float(values.std())) > 1e-9:
            middle[column], spread[column] = values.mean(), deviation
    spread[0] = 1.0
    return middle, spread


def _scaled(table: _Array, middle: _Array, spread: _Array) -> _Array:
    scaled = np.nan_to_num((table - middle) / spread)
    scaled[:, 1:] = np.clip(scaled[:, 1:], -_CLIP, _CLIP)
    return scaled
