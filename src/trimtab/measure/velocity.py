"""Learning velocity: how long from the first bad signal to a fix that live votes have verified.

Medians are Kaplan-Meier, with incidents still open counted as censored at their age: a mean over closed ones would
reward never closing the hard ones. There is no accepted definition of learning velocity; this one follows the delivery
metrics of software teams (lead time, change failure rate, recovery time) and prints its n everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from trimtab.records import Change, Incident
from trimtab.stats.survival import median_time
from trimtab.store.ports import LoopStore, Query

__all__ = ["IncidentTimes", "Median", "Velocity", "velocity"]

_FAILURE_WINDOW = timedelta(days=14)
_ALL = 100_000


class Median(Struct, frozen=True, kw_only=True):
    """A median in seconds with its 95% interval; None where the data do not reach it. `done` of `n` have finished."""

    seconds: float | None
    low: float | None
    high: float | None
    n: int
    done: int


class IncidentTimes(Struct, frozen=True, kw_only=True):
    """One incident's way, in seconds; None for what has not happened.

    to_detect: first bad signal to detection. to_change: detection to the first user served the change. to_verify: that
    moment to the verdict that it helped. to_verified_fix: first bad signal to that verdict.
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


class Velocity(Struct, frozen=True, kw_only=True):
    """Velocity over the incidents detected in [since, until), as of `until`.

    Incidents closed by hand are left out of the medians and counted as `dismissed`. A change failed when it was rolled
    back, or an incident opened on its version, within 14 days of its exposure; one the gate blocked never reached
    anyone and is counted apart.
    """

    since: datetime
    until: datetime
    incidents: int
    verified: int
    open: int
    dismissed: int
    time_to_detect: Median
    time_to_change: Median
    time_to_verify: Median
    time_to_verified_fix: Median
    verified_per_week: float
    changes_exposed: int
    changes_failed: int
    changes_blocked: int
    each: list[IncidentTimes]


def velocity(
    store: LoopStore, project_id: str, *, since: datetime, until: datetime, feature: str | None = None
) -> Velocity:
    """Compute the velocity of one project, or of one of its features, from incidents and changes."""
    span = Query(feature=feature, since=since, until=until, limit=_ALL, newest=False)
    incidents = [row.record for row in store.incidents(project_id, span).rows]
    told = store.changes(project_id, Query(feature=feature, limit=_ALL, newest=False)).rows
    incidents = [_incident_as_of(incident, until) for incident in incidents]
    changes = [_change_as_of(row.record, until) for row in told if row.record.created_at < until]
    each = [_times(incident, changes, until) for incident in incidents]
    counted = [times for times in each if times.resolution != "manual"]
    exposed = [change for change in changes if change.exposed_at and since <= change.exposed_at < until]
    weeks = max((until - since) / timedelta(weeks=1), 1e-9)
    verified = sum(times.to_verified_fix is not None for times in counted)
    return Velocity(
        since=since,
        until=until,
        incidents=len(each),
        verified=verified,
        open=sum(times.state != "resolved" for times in counted),
        dismissed=len(each) - len(counted),
        time_to_detect=_median((times.to_detect, times.to_detect) for times in counted),
        time_to_change=_median((times.to_change, times.age - times.to_detect) for times in counted),
        time_to_verify=_median(
            (times.to_verify, times.age - times.to_detect - times.to_change)
            for times in counted
            if times.to_change is not None
        ),
        time_to_verified_fix=_median((times.to_verified_fix, times.age) for times in counted),
        verified_per_week=verified / weeks,
        changes_exposed=len(exposed),
        changes_failed=sum(_failed(change, incidents) for change in exposed),
        changes_blocked=sum(change.state == "blocked" and since <= change.created_at for change in changes),
        each=each,
    )


def _times(incident: Incident, changes: Iterable[Change], until: datetime) -> IncidentTimes:
    mine = [change for change in changes if change.incident_id == incident.id and change.exposed_at is not None]
    exposed = min((change.exposed_at for change in mine if change.exposed_at), default=None)
    verifying = next((change for change in mine if change.verified_at is not None), None)
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
        to_change=_seconds(incident.detected_at, tried) if tried else None,
        to_verify=_seconds(tried, verified) if tried and verified else None,
        to_verified_fix=_seconds(incident.first_signal_at, verified) if verified else None,
        # What another version overtook was never proven: it stays open in the medians, up to that moment.
        age=_seconds(incident.first_signal_at, incident.resolved_at or until),
    )


def _incident_as_of(incident: Incident, until: datetime) -> Incident:
    """Return the incident without what had not happened yet."""
    if incident.resolved_at is None or incident.resolved_at < until:
        return incident
    return msgspec.structs.replace(incident, state="firing", resolution=None, resolved_at=None)


def _change_as_of(change: Change, until: datetime) -> Change:
    """Return the change with the times before `until` only."""
    times = ("exposed_at", "promoted_at", "rolled_back_at", "verified_at")
    later = {name: None for name in times if (at := getattr(change, name)) is not None and at >= until}
    return msgspec.structs.replace(change, **later) if later else change


def _failed(change: Change, incidents: Iterable[Incident]) -> bool:
    if change.exposed_at is None:
        return False
    end = change.exposed_at + _FAILURE_WINDOW
    if change.rolled_back_at is not None and change.rolled_back_at <= end:
        return True
    return any(
        incident.version_id == change.candidate_version_id and change.exposed_at <= incident.detected_at <= end
        for incident in incidents
    )


def _median(pairs: Iterable[tuple[float | None, float]]) -> Median:
    """Return the Kaplan-Meier median of (duration, or None while open; age so far)."""
    told = list(pairs)
    found = median_time(
        [max(age if duration is None else duration, 0.0) for duration, age in told],
        [duration is not None for duration, _ in told],
    )
    return Median(seconds=found.value, low=found.low, high=found.high, n=found.n, done=found.done)


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)
