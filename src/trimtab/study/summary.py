"""What the worlds of a study say together: means with intervals, and differences paired world by world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from scipy.stats import t as student

from trimtab.stats.survival import median_time
from trimtab.study.cell import CellResult
from trimtab.study.run import Study

__all__ = ["CellSummary", "Pair", "Spread", "compare", "recovered", "spread", "summarise"]


class Spread(Struct, frozen=True, kw_only=True):
    """A mean over worlds with its 95% t interval (n - 1 degrees of freedom); without one from a single world.

    Assumption: worlds are independent draws. Source: Student, "The probable error of a mean", 1908.
    """

    mean: float
    low: float | None
    high: float | None
    sd: float
    n: int


class Pair(NamedTuple):
    """By how much the first cell lost less than the second, in points, paired world by world.

    `live` and `fresh` at the end, `mean` on average over all weeks.
    """

    better: str
    worse: str
    live: Spread
    fresh: Spread
    mean: Spread


class CellSummary(Struct, frozen=True, kw_only=True):
    """One cell over all worlds.

    `recovered` are shares of what static lost, `gap` of what lies between static and oracle; both of the means over
    worlds, None where there is no such cell or nothing was lost.

    `failed` is the share of exposed changes that were rolled back or followed by an incident within two weeks; of
    changes the gate refused, `blocked` were never exposed. `days_to_fix` is the Kaplan-Meier median from the first bad
    signal to the verified fix over the incidents of all worlds. `hit_share` of the labels mended errors, None where it
    was not counted.
    """

    name: str
    live_start: Spread
    live_end: Spread
    live_loss: Spread
    mean_loss: Spread
    fresh_loss: Spread
    labels: Spread
    hit_share: float | None
    hours: dict[str, float]
    reactive_hours: float
    recovered_live: float | None
    recovered_fresh: float | None
    gap_live: float | None
    incidents: Spread
    quiet_worlds: float
    exposed: int
    failed: float | None
    blocked: int
    rolled_back: int
    fixes: int
    verified: int
    days_to_fix: float | None
    seconds: float


def spread(values: Sequence[float]) -> Spread:
    """Return mean, 95% interval and standard deviation."""
    told = np.asarray(values, dtype=np.float64)
    mean, n = float(told.mean()), len(told)
    if n < 2:
        return Spread(mean=mean, low=None, high=None, sd=0.0, n=n)
    sd = float(told.std(ddof=1))
    half = float(student.ppf(0.975, n - 1)) * sd / n**0.5
    return Spread(mean=mean, low=mean - half, high=mean + half, sd=sd, n=n)


def summarise(study: Study) -> list[CellSummary]:
    """Return one summary for each cell, in the preset's order."""
    static = study.cells.get("static")
    oracle = study.cells.get("oracle")
    return [_cell(name, results, static, oracle) for name, results in study.cells.items()]


def compare(study: Study, better: str, worse: str) -> Pair | None:
    """Return the paired difference of two cells; None where one was not run."""
    first, second = study.cells.get(better), study.cells.get(worse)
    if first is None or second is None:
        return None

    def differ(loss: Callable[[CellResult], float]) -> Spread:
        return spread([loss(b) - loss(a) for a, b in zip(first, second, strict=True)])

    live, fresh = differ(lambda one: one.live_loss), differ(lambda one: one.fresh_loss)
    return Pair(better, worse, live, fresh, differ(lambda one: one.mean_loss))


def recovered(loss: float, static: float, best: float = 0.0) -> float | None:
    """Return (static - loss) / (static - best): the share of a loss that was won back; None where none was lost."""
    return (static - loss) / (static - best) if static - best > 1.0 else None


def _cell(
    name: str, results: Sequence[CellResult], static: Sequence[CellResult] | None, oracle: Sequence[CellResult] | None
) -> CellSummary:
    live, fresh = [one.live_loss for one in results], [one.fresh_loss for one in results]
    labels, exposed = sum(one.labels for one in results), sum(one.exposed for one in results)
    fixes = [fix for one in results for fix in one.fixes]
    done = [fix.to_verified for fix in fixes]
    median = (
        median_time(
            [fix.age if day is None else day for fix, day in zip(fixes, done, strict=True)],
            [day is not None for day in done],
        )
        if fixes
        else None
    )
    at_most = _mean(oracle, "live_loss") if oracle else None
    lost = _mean(static, "live_loss") if static else None
    return CellSummary(
        name=name,
        live_start=spread([one.live_start for one in results]),
        live_end=spread([one.live_end for one in results]),
        live_loss=spread(live),
        mean_loss=spread([one.mean_loss for one in results]),
        fresh_loss=spread(fresh),
        labels=spread([one.labels for one in results]),
        hit_share=(sum(one.errors_found for one in results) / labels or None) if labels else None,
        hours={kind: float(np.mean([one.hours[kind] for one in results])) for kind in results[0].hours},
        reactive_hours=float(np.mean([one.reactive_hours for one in results])),
        recovered_live=recovered(float(np.mean(live)), lost) if lost is not None else None,
        recovered_fresh=recovered(float(np.mean(fresh)), _mean(static, "fresh_loss")) if static else None,
        gap_live=recovered(float(np.mean(live)), lost, at_most) if lost is not None and at_most is not None else None,
        incidents=spread([one.incidents for one in results]),
        quiet_worlds=float(np.mean([one.incidents == 0 for one in results])),
        exposed=exposed,
        failed=sum(one.failed for one in results) / exposed if exposed else None,
        blocked=sum(one.changes.get("blocked", 0) for one in results),
        rolled_back=sum(one.changes.get("rolled_back", 0) for one in results),
        fixes=len(fixes),
        verified=sum(day is not None for day in done),
        days_to_fix=None if median is None else median.value,
        seconds=float(np.mean([one.seconds for one in results])),
    )


def _mean(results: Sequence[CellResult], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in results]))
