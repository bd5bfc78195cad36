"""Logistic regression that leans on what was believed before, and a level that is set apart from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect

__all__ = ["Fit", "fit_intercept", "fit_slopes", "logit", "sigmoid"]

_Array = npt.NDArray[np.float64]
_MOST_STEPS = 200
_SMALL = 1e-10
_SETTLED = 1e-14


@dataclass(frozen=True, slots=True)
class Fit:
    """Log-odds of bad: `intercept`, and one slope for each column. `steps` is how many Newton steps it took."""

    intercept: float
    slopes: tuple[float, ...]
    steps: int


def sigmoid(log_odds: float) -> float:
    """Return 1 / (1 + exp(-log_odds)) without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    risen = math.exp(log_odds)
    return risen / (1.0 + risen)


def logit(p: float) -> float:
    """Return log(p / (1 - p)). Raises ValueError unless p lies strictly between 0 and 1."""
    return math.log(expect.probability("p", p)) - math.log1p(-p)


def fit_slopes(
    rows: Sequence[Sequence[float]],
    bad: Sequence[float],
    *,
    centre: Sequence[float],
    sd: float = 0.7,
    intercept_sd: float = 3.0,
) -> Fit:
    """Return the most probable intercept and slopes, given `rows` of what was seen and how `bad` (0 to 1) each was.

    Minimises -log likelihood + sum_j (w_j - centre_j)^2 / (2 sd^2) + (b - m)^2 / (2 intercept_sd^2), with m the logit
    of the mean of `bad`, smoothed by half a count. Both priors are proper, so the objective is strictly convex: there
    is one minimum even where the data are separable or empty, and Newton steps, halved until they improve, reach it.
    Assumption: rows are independent. Source: MacKay, "Bayesian methods for adaptive models" (MAP with Gaussian prior);
    Boyd and Vandenberghe, "Convex optimization", 9.5 (damped Newton).
    Raises ValueError for rows of another width than `centre`, and for values that are not finite or out of range.
    """
    width = len(centre)
    expect.positive("sd", sd)
    expect.positive("intercept_sd", intercept_sd)
    seen, said = _arrays(rows, bad, width)
    mean = np.concatenate(([logit((said.sum() + 0.5) / (len(said) + 1.0))], np.asarray(centre, dtype=np.float64)))
    precision = np.concatenate(([intercept_sd**-2], np.full(width, sd**-2)))
    design = np.column_stack((np.ones(len(said)), seen))
    at = mean.copy()
    value = _loss(design, said, at, mean, precision)
    for step in range(1, _MOST_STEPS + 1):
        p = _sigmoids(design @ at)
        gradient = design.T @ (p - said) + precision * (at - mean)
        curvature = (design.T * (p * (1.0 - p))) @ design + np.diag(precision)
        move = np.linalg.solve(curvature, gradient)
        share, slope = 1.0, float(gradient @ move)
        if slope < _SETTLED * (1.0 + value):  # Newton's decrement, squared: what is left to gain
            break
        while (lower := _loss(design, said, at - share * move, mean, precision)) > value - 1e-4 * share * slope:
            share /= 2.0
            if share < _SMALL:  # nothing left but rounding
                return _fit(at, step)
        at, value = at - share * move, lower
    return _fit(at, step)


def fit_intercept(offsets: Sequence[float], bad: Sequence[float], *, weights: Sequence[float] = ()) -> float:
    """Return the b for which the mean of sigmoid(b + offset) is the mean of `bad`: its maximum likelihood.

    The score equation sum_i sigmoid(b + offset_i) = sum_i bad_i rises in b and is solved by bisection. Where all is
    good or all is bad there is no finite solution: half a count is then taken to be the other. `weights` say for how
    many answers each row stands; only their proportions matter.
    Assumption: the offsets are right up to this one number, and the rows were drawn at random. Source: McCullagh and
    Nelder, "Generalized linear models", 4.3 (logistic regression with an offset).
    Raises ValueError when there is no row, or for values that are not finite or out of range.
    """
    n = len(bad)
    expect.count("the number of rows", n, least=1)
    shifts = expect.numbers("offsets", offsets, size=n)
    told = expect.numbers("weights", weights, size=n) if weights else [1.0] * n
    if min(told) <= 0.0:
        raise ValueError(f"expected weights above 0, got {min(told)!r} among them")
    heavy = [weight * n / math.fsum(told) for weight in told]
    total = math.fsum(weight * expect.fraction("bad", value) for weight, value in zip(heavy, bad, strict=True))
    wanted = min(max(total, 0.5), n - 0.5) if n > 1 else 0.25 + 0.5 * total
    level = logit(wanted / n)
    low, high = level - max(shifts), level - min(shifts)
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high) or high - low < 1e-12:
            return middle
        if math.fsum(w * sigmoid(middle + shift) for w, shift in zip(heavy, shifts, strict=True)) < wanted:
            low = middle
        else:
            high = middle


def _arrays(rows: Sequence[Sequence[float]], bad: Sequence[float], width: int) -> tuple[_Array, _Array]:
    seen = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1) if len(rows) else np.empty((0, width))
    said = np.asarray(bad, dtype=np.float64)
    if seen.shape != (len(said), width):
        raise ValueError(f"expected {len(said)} rows of {width} numbers, got an array of shape {seen.shape!r}")
    if not (np.isfinite(seen).all() and ((said >= 0.0) & (said <= 1.0)).all()):
        raise ValueError("expected finite rows and bad between 0 and 1, got others among them; leave those rows out")
    return seen, said


def _loss(design: _Array, said: _Array, at: _Array, mean: _Array, precision: _Array) -> float:
    eta = design @ at
    return float(np.logaddexp(0.0, eta).sum() - said @ eta + 0.5 * (precision * (at - mean) ** 2).sum())


def _sigmoids(eta: _Array) -> _Array:
    risen = np.exp(-np.abs(eta))
    lower: _Array = np.where(eta >= 0.0, 1.0, risen) / (1.0 + risen)
    return lower


def _fit(at: _Array, steps: int) -> Fit:
    return Fit(float(at[0]), tuple(float(value) for value in at[1:]), steps)
