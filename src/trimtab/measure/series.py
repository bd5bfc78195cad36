"""One number of one feature over time, as a chart draws it: point by point, each with its n and its interval."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from trimtab.errors import InvalidField
from trimtab.stats.interval import wilson
from trimtab.store.ports import CatalogStore, JudgementStore

__all__ = ["Metric", "Point", "Series", "SeriesStep", "SeriesStore", "series"]

Metric = Literal["negative_rate", "inferences", "errors", "judged", "latency_ms", "cost_usd"]
SeriesStep = Literal["minute", "hour", "day"]

_RATES: dict[str, tuple[str, str]] = {
    "negative_rate": ("vote_negative", "voted"),
    "errors": ("errors", "inferences"),
    "judged": ("judged", "inferences"),
}
_WIDTHS: dict[SeriesStep, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_MOST_STARTS = 1_500
_MOST_POINTS = 15_000


class Point(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One minute, hour or day (UTC) of one group.

    `n` is how many `value` is of: votes, answers, or answers of which the measure is known. `low` and `high` are the
    95% Wilson interval of a rate, null for what is none. `group` is null without a grouping and for "no version".
    """

    start: datetime
    n: int
    value: float
    group: str | None = None
    low: float | None = None
    high: float | None = None


class Series(Struct, frozen=True, kw_only=True):
    """The points in the order of time, then of group; what there is none of has no point."""

    feature: str
    metric: Metric
    step: SeriesStep
    group_by: str | None
    since: datetime
    until: datetime
    points: list[Point]


class SeriesStore(JudgementStore, CatalogStore, Protocol):
    """What a series reads."""


def series(
    store: SeriesStore,
    project_id: str,
    feature: str,
    *,
    metric: Metric,
    step: SeriesStep,
    since: datetime,
    until: datetime,
    group_by: str | None = None,
) -> Series:
    """Return the series of a metric over [since, until), split by `version` or by one of the feature's groupings.

    Raises InvalidField for more points than a chart can show, and for a grouping that the metric is not counted by.
    """
    starts = -(-(until - since) // _WIDTHS[step])
    if starts > _MOST_STARTS:
        wider = "'day'" if step == "hour" or starts > 60 * _MOST_STARTS else "'hour'"
        cure = f"ask for step {wider}, or for less time" if step != "day" else "ask for less time"
        raise InvalidField(f"step: expected at most {_MOST_STARTS} points a line, got {starts}; {cure}", param="step")
    told = _RATES.get(metric, (metric, metric))
    segment = None if group_by in (None, "version") else group_by
    if segment is not None:
        _require_grouping(store, project_id, feature, metric, segment)
        if step == "minute":
            raise InvalidField("step: groups are counted by the hour; ask for step 'hour' or 'day'", param="step")
    sums: dict[tuple[datetime, str | None], dict[str, tuple[int, float]]] = {}
    for each in store.counts(
        project_id,
        since=since,
        until=until,
        step=step,
        metrics=sorted(set(told)),
        feature=feature,
        group_by=segment,
    ):
        group = each.version_id if group_by == "version" else each.group_value if segment is not None else None
        held = sums.setdefault((each.start, group), {})
        count, total = held.get(each.metric, (0, 0.0))
        held[each.metric] = (count + each.count, total + each.total)
    if len(sums) > _MOST_POINTS:
        raise InvalidField(
            f"group_by: expected at most {_MOST_POINTS} points, got {len(sums)}; ask for a wider step or less time",
            param="group_by",
        )
    points = [
        point
        for (start, group), found in sorted(sums.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        if (point := _point(metric, start, group, found)) is not None
    ]
    return Series(feature=feature, metric=metric, step=step, group_by=group_by, since=since, until=until, points=points)


def _require_grouping(store: SeriesStore, project_id: str, feature: str, metric: Metric, key: str) -> None:
    known = store.segments(project_id, feature)
    if key not in known:
        raise InvalidField(
            f"group_by: expected 'version' or one of the groupings {sorted(known)!r}, got {key[:60]!r}",
            param="group_by",
        )
    if metric != "negative_rate":
        raise InvalidField(
            f"group_by: {metric!r} is counted by version, not by {key!r}; take 'negative_rate', or group by 'version'",
            param="group_by",
        )


def _point(metric: Metric, start: datetime, group: str | None, found: dict[str, tuple[int, float]]) -> Point | None:
    if metric in _RATES:
        part, whole = (found.get(name, (0, 0.0))[0] for name in _RATES[metric])
        if not whole:
            return None
        rate = wilson(min(part, whole), whole)
        return Point(start=start, group=group, n=whole, value=rate.bad / whole, low=rate.low, high=rate.high)
    count, total = found[metric]
    if not count:
        return None
    value = float(count) if metric == "inferences" else total if metric == "cost_usd" else total / count
    return Point(start=start, group=group, n=count, value=value)
