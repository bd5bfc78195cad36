"""The overview: how each feature fares now and what it was before, from counters: as fast after years as at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from trimtab.records import Rollout
from trimtab.stats.interval import difference, wilson
from trimtab.store.ports import CatalogStore, Count, JudgementStore, LoopStore, Query

__all__ = ["Change", "FeatureOverview", "Numbers", "Overview", "OverviewStore", "Part", "Served", "Totals", "overview"]

_METRICS = ("inferences", "errors", "judged", "voted", "vote_negative")
_OPEN = ("firing", "recovering")
_PAGE = 1000


class Part(Struct, frozen=True, kw_only=True):
    """`count` of `n`: the share `value` (null when n is 0) with its 95% Wilson interval."""

    count: int
    n: int
    value: float | None
    low: float
    high: float


class Numbers(Struct, frozen=True, kw_only=True):
    """A span of time in numbers.

    Of the `answers`, `errors` failed and `judged` have any judgement, by words or by hints. `negative` is of the
    answers that users voted on: those that they called bad.
    """

    answers: int
    errors: Part
    judged: Part
    negative: Part


class Change(Struct, frozen=True, kw_only=True):
    """How much higher the negative rate is than before (null when either is unknown), with its 95% interval."""

    value: float | None
    low: float
    high: float


class Served(Struct, frozen=True, kw_only=True):
    """A version that the feature serves now, and to which share of its users."""

    version_id: str
    role: Literal["stable", "candidate"]
    share: float


class FeatureOverview(Struct, frozen=True, kw_only=True):
    """How a feature fares: in the span, in the one of equal length before it, and what it serves at this moment."""

    feature: str
    now: Numbers
    before: Numbers
    change: Change
    open_incidents: int
    serving: list[Served]


class Totals(Struct, frozen=True, kw_only=True):
    """All features together."""

    now: Numbers
    before: Numbers
    change: Change
    open_incidents: int


class Overview(Struct, frozen=True, kw_only=True):
    """Every feature over [since, until), the busiest first; the minutes in which a span begins and ends count whole."""

    since: datetime
    until: datetime
    totals: Totals
    features: list[FeatureOverview]


class OverviewStore(JudgementStore, CatalogStore, LoopStore, Protocol):
    """What the overview reads."""


def overview(store: OverviewStore, project_id: str, since: datetime, until: datetime) -> Overview:
    """Return the overview of a project over [since, until)."""
    now = _numbers(store.counts(project_id, since=since, until=until, step="all", metrics=_METRICS))
    earlier = since - (until - since)
    before = _numbers(store.counts(project_id, since=earlier, until=since, step="all", metrics=_METRICS))
    incidents = _open_incidents(store, project_id)
    names = {feature.name for feature in store.features(project_id)} | now.keys() | before.keys()
    features = []
    for name in sorted(names - {""}):
        here, was = now.get(name, Counter()), before.get(name, Counter())
        rollout = store.rollout(project_id, name)
        features.append(
            FeatureOverview(
                feature=name,
                now=_told(here),
                before=_told(was),
                change=_change(here, was),
                open_incidents=incidents[name],
                serving=[] if rollout is None else _serving(rollout),
            )
        )
    features.sort(key=lambda each: -each.now.answers)
    whole: Counter[str] = sum(now.values(), Counter())
    past: Counter[str] = sum(before.values(), Counter())
    return Overview(
        since=since,
        until=until,
        totals=Totals(
            now=_told(whole), before=_told(past), change=_change(whole, past), open_incidents=incidents.total()
        ),
        features=features,
    )


def _numbers(counts: Iterable[Count]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for each in counts:
        found.setdefault(each.feature, Counter())[each.metric] += each.count
    return found


def _told(numbers: Counter[str]) -> Numbers:
    answers = numbers["inferences"]
    return Numbers(
        answers=answers,
        errors=_part(numbers["errors"], answers),
        judged=_part(numbers["judged"], answers),
        negative=_part(numbers["vote_negative"], numbers["voted"]),
    )


def _part(count: int, n: int) -> Part:
    # An outcome can be counted a moment before its answer is: counters of one span are not one snapshot of the rows.
    rate = wilson(min(count, n), n)
    return Part(count=rate.bad, n=rate.n, value=rate.value, low=rate.low, high=rate.high)


def _change(now: Counter[str], before: Counter[str]) -> Change:
    after, earlier = (wilson(min(one["vote_negative"], one["voted"]), one["voted"]) for one in (now, before))
    found = difference(after, earlier)
    return Change(value=found.value, low=found.low, high=found.high)


def _serving(rollout: Rollout) -> list[Served]:
    stable = Served(version_id=rollout.stable_version_id, role="stable", share=1.0)
    if rollout.candidate_version_id is None:
        return [stable]
    return [
        Served(version_id=rollout.stable_version_id, role="stable", share=1.0 - rollout.share),
        Served(version_id=rollout.candidate_version_id, role="candidate", share=rollout.share),
    ]


def _open_incidents(store: OverviewStore, project_id: str) -> Counter[str]:
    found: Counter[str] = Counter()
    after: int | None = None
    while True:
        page = store.incidents(project_id, Query(limit=_PAGE, after=after), _OPEN)
        found.update(row.record.feature for row in page.rows)
        after = page.next
        if after is None:
            return found
