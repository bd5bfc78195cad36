"""The sections of the report, in their order: a new one is one more function in `SECTIONS`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

from trimtab.measure.digest import digest
from trimtab.measure.digest_lines import lines_of
from trimtab.measure.pace import fix_spans, read_history
from trimtab.measure.report.parts import Asked, Band, Chart, Grid, Line, Mark, Section
from trimtab.measure.report.words import interval_of, part_in_words, span_in_words
from trimtab.measure.velocity import Velocity, velocity
from trimtab.stats.interval import wilson
from trimtab.stats.survival import kaplan_meier

__all__ = ["SECTIONS", "report"]

_DAY_S = 86_400
_WEEK = timedelta(days=7)
_MOST_WEEKS = 104
_MOST_EVENTS = 100
_STEPS = (
    ("first bad signal to detection", "time_to_detect"),
    ("detection to the first user served a change", "time_to_change"),
    ("that to the verdict that it helped", "time_to_verify"),
    ("first bad signal to verified fix", "time_to_verified_fix"),
    ("correction to the first user served it", "correction_adoption"),
)


class Week(Struct, frozen=True, kw_only=True):
    """One week (from Monday, UTC): fixes verified, answers judged bad, and the negative rate of votes with its n."""

    start: datetime
    fixes_verified: int
    negative_signals: int
    voted: int
    negative_rate: float | None
    low: float
    high: float


class Event(Struct, frozen=True, kw_only=True):
    """Something that the loop did or met, for the timeline."""

    at: datetime
    what: Literal["incident", "change served", "promoted", "rolled back", "verified"]
    feature: str
    id: str
    version_id: str | None


def velocity_section(asked: Asked) -> Section:
    """Return the medians, the rates, and the curve of how many incidents are still without a verified fix."""
    found = velocity(asked.store, asked.project_id, since=asked.since, until=asked.until, feature=asked.feature)
    medians = [
        [name, span_in_words(told.seconds), interval_of(told), f"{told.done} of {told.n}"]
        for name, told in ((name, getattr(found, field)) for name, field in _STEPS)
    ]
    return Section(
        key="velocity",
        title="Learning velocity",
        data=found,
        lead=_lead(found),
        grids=[
            Grid(columns=["step", "median", "95% interval", "done of n"], rows=medians),
            Grid(columns=["share", "value", "95% interval", "n"], rows=_rates(found)),
            *([Grid(columns=["work", "measured", "assumed"], rows=_work(found))] if found.work else []),
        ],
        charts=_curve(asked),
    )


def _lead(found: Velocity) -> list[str]:
    worth = "" if found.yield_per_1000 is None else f", {found.yield_per_1000:.2f} by 1,000 negative signals"
    ends = f"{found.open} open, {found.recovered} over by themselves, {found.superseded} overtaken by another version"
    lead = [
        f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}: {found.incidents} incidents, {found.verified} verified.",
        f"The others: {ends}, {found.dismissed} closed by hand.",
        f"{found.fixes_verified} fixes verified: {found.verified_per_week:.2f} a week{worth}.",
        "Medians are Kaplan-Meier: what is still open counts with its age so far.",
    ]
    if not found.work:
        lead.append("No work was logged, so reactive hours are not known.")
    return lead if found.complete else [*lead, "Only the newest 20,000 incidents and changes were read."]


def _rates(found: Velocity) -> list[list[str]]:
    return [
        ["bad answers somebody dealt with within 7 days", *part_in_words(found.signal_coverage.linked)],
        ["changes that failed", *part_in_words(found.change_failure_rate)],
        ["changes that the gate stopped", *part_in_words(found.gate_block_rate)],
        ["verified incidents that came again within 30 days", *part_in_words(found.recurrence)],
        ["mended cases that fail now", *part_in_words(found.forgetting.failing)],
    ]


def _work(found: Velocity) -> list[list[str]]:
    hours: dict[str, dict[str, float]] = {}
    for each in found.work:
        hours.setdefault(each.kind, {})[each.source] = each.hours
    rows = [[kind, *(_hours(told.get(source)) for source in ("measured", "assumed"))] for kind, told in hours.items()]
    told = found.reactive
    by_answers = ["-" if value is None else f"{value:.1f} h" for value in (told.measured_per_10k, told.assumed_per_10k)]
    return [*rows, ["reactive, by 10,000 answers", *by_answers]]


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.1f} h"


def _curve(asked: Asked) -> list[Chart]:
    history = read_history(asked.store, asked.project_id, asked.until, asked.feature)
    spans = fix_spans(history, asked.since, asked.until)
    if not spans:
        return []
    steps = kaplan_meier([seconds for seconds, _ in spans], [done for _, done in spans])
    last = max(seconds for seconds, _ in spans) / _DAY_S
    points = [(0.0, 1.0), *((step.time / _DAY_S, step.open_share) for step in steps)]
    band = [Band(0.0, 1.0, 1.0), *(Band(step.time / _DAY_S, step.low, step.high) for step in steps)]
    if points[-1][0] < last:
        points.append((last, points[-1][1]))
        band.append(Band(last, band[-1].low, band[-1].high))
    return [
        Chart(
            title="Incidents still without a verified fix, by days since the first bad signal",
            lines=[Line(name="open", points=points, shape="steps", band=band)],
            x="days",
            y="share",
            note=f"Kaplan-Meier, pointwise 95% interval; {sum(done for _, done in spans)} of {len(spans)} are done.",
        )
    ]


def weeks_section(asked: Asked) -> Section:
    """Return week by week what was mended and how good answers were, with what the loop did marked on it."""
    weeks, events = _weeks(asked), _events(asked)
    marks = [
        Mark(event.at.timestamp(), f"{event.at:%Y-%m-%d} {event.what}: {event.feature}", _KINDS[event.what])
        for event in events
        if event.what != "change served"
    ]
    known = [(week.start.timestamp(), week) for week in weeks if week.negative_rate is not None]
    rate = Line(
        name="bad of all votes",
        points=[(x, week.negative_rate or 0.0) for x, week in known],
        band=[Band(x, week.low, week.high) for x, week in known],
    )
    fixes = Line(
        name="verified fixes",
        points=[(week.start.timestamp(), float(week.fixes_verified)) for week in weeks],
        shape="bars",
    )
    rows = [
        [
            f"{week.start:%Y-%m-%d}",
            str(week.fixes_verified),
            f"{week.negative_signals:,}",
            "-" if week.negative_rate is None else f"{week.negative_rate:.1%}",
            "" if week.negative_rate is None else f"{week.low:.1%} to {week.high:.1%}",
            f"{week.voted:,}",
        ]
        for week in weeks
    ]
    return Section(
        key="weeks",
        title="Week by week",
        data=weeks,
        grids=[
            Grid(
                columns=["week from", "verified fixes", "bad answers", "bad of votes", "95% interval", "votes"],
                rows=rows,
            )
        ],
        charts=[
            Chart(title="Verified fixes by week", lines=[fixes], x="time", y="count"),
            Chart(
                title="Answers voted down, by week",
                lines=[rate],
                x="time",
                y="share",
                marks=marks,
                note="Of the answers that people voted on, with the 95% interval. Upright lines: incidents (red), "
                "changes promoted or verified (green), rolled back (grey).",
            ),
        ]
        if weeks
        else [],
    )


_KINDS: Mapping[str, Literal["good", "bad", "plain"]] = {
    "incident": "bad",
    "change served": "plain",
    "promoted": "good",
    "rolled back": "plain",
    "verified": "good",
}


def _weeks(asked: Asked) -> list[Week]:
    """Return the newest 104 weeks that have any counts, and those between them."""
    since = max(asked.since, asked.until - _MOST_WEEKS * _WEEK)
    sums: dict[datetime, Counter[str]] = {}
    for each in asked.store.counts(
        asked.project_id,
        since=since,
        until=asked.until,
        step="day",
        metrics=("negative", "voted", "vote_negative"),
        feature=asked.feature,
    ):
        sums.setdefault(_monday(each.start), Counter())[each.metric] += each.count
    for change in read_history(asked.store, asked.project_id, asked.until, asked.feature).changes:
        if change.verified_at is not None and change.verified_at >= since:
            sums.setdefault(_monday(change.verified_at), Counter())["fixes"] += 1
    found: list[Week] = []
    start = min(sums, default=asked.until)
    while start <= max(sums, default=since) and start < asked.until:
        told = sums.get(start, Counter())
        rate = wilson(max(0, min(told["vote_negative"], told["voted"])), max(0, told["voted"]))
        found.append(
            Week(
                start=start,
                fixes_verified=told["fixes"],
                negative_signals=told["negative"],
                voted=rate.n,
                negative_rate=rate.value,
                low=rate.low,
                high=rate.high,
            )
        )
        start += _WEEK
    return found


def _monday(at: datetime) -> datetime:
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def events_section(asked: Asked) -> Section:
    """Return what happened, the newest first."""
    events = _events(asked)
    rows = [
        [f"{event.at:%Y-%m-%d %H:%M}", event.what, event.feature, event.version_id or "", event.id]
        for event in reversed(events)
    ]
    return Section(
        key="events",
        title="What happened",
        data=events,
        grids=[Grid(columns=["when (UTC)", "what", "feature", "version", "id"], rows=rows)] if rows else [],
    )


def _events(asked: Asked) -> list[Event]:
    """Return the newest 100 events of the span, oldest first."""
    history = read_history(asked.store, asked.project_id, asked.until, asked.feature)
    found = [
        Event(
            at=incident.detected_at,
            what="incident",
            feature=incident.feature,
            id=incident.id,
            version_id=incident.version_id,
        )
        for incident in history.incidents
    ]
    for change in history.changes:
        moments: list[tuple[datetime | None, Literal["change served", "promoted", "rolled back", "verified"]]] = [
            (change.exposed_at, "change served"),
            (change.promoted_at, "promoted"),
            (change.rolled_back_at, "rolled back"),
            (change.verified_at, "verified"),
        ]
        found += [
            Event(at=at, what=what, feature=change.feature, id=change.id, version_id=change.candidate_version_id)
            for at, what in moments
            if at is not None
        ]
    found = [event for event in found if event.at >= asked.since]
    return sorted(found, key=lambda event: event.at)[-_MOST_EVENTS:]


def digest_section(asked: Asked) -> Section:
    """Return what changed in the last seven days of the span."""
    settings = asked.settings
    found = digest(
        asked.store,
        asked.project_id,
        since=max(asked.since, asked.until - _WEEK),
        until=asked.until,
        weeks=settings.digest.reference_weeks,
        rate=settings.digest.false_discovery_rate,
        topic_window=timedelta(days=settings.topics.window_days),
        features=None if asked.feature is None else [asked.feature],
    )
    return Section(
        key="digest", title="What changed", data=found, lead=lines_of(found) or ["Nobody voted in these days."]
    )


SECTIONS: list[Callable[[Asked], Section]] = [velocity_section, weeks_section, digest_section, events_section]
"""Each makes one section of what is asked; they are shown in this order."""


def report(asked: Asked) -> list[Section]:
    """Return all sections."""
    return [section(asked) for section in SECTIONS]
