"""Whether something is more common now than in a frozen reference: the exact test of two counts, on a log scale."""

from __future__ import annotations

import math

from trimtab.stats import expect

__all__ = ["log_excess"]

_ENOUGH = 1e-12


def log_excess(now: int, of_now: int, before: int, of_before: int, *, alarm_at: float = -math.inf) -> float:
    """Return the log of Fisher's one-sided p-value that a sign of `before` in `of_before` has become more common.

    For a user: how surprising it is that `now` of `of_now` recent ones carry it, were they drawn like those before.

    Formula: with N = of_now + of_before, K = now + before, p = P(X >= now) for X hypergeometric(N, K, of_now), summed
    from its first term on. Where that term alone is above `alarm_at` (a log), the term is returned: p is larger still.
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
    if first > alarm_at > -math.inf:
        return min(first, 0.0)
    total = term = 1.0
    for x in range(now, most):
        term *= (carriers - x) * (of_now - x) / ((x + 1) * (of_before - carriers + x + 1))
        total += term
        if term < _ENOUGH * total:
            break
    return min(first + math.log(total), 0.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
