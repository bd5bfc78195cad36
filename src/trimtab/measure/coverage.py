"""Signal coverage: of the answers that went wrong, how many somebody or something dealt with within a week."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from msgspec import Struct

from trimtab.measure.overview import Part
from trimtab.measure.pace import History, part_of
from trimtab.records import Incident
from trimtab.store.ports import CatalogStore, Judged, JudgementStore, LoopStore, MeasureStore, TopicStore

__all__ = ["Coverage", "CoverageStore", "coverage"]

_WITHIN = timedelta(days=7)
_HOUR = timedelta(hours=1)
_MOST = 20_000
_LOT = 200
_ABOUT_ANSWERS = ("rate", "threshold", "manual")
_ANY = "any"
_UNVERSIONED = "unversioned"


class Coverage(Struct, frozen=True, kw_only=True):
    """Of the bad answers looked at, those linked within 7 days to an incident, a golden case or a closed review.

    `by_*` counts each answer once, by the first of the three that fits. Answers from [since, until) count, `until`
    being 7 days ago at the latest, so that each has had its time. `signals` is how many bad ones there were; where more
    than 20,000 answers were judged, an evenly spread sample of them is looked at, else all that are still stored.
    """

    since: datetime
    until: datetime
    signals: int
    linked: Part
    by_incident: int
    by_case: int
    by_review: int
    sampled: bool


class CoverageStore(CatalogStore, JudgementStore, LoopStore, MeasureStore, TopicStore, Protocol):
    """What coverage reads."""


class _Links(NamedTuple):
    """What bad answers of one feature can be linked to."""

    incidents: Mapping[str, Sequence[Incident]]
    topics: Mapping[str, Sequence[datetime]]
    cases: Mapping[str, datetime]


def coverage(
    store: CoverageStore,
    project_id: str,
    history: History,
    since: datetime,
    until: datetime,
    features: Sequence[str],
) -> Coverage:
    """Return the coverage of the features together."""
    last = max(since, until - _WITHIN)
    counted = store.counts(project_id, since=since, until=last, step="all", metrics=("judged", "negative"))
    sizes = dict.fromkeys(features, 0)
    signals = 0
    for each in counted:
        if each.feature in sizes:
            sizes[each.feature] += each.count if each.metric == "judged" else 0
            signals += each.count if each.metric == "negative" else 0
    total = max(1, sum(sizes.values()))
    found = {"incident": 0, "case": 0, "review": 0, "": 0}
    for feature, size in sizes.items():
        if size <= 0:
            continue
        budget = size if total <= _MOST else max(_LOT, _MOST * size // total)
        rows = _looked_at(store, project_id, feature, since, last, size, budget)
        for reason in _reasons(store, project_id, feature, history, [row for row in rows if row.p_bad > 0.5], until):
            found[reason] += 1
    looked = sum(found.values())
    return Coverage(
        since=since,
        until=last,
        signals=signals,
        linked=part_of(looked - found[""], looked),
        by_incident=found["incident"],
        by_case=found["case"],
        by_review=found["review"],
        sampled=total > _MOST,
    )


def _looked_at(
    store: CoverageStore, project_id: str, feature: str, since: datetime, until: datetime, size: int, budget: int
) -> Iterable[Judged]:
    """Return the judged answers to look at: all, or `budget` in lots whose places follow where answers are many."""
    if size <= budget:
        return store.judgements(project_id, feature, since, until, 2 * _MOST)
    hours: dict[datetime, int] = {}
    for each in store.counts(project_id, since=since, until=until, step="hour", metrics=("judged",), feature=feature):
        hours[each.start] = hours.get(each.start, 0) + max(0, each.count)
    found: list[Judged] = []
    starts = _draws(hours, budget // _LOT)
    for start, end in zip(starts, [*starts[1:], until], strict=True):
        found += store.judgements(project_id, feature, max(start, since), min(end, until), _LOT)
    return found


def _draws(hours: Mapping[datetime, int], draws: int) -> list[datetime]:
    """Return where lots begin: by systematic sampling, so that as many answers lie between each two."""
    starts = sorted(hours)
    ends, total = [], 0
    for start in starts:
        total += hours[start]
        ends.append(total)
    found = []
    for draw in range(draws if total else 0):
        at = (draw + 0.5) * total / draws
        place = bisect.bisect_right(ends, at)
        inside = (at - (ends[place] - hours[starts[place]])) / hours[starts[place]]
        found.append(starts[place] + inside * _HOUR)
    return found


def _reasons(
    store: CoverageStore, project_id: str, feature: str, history: History, bad: Sequence[Judged], until: datetime
) -> Iterator[str]:
    """Yield for each bad answer what it is linked to, or nothing."""
    if not bad:
        return
    links = _links(store, project_id, feature, history, until)
    closed = store.reviewed(project_id, [row.inference_id for row in bad])
    for row in bad:
        said = row.voted_at or row.created_at
        end = min(said + _WITHIN, until)
        if any(_covers(incident, row, said) and incident.detected_at <= end for incident in _of(links, row)) or any(
            at <= end for at in links.topics.get(row.inference_id, ())
        ):
            yield "incident"
        elif row.inference_id in links.cases and links.cases[row.inference_id] <= end:
            yield "case"
        elif row.inference_id in closed and closed[row.inference_id] <= end:
            yield "review"
        else:
            yield ""


def _links(store: CoverageStore, project_id: str, feature: str, history: History, until: datetime) -> _Links:
    incidents: dict[str, list[Incident]] = {}
    topics: dict[str, list[datetime]] = {}
    for incident in history.incidents:
        if incident.feature != feature:
            continue
        if incident.kind == "topic":
            for inference_id in _of_topic(store, project_id, incident.monitor_id):
                topics.setdefault(inference_id, []).append(incident.detected_at)
        elif incident.kind in _ABOUT_ANSWERS and _about_badness(incident.metric):
            incidents.setdefault(incident.version_id, []).append(incident)
    made = {
        case.feedback_id: case.created_at
        for case in store.cases(project_id, feature, retired=True)
        if case.feedback_id is not None and case.created_at < until
    }
    cases: dict[str, datetime] = {}
    for feedback_id, inference_id in store.joined(project_id, list(made)).items():
        cases[inference_id] = min(made[feedback_id], cases.get(inference_id, made[feedback_id]))
    return _Links(incidents, topics, cases)


def _of_topic(store: CoverageStore, project_id: str, topic_id: str) -> set[str]:
    topic = store.topic(project_id, topic_id)
    place = store.topic_place(project_id, topic) if topic is not None else None
    if place is None:
        return set()
    return {*place.inference_ids, *store.joined(project_id, place.feedback_ids).values()}


def _about_badness(metric: str) -> bool:
    return metric in ("vote", "outcome") or metric.startswith("feedback.")


def _of(links: _Links, row: Judged) -> Iterator[Incident]:
    """Yield the incidents of the answer's version, and those of whatever version."""
    yield from links.incidents.get(row.version_id or _UNVERSIONED, ())
    yield from links.incidents.get(_ANY, ())


def _covers(incident: Incident, row: Judged, said: datetime) -> bool:
    """Say whether the incident is about a group that the answer is in, at a time when it lasted."""
    if not incident.onset_at <= said or (incident.resolved_at is not None and said > incident.resolved_at):
        return False
    return incident.segment.items() <= row.segments.items()
