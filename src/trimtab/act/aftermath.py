"""After the proof: what was mended may break again, by itself or by what mends something else.

An incident of the same group (feature, watch, measure, segment) within 30 days after the proof is a *recurrence*. It is
linked to the one before. Where the version that was promoted is worse than what it was made to mend, it is taken back
and the first incident is open again. *Forgetting* is a later version failing golden cases that a proven fix had passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from trimtab.records import CaseResult, Change, Incident
from trimtab.stats.interval import clopper_pearson_lower, clopper_pearson_upper

__all__ = ["Lost", "is_worse", "kept", "recurs", "reopened", "same_group", "undone", "was_brought_lately"]

_WATCHED_DAYS = 30.0
_SURE = 0.95
_FEWEST = 3  # cases of a fix, to say that it was undone


class Lost(NamedTuple):
    """A proven fix that a version undoes: of the incident's cases that the fix passed, how many fail."""

    incident_id: str
    failing: int
    cases: int

    @property
    def reason(self) -> str:
        """The line that people read."""
        return f"{self.failing} of {self.cases} cases that the fix of incident {self.incident_id} passed fail"


def same_group(one: Incident, other: Incident) -> bool:
    """Say whether two incidents are about the same group of answers, whatever version gave them."""

    def group(incident: Incident) -> tuple[object, ...]:
        segment = {key: value for key, value in incident.segment.items() if key != "version"}
        return incident.feature, incident.rule, incident.metric, tuple(sorted(segment.items()))

    return group(one) == group(other)


def recurs(incident: Incident, proven: Iterable[Incident]) -> Incident | None:
    """Return the latest incident of the same group that was proven mended at most 30 days before this one was found."""
    span = timedelta(days=_WATCHED_DAYS)
    before = [
        each
        for each in proven
        if each.id != incident.id
        and each.resolution == "verified"
        and each.resolved_at is not None
        and timedelta(0) <= incident.detected_at - each.resolved_at <= span
        and same_group(each, incident)
    ]
    return max(before, key=lambda each: each.resolved_at or each.detected_at, default=None)


def is_worse(incident: Incident, before: Incident) -> bool:
    """Say whether it is proven worse than what was mended: lower against upper Clopper-Pearson bound, each at 95%.

    Both rates were read when they looked bad. They are of different times: what changed meanwhile counts as the
    version's doing.
    """
    low = clopper_pearson_lower(min(incident.negatives, incident.events), max(incident.events, 1), _SURE)
    return low > clopper_pearson_upper(min(before.negatives, before.events), max(before.events, 1), _SURE)


def reopened(incident: Incident, now: datetime, reason: str, *, version_id: str) -> Incident:
    """Return a resolved incident as one that fires again, with why, on the version that is served now."""
    detail = {**incident.detail, "reopened_at": now.isoformat(), "reopened": reason}
    again = {"state": "firing", "resolved_at": None, "resolution": None, "version_id": version_id}
    return msgspec.structs.replace(incident, detail=detail, **again)


def was_brought_lately(change: Change, now: datetime) -> bool:
    """Say whether a change was promoted so lately that what comes after may be its doing."""
    return change.promoted_at is not None and now - change.promoted_at <= timedelta(days=_WATCHED_DAYS)


def kept(results: Sequence[CaseResult]) -> dict[str, bool]:
    """Return by case whether a candidate leaves it as good as it is: what is lost already, no candidate forgets.

    Else one lost fix would refuse every change from then on, those that mend something else as well.
    """
    return {each.case_id: each.candidate_passed or not each.stable_passed for each in results if each.decided}


def undone(fixes: Sequence[Change], passed: Mapping[str, bool]) -> Lost | None:
    """Return the first proven fix of which at least half is lost, None where each still holds.

    `fixes` are verified changes with what the gate saw; `passed` says by case whether it passes now. A fix stands for
    the incident's own cases that its candidate passed, if there are at least three and all were asked now.
    """
    for change in fixes:
        if change.gate is None or change.incident_id is None:
            continue
        mended = [result.case_id for result in change.gate.results if result.target and result.candidate_passed]
        asked = [passed[case_id] for case_id in mended if case_id in passed]
        failing = sum(not held for held in asked)
        if len(asked) >= _FEWEST and 2 * failing >= len(asked):
            return Lost(change.incident_id, failing, len(asked))
    return None
