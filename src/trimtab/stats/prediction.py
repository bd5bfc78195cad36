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
    n: int, total: float, squares: float, audited: Sequence[tuple[float, float]], *, confidence: float = 0.95
) -> Prediction:
    """Return the rate of bad among `n` answers whose scores add up to `total`, their squares to `squares`.

    `audited` holds (score, truth) of answers drawn at random from the same n, all values in [0, 1].
    Formula: mean(f) + mean(y - f), se^2 = var(f) / n + var(y - f) / m with m audited; the interval is symmetric, by
    Student's t with m - 1 degrees of freedom, cut to [0, 1]. The score may be wrong in any way: what it is off by is
    measured and taken away, so the estimate is unbiased; a good score only makes the interval narrow. Where all audited
    answers are good, or all are bad, their gaps tell nothing about the spread: it is taken to be what two more of each
    kind would show (Agresti and Coull's plus four).
    Assumption: audited answers are a uniform random sample. Source: Angelopoulos, Bates, Fannjiang, Jordan, Zrnic,
    "Prediction-powered inference", 2023 (the difference estimator of survey sampling: Cassel, Saerndal, Wretman 1976).
    Raises ValueError for fewer than 2 audited answers, for more than n, or for values out of range.
    """
    expect.count("n", n, least=2)
    m = expect.count("the number of audited answers", len(audited), least=2)
    if m > n:
        raise ValueError(f"expected at most n = {n} audited answers, got {m}")
    gaps = [expect.fraction("truth", y) - expect.fraction("score", f) for f, y in audited]
    mean, off = total / n, math.fsum(gaps) / m
    spread = max(0.0, squares - n * mean * mean) / (n - 1)
    seen = math.fsum((gap - off) ** 2 for gap in gaps) / (m - 1)
    bad = math.fsum(y for _, y in audited)
    if bad in (0.0, m):
        smoothed = (bad + 2.0) / (m + 4.0)
        seen = max(seen, smoothed * (1.0 - smoothed))
    se = math.sqrt(spread / n + seen / m)
    value = mean + off
    half = _student(0.5 + expect.probability("confidence", confidence) / 2.0, m - 1) * se
    low, high = (min(max(end, 0.0), 1.0) for end in (value - half, value + half))
    return Prediction(min(max(value, 0.0), 1.0), low, high, se, n, m)


def _student(p: float, freedom: int) -> float:
    """Return the quantile of Student's t for p > 0.5: t^2 / (t^2 + freedom) has the law Beta(1/2, freedom / 2)."""
    share = beta_quantile(2.0 * p - 1.0, 0.5, freedom / 2.0)
    return math.sqrt(freedom * share / (1.0 - share))
