"""A rate estimated from a score on everything and the truth about a few."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.stats import expect
from trimtab.stats.interval import beta_quantile

__all__ = ["Prediction", "prediction_powered"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The estimated rate with its standard error and interval: `n` answers had a score, `audited` a known truth."""

    value: float
    low: float
    high: float
    se: float
    n: int
    audited: int


def prediction_powered(
    n: int,
    total: float,
    squares: float,
    audited: Sequence[tuple[float, float]],
    *,
    weights: Sequence[float] = (),
    confidence: float = 0.95,
) -> Prediction:
    """Return the rate of bad among `n` answers whose scores add up to `total`, their squares to `squares`.

    `audited` holds (score, truth) of answers drawn at random from the same n, all values in [0, 1].
    Formula: mean(f) + mean(y - f), se^2 = var(f) / n + var(y - f) / m with m audited; the interval is symmetric, by
    Student's t with m - 1 degrees of freedom, cut to [0, 1]. The score may be wrong in any way: what it is off by is
    measured and taken away, so the estimate is unbiased; a good score only makes the interval narrow. Where all audited
    answers are good, or all are bad, their gaps tell nothing about the spread: it is taken to be what two more of each
    kind would show (Agresti and Coull's plus four).
    With `weights` each audited answer counts for that many (the inverse of the probability with which it was drawn):
    mean(y - f) is then sum(w (y - f)) / sum(w), var(y - f) / m is m / (m - 1) sum(w^2 (y - f - mean)^2) / sum(w)^2, and
    the degrees of freedom are Kish's effective size, sum(w)^2 / sum(w^2), less 1; all as above where weights are equal.
    Assumption: audited answers are a random sample, uniform but for the weights. Source: Angelopoulos, Bates,
    Fannjiang, Jordan, Zrnic, "Prediction-powered inference", 2023 (the difference estimator of survey sampling:
    Cassel, Saerndal, Wretman 1976); Hajek's ratio for weights. Raises ValueError for fewer than 2 audited answers, for
    more than n, or for values out of range.
    """
    expect.count("n", n, least=2)
    m = expect.count("the number of audited answers", len(audited), least=2)
    if m > n:
        raise ValueError(f"expected at most n = {n} audited answers, got {m}")
    gaps = [expect.fraction("truth", y) - expect.fraction("score", f) for f, y in audited]
    heavy = expect.numbers("weights", weights, size=m) if weights else [1.0] * m
    if min(heavy) <= 0.0:
        raise ValueError(f"expected weights above 0, got {min(heavy)!r} among them")
    whole, effective = math.fsum(heavy), math.fsum(heavy) ** 2 / math.fsum(w * w for w in heavy)
    mean, off = total / n, math.fsum(w * gap for w, gap in zip(heavy, gaps, strict=True)) / whole
    spread = max(0.0, squares - n * mean * mean) / (n - 1)
    # The variance of the mean, times m: with equal weights that of one gap.
    seen = math.fsum((w * (gap - off)) ** 2 for w, gap in zip(heavy, gaps, strict=True)) * m / whole**2 * m / (m - 1)
    bad = math.fsum(y for _, y in audited)
    if bad in (0.0, m):
        smoothed = (bad + 2.0) / (m + 4.0)
        seen = max(seen, smoothed * (1.0 - smoothed) * m / effective)
    se = math.sqrt(spread / n + seen / m)
    value = mean + off
    half = _student(0.5 + expect.probability("confidence", confidence) / 2.0, max(effective - 1.0, 1.0)) * se
    low, high = (min(max(end, 0.0), 1.0) for end in (value - half, value + half))
    return Prediction(min(max(value, 0.0), 1.0), low, high, se, n, m)


def _student(p: float, freedom: float) -> float:
    """Return the quantile of Student's t for p > 0.5: t^2 / (t^2 + freedom) has the law Beta(1/2, freedom / 2)."""
    share = beta_quantile(2.0 * p - 1.0, 0.5, freedom / 2.0)
    return math.sqrt(freedom * share / (1.0 - share))
