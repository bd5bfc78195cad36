"""A rate is shown with its n and its interval, always."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from trimtab.stats import expect

__all__ = [
    "Difference",
    "Rate",
    "beta_cdf",
    "beta_quantile",
    "clopper_pearson",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "difference",
    "wilson",
]


@dataclass(frozen=True, slots=True)
class Rate:
    """A bad rate as people should see it: `bad` of `n`, the share (None when n is 0), and an interval for it."""

    bad: int
    n: int
    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher one bad rate is than another, and an interval for it; value None when either rate has none."""

    value: float | None
    low: float
    high: float


def wilson(bad: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Return the rate with its Wilson score interval: the one for charts and tables.

    With z the two-sided normal quantile and p = bad / n, the ends are
    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    Assumption: n independent outcomes of one probability, n fixed beforehand; coverage is `confidence` on average,
    not at every rate. Source: Wilson 1927; Brown, Cai, DasGupta, "Interval estimation for a binomial proportion".
    With n = 0 nothing is known: value None, interval [0, 1].
    """
    expect.counts("bad", bad, "n", n)
    z = NormalDist().inv_cdf(0.5 + expect.probability("confidence", confidence) / 2.0)
    if n == 0:
        return Rate(bad=0, n=0, value=None, low=0.0, high=1.0)
    value = bad / n
    scale = 1.0 + z * z / n
    centre = (value + z * z / (2 * n)) / scale
    half = z * math.sqrt(value * (1.0 - value) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if bad == 0 else max(0.0, centre - half)
    high = 1.0 if bad == n else min(1.0, centre + half)
    return Rate(bad=bad, n=n, value=value, low=low, high=high)


def difference(rate: Rate, before: Rate) -> Difference:
    """Return `rate` less `before` with an interval at the confidence of theirs, which must be `wilson`'s.

    With d the difference, p the rates and l, u their ends: from d - sqrt((p1 - l1)^2 + (u2 - p2)^2) to
    d + sqrt((u1 - p1)^2 + (p2 - l2)^2). Assumption: the two samples are independent of each other; two spans of time
    with the same people in them are not quite. Source: method 10 of Newcombe, "Interval estimation for the difference
    between independent proportions", Statistics in Medicine 17, 1998. Where a rate is unknown: value None, [-1, 1].
    """
    if rate.value is None or before.value is None:
        return Difference(value=None, low=-1.0, high=1.0)
    value = rate.value - before.value
    low = value - math.hypot(rate.value - rate.low, before.high - before.value)
    high = value + math.hypot(rate.high - rate.value, before.value - before.low)
    return Difference(value=value, low=max(-1.0, low), high=min(1.0, high))


def clopper_pearson(bad: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Return the rate with its Clopper-Pearson interval: never covers less than `confidence`, so for decisions.

    Each end spends half of 1 - confidence: see `clopper_pearson_lower` and `clopper_pearson_upper`.
    """
    expect.counts("bad", bad, "n", n)
    one_sided = 0.5 + expect.probability("confidence", confidence) / 2.0
    return Rate(
        bad=bad,
        n=n,
        value=bad / n if n else None,
        low=clopper_pearson_lower(bad, n, one_sided),
        high=clopper_pearson_upper(bad, n, one_sided),
    )


def clopper_pearson_upper(bad: int, n: int, confidence: float) -> float:
    """Return the one-sided exact upper bound: the rate at which `bad` or fewer of `n` has probability 1 - confidence.

    Equals the `confidence` quantile of Beta(bad + 1, n - bad), and 1 when bad == n.
    Assumption: n independent outcomes of one probability. Source: Clopper and Pearson 1934.
    """
    expect.counts("bad", bad, "n", n)
    expect.probability("confidence", confidence)
    return 1.0 if bad == n else beta_quantile(confidence, bad + 1, n - bad)


def clopper_pearson_lower(bad: int, n: int, confidence: float) -> float:
    """Return the one-sided exact lower bound: the 1 - confidence quantile of Beta(bad, n - bad + 1); 0 if bad is 0."""
    expect.counts("bad", bad, "n", n)
    expect.probability("confidence", confidence)
    return 0.0 if bad == 0 else beta_quantile(1.0 - confidence, bad, n - bad + 1)


def beta_quantile(q: float, a: float, b: float) -> float:
    """Return x with `beta_cdf(x, a, b)` = q, by bisection to the last bit that floats can tell apart."""
    expect.probability("q", q)
    return _bisect(lambda x: beta_cdf(x, a, b) - q)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b).

    Continued fraction 26.5.8 of Abramowitz and Stegun, evaluated by the modified Lentz method (Thompson and Barnett
    1986), on the side of the mean where it converges in about sqrt(max(a, b)) terms.
    """
    expect.positive("a", a)
    expect.positive("b", b)
    expect.fraction("x", x)
    if x in (0.0, 1.0):
        return x
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    if x <= (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _beta_fraction(x, a, b) / a
    return 1.0 - math.exp(log_front) * _beta_fraction(1.0 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    value = d
    for m in range(1, 1000 + 10 * math.isqrt(int(max(a, b)))):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d, tiny)
            c = _away_from_zero(1.0 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _bisect(rises_through_zero: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high) or high - low < 1e-15 * high:
            return middle
        if rises_through_zero(middle) < 0.0:
            low = middle
        else:
            high = middle
