"""Many comparisons of two rates at once: which differ, and by how much at the least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from trimtab.stats import expect
from trimtab.stats.interval import Difference, difference, wilson

__all__ = ["Comparison", "Discovery", "benjamini_yekutieli", "discoveries", "fisher"]


class Comparison(NamedTuple):
    """`bad` of `n` now, against `bad_before` of `n_before`."""

    bad: int
    n: int
    bad_before: int
    n_before: int


class Discovery(NamedTuple):
    """One comparison that is told: its place among the given ones, and its difference with a wider interval.

    `size` is the end of the interval that is nearest to zero, without its sign: it differs by at least so much.
    """

    place: int
    p_adjusted: float
    difference: Difference
    size: float


def fisher(told: Comparison) -> float:
    """Return the p-value of "both rates are equal", two-sided: twice the smaller tail, at most 1.

    Given how many are bad in all, the bad ones now follow the hypergeometric distribution, whatever the rate: exact at
    every n. Assumption: independent outcomes. Source: Fisher, "Statistical Methods for Research Workers", 1925.

    >>> round(fisher(Comparison(8, 10, 1, 10)), 4)
    0.0055
    """
    expect.counts("bad", told.bad, "n", told.n)
    expect.counts("bad_before", told.bad_before, "n_before", told.n_before)
    total, bad = told.n + told.n_before, told.bad + told.bad_before
    if not 0 < bad < total or 0 in (told.n, told.n_before):
        return 1.0
    step = 1 if told.bad * total >= bad * told.n else -1
    term = math.exp(
        _log_choose(told.n, told.bad) + _log_choose(told.n_before, told.bad_before) - _log_choose(total, bad)
    )
    tail, at = 0.0, told.bad
    while term > 0.0 and term > 1e-17 * tail:
        tail += term
        # The ratio of the probability of one more (or fewer) bad ones now to that of so many.
        if step > 0:
            term *= (told.n - at) * (bad - at) / ((at + 1) * (told.n_before - bad + at + 1))
        else:
            term *= at * (told.n_before - bad + at) / ((told.n - at + 1) * (bad - at + 1))
        at += step
    return min(1.0, 2.0 * tail)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values, in the order of the given ones: reject those that are at most the rate.

    The k-th smallest of m becomes the least of p_(j) m H_m / j over j >= k, with H_m = 1 + 1/2 + ... + 1/m, at most 1.
    Of the rejected ones the expected share of false ones is then at most the rate, whatever the tests have to do with
    each other. Source: Benjamini and Yekutieli, "The control of the false discovery rate in multiple testing under
    dependency", Annals of Statistics 29, 2001.

    >>> benjamini_yekutieli([0.5, 0.01])
    [0.75, 0.03]
    """
    size = len(p_values)
    scale = size * _harmonic(size)
    adjusted = [0.0] * size
    least = 1.0
    order = sorted(range(size), key=p_values.__getitem__, reverse=True)
    for back, place in enumerate(order):
        least = min(least, p_values[place] * scale / (size - back))
        adjusted[place] = least
    return adjusted


def discoveries(told: Sequence[Comparison], *, rate: float) -> list[Discovery]:
    """Return the comparisons that differ, the surely largest difference first; at most `rate` of them falsely.

    Chosen by `fisher` under `benjamini_yekutieli`. Intervals of what was chosen because it is large are too short: here
    each of R chosen of m has the confidence 1 - rate R / (m H_m), so that of the intervals told the expected share that
    misses the truth is at most `rate`. What is chosen and whose interval holds 0 is left out. Source: Benjamini and
    Yekutieli, "False discovery rate-adjusted multiple confidence intervals for selected parameters", JASA 100, 2005;
    the intervals are `difference`'s. Assumption: outcomes are independent within a comparison.
    """
    expect.probability("rate", rate)
    adjusted = benjamini_yekutieli([fisher(each) for each in told])
    chosen = [place for place, p_value in enumerate(adjusted) if p_value <= rate]
    if not chosen:
        return []
    confidence = 1.0 - rate * len(chosen) / (len(told) * _harmonic(len(told)))
    found = []
    for place in chosen:
        each = told[place]
        gap = difference(
            wilson(each.bad, each.n, confidence=confidence),
            wilson(each.bad_before, each.n_before, confidence=confidence),
        )
        size = max(gap.low, -gap.high)
        if size > 0.0:
            found.append(Discovery(place, adjusted[place], gap, size))
    return sorted(found, key=lambda each: (-each.size, each.place))


def _harmonic(size: int) -> float:
    return sum(1.0 / rank for rank in range(1, size + 1))


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)
