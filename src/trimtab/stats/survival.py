"""How long something takes when some of it is not finished yet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from statistics import NormalDist

from trimtab.stats import expect

__all__ = ["MedianTime", "SurvivalStep", "kaplan_meier", "median_time"]


@dataclass(frozen=True, slots=True)
class SurvivalStep:
    """At `time` the share still open falls to `open_share`; [low, high] is its pointwise interval."""

    time: float
    open_share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MedianTime:
    """The time by which half are done. None means "not reached yet": an honest answer while many are open.

    `n` counts all, `done` those that finished. `low` and `high` bound the median; `high` is None while the data cannot
    bound it from above.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    done: int


def kaplan_meier(durations: Sequence[float], done: Sequence[bool], *, confidence: float = 0.95) -> list[SurvivalStep]:
    """Return the Kaplan-Meier curve, one step per time at which something finished.

    S(t) = product over finish times t_i <= t of (1 - d_i / n_i), with d_i finished of n_i still open just before; an
    item that is open (`done` False) counts among the n_i up to its age and no further (right censoring).
    The interval is Greenwood's variance on the log(-log S) scale: with v = sum of d_i / (n_i (n_i - d_i)) / (log S)^2,
    the ends are S^exp(+-z sqrt(v)). Where S reaches 0 the variance does not exist: low is 0 and high stays as before.
    Assumption: an item's chance of being open when we look does not depend on how long it would have taken.
    Source: Kaplan and Meier 1958; Greenwood 1926; Kalbfleisch and Prentice, "The Statistical Analysis of Failure Time
    Data". An item that finishes at the very time another is censored counts as before it.
    Durations are numbers >= 0 in any one unit. Raises ValueError otherwise, or if the lengths differ.
    """
    z = NormalDist().inv_cdf(0.5 + expect.probability("confidence", confidence) / 2.0)
    items = _checked(durations, done)
    at_risk = len(items)
    open_share, greenwood, high = 1.0, 0.0, 1.0
    steps = []
    for time, group in groupby(sorted(items), key=itemgetter(0)):
        here = [is_done for _, is_done in group]
        finished = sum(here)
        if finished:
            open_share *= 1.0 - finished / at_risk
            low = 0.0
            if finished < at_risk:
                greenwood += finished / (at_risk * (at_risk - finished))
                spread = math.exp(z * math.sqrt(greenwood) / abs(math.log(open_share)))
                low, high = open_share**spread, open_share ** (1.0 / spread)
            steps.append(SurvivalStep(time=time, open_share=open_share, low=low, high=high))
        at_risk -= len(here)
    return steps


def median_time(durations: Sequence[float], done: Sequence[bool], *, confidence: float = 0.95) -> MedianTime:
    """Return the median time to finish, unfinished items included as censored at their age.

    For a user: a mean over finished items rewards never finishing the hard ones; here an open item keeps pushing the
    median up until it is done. The median is the first time at which S <= 1/2; its interval is the set of times at
    which the pointwise interval of S contains 1/2. Source: Brookmeyer and Crowley, "A confidence interval for the
    median survival time" (1982), on the log(-log) scale. Assumption and errors as for `kaplan_meier`.
    """
    steps = kaplan_meier(durations, done, confidence=confidence)
    half = 0.5 + 1e-12  # products of fractions that equal 1/2 may come out a rounding error above it
    return MedianTime(
        value=next((step.time for step in steps if step.open_share <= half), None),
        low=next((step.time for step in steps if step.low <= half), None),
        high=next((step.time for step in steps if step.high <= half), None),
        n=len(durations),
        done=sum(map(bool, done)),
    )


def _checked(durations: Sequence[float], done: Sequence[bool]) -> list[tuple[float, bool]]:
    if len(durations) != len(done):
        raise ValueError(f"expected as many durations as done flags ({len(done)}), got {len(durations)}")
    for duration in durations:
        if not 0.0 <= duration < math.inf:
            raise ValueError(f"expected durations to be finite numbers >= 0, got {duration!r}")
    return [(float(duration), bool(is_done)) for duration, is_done in zip(durations, done, strict=True)]
