"""Whether something is more common now than before: the exact test of two counts, and a test of when it began."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trimtab.stats import expect

__all__ = ["began_later", "least_log_excess", "log_excess"]

_ENOUGH = 1e-12


def log_excess(now: int, of_now: int, before: int, of_before: int) -> float:
    """Return the log of Fisher's one-sided p-value that a sign of `before` in `of_before` has become more common.

    For a user: how surprising it is that `now` of `of_now` recent ones carry it, were they drawn like those before.

    Formula: with N = of_now + of_before, K = now + before, p = P(X >= now) for X hypergeometric(N, K, of_now), summed
    from its first term on.
    Assumption: recent ones and those of the reference are exchangeable unless there was a change; then p is exact
    whatever the sign's rate is, and P(p <= a) <= a. Source: Fisher 1935; Lehmann and Romano, "Testing statistical
    hypotheses", 4.5.

    Raises ValueError for counts that cannot be.

    >>> round(math.exp(log_excess(5, 10, 0, 20)), 6)  # 10! 25! / (5! 30!)
    0.001768
    """
    expect.counts("now", now, "of_now", of_now)
    expect.counts("before", before, "of_before", of_before)
    carriers, most = now + before, min(now + before, of_now)
    first = _log_choose(of_now, now) + _log_choose(of_before, before) - _log_choose(of_now + of_before, carriers)
    total = term = 1.0
    for x in range(now, most):
        term *= (carriers - x) * (of_now - x) / ((x + 1) * (of_before - carriers + x + 1))
        total += term
        if term < _ENOUGH * total:
            break
    return min(first + math.log(total), 0.0)


def least_log_excess(
    now: NDArray[np.int64], of_now: int, before: NDArray[np.int64], of_before: int
) -> NDArray[np.float64]:
    """Return the first term of each sign's `log_excess`: no p-value lies below it. For many signs (n) at a time.

    >>> least_log_excess(np.array([5]), 10, np.array([0]), 20).round(3), round(log_excess(5, 10, 0, 20), 3)
    (array([-6.338]), -6.338)
    """
    sums = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, of_now + of_before + 1)))))  # log n! by n

    def log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        chosen: NDArray[np.float64] = sums[n] - sums[k] - sums[n - k]
        return chosen

    first = log_choose(of_now, now) + log_choose(of_before, before) - log_choose(of_now + of_before, now + before)
    return np.minimum(first, 0.0)


def began_later(early_bad: float, early: int, late_bad: float, late: int, *, error: float = 0.05) -> bool:
    """Say whether a rate was lower at first and rose, rather than having been the same all along.

    For a user: whether a release did well before it did badly. The border between early and late may be the estimated
    onset, which was chosen because what follows it looks bad: so what precedes it looks good by selection alone.

    Formula: the log likelihood ratio of two rates against one, n1 KL(p1 || p) + n2 KL(p2 || p) for 0/1 outcomes, must
    reach log(n / error), n = early + late: a union bound over the places at which the border may have been put
    (approximate: each ratio's tail is taken as that of an e-value). Source: the likelihood ratio for a change point,
    Page 1954; Siegmund, "Sequential analysis", ch. 2.

    >>> began_later(10, 100, 17, 46), began_later(100, 1000, 20, 50)  # chance of where it was split; a later change
    (False, True)
    """
    n = early + late
    if early == 0 or late == 0 or early_bad / early >= late_bad / late:
        return False
    overall = (early_bad + late_bad) / n
    ratio = early * _divergence(early_bad / early, overall) + late * _divergence(late_bad / late, overall)
    return ratio >= math.log(n / error)


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two Bernoulli rates, in nats."""
    parts = ((p, q), (1.0 - p, 1.0 - q))
    return sum(a * math.log(a / b) for a, b in parts if a > 0.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
