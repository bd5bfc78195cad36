"""How far people who judge the same things agree, beyond what chance alone would bring about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect
from trimtab.stats.interval import wilson

__all__ = ["Agreement", "cohen_kappa", "fleiss_kappa"]

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kappa with its interval over `n` things judged: 1 all agree, 0 as by chance, below 0 worse than chance.

    `observed` is the share of pairs of verdicts that agree. None where nothing can be said: kappa has no value where
    all verdicts were the same, an interval takes two things.
    """

    kappa: float | None
    low: float | None
    high: float | None
    observed: float | None
    n: int


def fleiss_kappa(counts: Sequence[Sequence[int]], *, confidence: float = 0.95) -> Agreement:
    """Return the agreement of any number of people; `counts` holds, for each thing, how many gave each verdict.

    Formula: (P - E) / (1 - E), with P the mean over things of the share of pairs of verdicts that agree, E = sum_j
    p_j^2 and p_j the mean share of verdict j. The number of people may differ from thing to thing; those with fewer
    than two verdicts are left out. The interval is the jackknife's over things, normal, cut to [-1, 1];
    where all agree the jackknife sees no spread, and P's Wilson bound takes its place.
    Assumption: things are independent. Source: Fleiss, "Measuring nominal scale agreement among many raters", 1971;
    Gwet, "Handbook of inter-rater reliability", 2.4 (differing numbers); Efron and Stein, "The jackknife estimate of
    variance", 1981. Raises ValueError for rows of different lengths or negative counts.
    """
    rows = [list(row) for row in counts]
    if len({len(row) for row in rows}) > 1 or any(count < 0 for row in rows for count in row):
        raise ValueError("expected one row of counts >= 0 for each thing, all of the same length")
    kept = [row for row in rows if sum(row) >= 2]
    if not kept:
        return Agreement(None, None, None, None, 0)
    table = np.array(kept, dtype=np.float64)
    people = table.sum(axis=1, keepdims=True)
    agreed = (table * (table - 1.0)).sum(axis=1) / (people * (people - 1.0))[:, 0]
    shares = table / people
    return _agreement(agreed, shares, shares, confidence)


def cohen_kappa(pairs: Sequence[tuple[str, str]], *, confidence: float = 0.95) -> Agreement:
    """Return the agreement of two people; `pairs` holds the verdict of the first and of the second on each thing.

    Formula: (P - E) / (1 - E), with P the share of things on which they agree and E = sum_j p_j q_j, the shares of
    verdict j of the first and of the second. Interval and assumption as in `fleiss_kappa`.
    Source: Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    names = {name: place for place, name in enumerate(sorted({name for pair in pairs for name in pair}))}
    first, second = (np.zeros((len(pairs), len(names))) for _ in range(2))
    for row, (one, other) in enumerate(pairs):
        first[row, names[one]] = second[row, names[other]] = 1.0
    return _agreement((first * second).sum(axis=1), first, second, confidence)


def _agreement(agreed: _Array, first: _Array, second: _Array, confidence: float) -> Agreement:
    z = NormalDist().inv_cdf(0.5 + expect.probability("confidence", confidence) / 2.0)
    n = len(agreed)
    if not n:
        return Agreement(None, None, None, None, 0)
    sums = (float(agreed.sum()), first.sum(axis=0), second.sum(axis=0))
    kappa = _kappa(n, *sums)
    observed = float(agreed.mean())
    if n < 2 or kappa is None:
        return Agreement(kappa, None, None, observed, n)
    if observed == 1.0:
        chance = float(sums[1] @ sums[2]) / n**2
        sure = 1.0 - wilson(0, n, confidence=confidence).high
        return Agreement(kappa, max(-1.0, (sure - chance) / (1.0 - chance)), 1.0, observed, n)
    without = [
        _kappa(n - 1, sums[0] - float(agreed[row]), sums[1] - first[row], sums[2] - second[row]) for row in range(n)
    ]
    found = [value for value in without if value is not None]
    mean = math.fsum(found) / len(found) if found else 0.0
    half = z * math.sqrt((n - 1) / n * math.fsum((value - mean) ** 2 for value in found)) if len(found) == n else 2.0
    return Agreement(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), observed, n)


def _kappa(n: int, agreed: float, first: _Array, second: _Array) -> float | None:
    chance = float(first @ second) / n**2
    return None if chance > 1.0 - 1e-12 else (agreed / n - chance) / (1.0 - chance)
