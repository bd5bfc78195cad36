"""The pace of the loop: how long incidents took to be noticed, answered and mended, and how changes fared.

Medians are Kaplan-Meier, with incidents still open counted as censored at their age: a mean over closed ones would
reward never closing the hard ones. There is no accepted definition of learning velocity; this one follows the delivery
metrics of software teams (lead time, change failure rate, recovery time) and prints its n everywhere.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import Struct

from trimtab.measure.overview import Part
from trimtab.records import Change, Incident
from trimtab.stats.interval import wilson
from trimtab.stats.survival import median_time
from trimtab.store.ports import LoopStore, Query

__all__ = ["History", "IncidentTimes", "Median", "Pace", "fix_spans", "median_of", "pace_of", "part_of", "read_history"]

_FAILURE_WINDOW = timedelta(days=14)
_RECURRENCE_WINDOW = timedelta(days=30)
_MOST = 20_000
_SHOWN = 500
_NOT_ANSWERS = ("no_data", "propensity")


class Median(Struct, frozen=True, kw_only=True):
    """A median in seconds with its 95% interval; None where the data do not reach it. `done` of `n` have finished."""

    seconds: float | None
    low: float | None
    high: float | None
    n: int
    done: int


class IncidentTimes(Struct, frozen=True, kw_only=True):
    """One incident's way, in seconds; None for what has not happened.

    to_detect: first bad signal to detection. to_change: detection to the first user served a change. to_verify: from
    the exposure of the change that helped (while none has, of the first) to the verdict. to_verified_fix: first bad
    signal to that verdict. age: first bad signal to the end of the incident, or to now.
    """

    incident_id: str
    feature: str
    version_id: str
    state: str
    resolution: str | None
    first_signal_at: datetime
    to_detect: float
    to_change: float | None
    to_verify: float | None
    to_verified_fix: float | None
    age: float


class Pace(Struct, frozen=True, kw_only=True):
    """The pace over the incidents detected and the changes exposed in [since, until), as of `until`.

    Incidents closed by hand ("not a problem", or mended elsewhere) are left out of the medians and counted as
    `dismissed`; `recovered` ones were over without a change, `superseded` ones when another version was
    served: both count as censored then. Incidents about silence or
    about voting itself are none of these. `verified` counts these incidents; `fixes_verified` counts verdicts that fell
    into the span, whenever their incidents began, and `verified_per_week` is that by week.

    A change failed when it was rolled back, or an incident that nobody dismissed opened on its version, within 14 days
    of its exposure; `changes_young` have not failed and are younger. One that the gate blocked never reached anyone: it
    counts in `gate_block_rate`, of the changes made in the span that the gate judged. Recurrence is of the incidents
    with a verdict: another of the same group, of whatever version, was detected within 30 days of it, or the same one
    was opened again; `recurrence_young` have not and are younger. What was opened again counts as not mended until it
    is. `complete` is false where there were more incidents or changes than are read, the newest 20,000 of each; `each`
    shows the newest 500 incidents.
    """

    since: datetime
    until: datetime
    feature: str | None
    complete: bool
    incidents: int
    verified: int
    open: int
    recovered: int
    superseded: int
    dismissed: int
    time_to_detect: Median
    time_to_change: Median
    time_to_verify: Median
    time_to_verified_fix: Median
    fixes_verified: int
    verified_per_week: float
    changes_exposed: int
    changes_failed: int
    changes_young: int
    change_failure_rate: Part
    changes_blocked: int
    gate_block_rate: Part
    recurrence: Part
    recurrence_young: int
    each: list[IncidentTimes]


class History(NamedTuple):
    """Incidents and changes as they were at `until`, oldest first, and whether that is all of them."""

    incidents: list[Incident]
    changes: list[Change]
    complete: bool


def read_history(store: LoopStore, project_id: str, until: datetime, feature: str | None) -> History:
    """Return what had happened by `until`: the newest 20,000 incidents and as many changes."""
    span = Query(feature=feature, until=until, limit=_MOST)
    incidents, told = store.incidents(project_id, span), store.changes(project_id, span)
    changes = [_change_as_of(row.record, until) for row in reversed(told.rows)]
    mine = _by_incident(changes)
    return History(
        [_incident_as_of(row.record, mine.get(row.record.id, ()), until) for row in reversed(incidents.rows)],
        changes,
        incidents.next is None and told.next is None,
    )


def pace_of(history: History, since: datetime, until: datetime, feature: str | None) -> Pace:
    """Return the pace over [since, until)."""
    mine = _by_incident(history.changes)
    each = _detected(history, mine, since, until)
    counted = [times for times in each if times.resolution != "manual"]
    exposed = [change for change in history.changes if change.exposed_at is not None and change.exposed_at >= since]
    opened = _opened(history.incidents)
    failed = [_failed(change, opened) for change in exposed]
    judged = [change for change in history.changes if change.gate is not None and change.created_at >= since]
    came, again, young = _recurred(history.incidents, counted, mine, until)
    verified = sum(times.to_verified_fix is not None for times in counted)
    fixes = sum(change.verified_at is not None and change.verified_at >= since for change in history.changes)
    return Pace(
        since=since,
        until=until,
        feature=feature,
        complete=history.complete,
        incidents=len(each),
        verified=verified,
        open=sum(times.state != "resolved" for times in counted),
        recovered=sum(times.resolution == "verified" and times.to_verified_fix is None for times in counted),
        superseded=sum(times.resolution == "superseded" and times.to_verified_fix is None for times in counted),
        dismissed=len(each) - len(counted),
        **_medians(counted),
        fixes_verified=fixes,
        verified_per_week=fixes / max((until - since) / timedelta(weeks=1), 1e-9),
        changes_exposed=len(exposed),
        changes_failed=sum(failed),
        changes_young=sum(
            not bad and change.exposed_at is not None and until - change.exposed_at <= _FAILURE_WINDOW
            for change, bad in zip(exposed, failed, strict=True)
        ),
        change_failure_rate=part_of(sum(failed), len(exposed)),
        changes_blocked=sum(change.state == "blocked" and change.created_at >= since for change in history.changes),
        gate_block_rate=part_of(sum(change.state == "blocked" for change in judged), len(judged)),
        recurrence=part_of(again, came),
        recurrence_young=young,
        each=each[-_SHOWN:],
    )


def fix_spans(history: History, since: datetime, until: datetime) -> list[tuple[float, bool]]:
    """Return of each counted incident the seconds to its verified fix, or those it has gone without one (False)."""
    return [
        (times.age, False) if times.to_verified_fix is None else (times.to_verified_fix, True)
        for times in _detected(history, _by_incident(history.changes), since, until)
        if times.resolution != "manual"
    ]


def part_of(count: int, n: int) -> Part:
    """Return `count` of `n` with the share and its 95% Wilson interval."""
    rate = wilson(count, n)
    return Part(count=rate.bad, n=rate.n, value=rate.value, low=rate.low, high=rate.high)


def median_of(pairs: Iterable[tuple[float | None, float]]) -> Median:
    """Return the Kaplan-Meier median of (duration, or None while open; age so far)."""
    told = list(pairs)
    found = median_time(
        [max(age if duration is None else duration, 0.0) for duration, age in told],
        [duration is not None for duration, _ in told],
    )
    return Median(seconds=found.value, low=found.low, high=found.high, n=found.n, done=found.done)


def _detected(
    history: History, mine: Mapping[str, Sequence[Change]], since: datetime, until: datetime
) -> list[IncidentTimes]:
    return [
        _times(incident, mine.get(incident.id, ()), until)
        for incident in history.incidents
        if incident.detected_at >= since and incident.kind not in _NOT_ANSWERS
    ]


def _medians(counted: Sequence[IncidentTimes]) -> dict[str, Median]:
    return {
        "time_to_detect": median_of((times.to_detect, times.to_detect) for times in counted),
        "time_to_change": median_of((times.to_change, times.age - times.to_detect) for times in counted),
        "time_to_verify": median_of(
            (times.to_verify, times.age - times.to_detect - times.to_change)
            for times in counted
            if times.to_change is not None
        ),
        "time_to_verified_fix": median_of((times.to_verified_fix, times.age) for times in counted),
    }


def _by_incident(changes: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in changes:
        if change.incident_id is not None and change.exposed_at is not None:
            found.setdefault(change.incident_id, []).append(change)
    return found


def _times(incident: Incident, mine: Sequence[Change], until: datetime) -> IncidentTimes:
    exposed = min((change.exposed_at for change in mine if change.exposed_at), default=None)
    verifying = _verifying(mine, _reopened_before(incident, until))
    verified = verifying.verified_at if verifying else None
    tried = verifying.exposed_at if verifying else exposed
    return IncidentTimes(
        incident_id=incident.id,
        feature=incident.feature,
        version_id=incident.version_id,
        state=incident.state,
        resolution=incident.resolution,
        first_signal_at=incident.first_signal_at,
        to_detect=_seconds(incident.first_signal_at, incident.detected_at),
        to_change=_seconds(incident.detected_at, exposed) if exposed else None,
        to_verify=_seconds(tried, verified) if tried and verified else None,
        to_verified_fix=_seconds(incident.first_signal_at, verified) if verified else None,
        # What another version overtook was never proven: it stays open in the medians, up to that moment.
        age=_seconds(incident.first_signal_at, incident.resolved_at or until),
    )


def _verifying(mine: Iterable[Change], after: datetime | None = None) -> Change | None:
    """Return the change that was first verified; where the incident was opened again, the first one since."""
    proven = [
        (change.verified_at, change.id, change)
        for change in mine
        if change.verified_at is not None and (after is None or change.verified_at > after)
    ]
    return min(proven)[2] if proven else None


def _reopened_before(incident: Incident, until: datetime) -> datetime | None:
    again = _reopened_at(incident)
    return again if again is not None and again < until else None


def _incident_as_of(incident: Incident, mine: Iterable[Change], until: datetime) -> Incident:
    """Return the incident without what had not happened yet."""
    if incident.resolved_at is not None and incident.resolved_at >= until:
        return msgspec.structs.replace(incident, state="firing", resolution=None, resolved_at=None)
    again = _reopened_at(incident)
    verdicts = [change.verified_at for change in mine if change.verified_at is not None]
    if again is None or again < until or not verdicts or incident.resolved_at is not None:
        return incident
    # It is open again now, and was not then.
    return msgspec.structs.replace(incident, state="resolved", resolution="verified", resolved_at=max(verdicts))


def _reopened_at(incident: Incident) -> datetime | None:
    """Return when an incident whose fix did not last was opened again."""
    told = incident.detail.get("reopened_at")
    return datetime.fromisoformat(told) if isinstance(told, str) else None


def _change_as_of(change: Change, until: datetime) -> Change:
    """Return the change with the times before `until` only."""
    times = ("exposed_at", "promoted_at", "rolled_back_at", "verified_at")
    later = {name: None for name in times if (at := getattr(change, name)) is not None and at >= until}
    return msgspec.structs.replace(change, **later) if later else change


def _opened(incidents: Iterable[Incident]) -> Mapping[tuple[str, str], list[datetime]]:
    """Return when incidents that nobody dismissed opened, by feature and version, in order."""
    found: dict[tuple[str, str], list[datetime]] = {}
    for incident in incidents:
        if incident.resolution != "manual" and incident.kind not in _NOT_ANSWERS:
            found.setdefault((incident.feature, incident.version_id), []).append(incident.detected_at)
    return {key: sorted(times) for key, times in found.items()}


def _failed(change: Change, opened: Mapping[tuple[str, str], Sequence[datetime]]) -> bool:
    if change.exposed_at is None:
        return False
    end = change.exposed_at + _FAILURE_WINDOW
    if change.rolled_back_at is not None and change.rolled_back_at <= end:
        return True
    on_it = opened.get((change.feature, change.candidate_version_id or ""), ())
    return bisect.bisect_left(on_it, change.exposed_at) < bisect.bisect_right(on_it, end)


def _recurred(
    incidents: Sequence[Incident],
    counted: Iterable[IncidentTimes],
    mine: Mapping[str, Sequence[Change]],
    until: datetime,
) -> tuple[int, int, int]:
    """Return how many incidents had a verdict, how many came again after it, and how many others still may in time."""
    groups: dict[tuple[object, ...], list[datetime]] = {}
    of_incident: dict[str, tuple[object, ...]] = {}
    reopened = {each.id: at for each in incidents if (at := _reopened_before(each, until)) is not None}
    for incident in incidents:
        of_incident[incident.id] = _group(incident)
        if incident.resolution != "manual":
            groups.setdefault(of_incident[incident.id], []).append(incident.detected_at)
    for times in groups.values():
        times.sort()
    came = again = young = 0
    for each in counted:
        change = _verifying(mine.get(each.incident_id, ()))
        if change is None or change.verified_at is None:
            continue
        came += 1
        end, seen = change.verified_at + _RECURRENCE_WINDOW, groups[of_incident[each.incident_id]]
        back = reopened.get(each.incident_id)
        if bisect.bisect_right(seen, change.verified_at) < bisect.bisect_right(seen, end) or (
            back is not None and change.verified_at < back <= end
        ):
            again += 1
        elif until <= end:
            young += 1
    return came, again, young


def _group(incident: Incident) -> tuple[object, ...]:
    """Return what is watched, whatever the version."""
    segment = tuple(sorted(incident.segment.items()))
    topic = incident.monitor_id if incident.kind == "topic" else None
    return incident.feature, incident.rule, incident.metric, incident.kind, segment, topic


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)
