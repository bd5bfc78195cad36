"""Going back to what was served before: one commit, with what it means for the change and the incident behind it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from trimtab.act.rollout import returned
from trimtab.errors import Conflict
from trimtab.records import Change, Incident, Rollout
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["gone_back"]


def gone_back(store: HotStore, project_id: str, change: Change, rollout: Rollout, now: datetime, reason: str) -> Writes:
    """Return the rows that serve a rollback's version to everyone again and let votes judge whether that helped.

    The changes that brought the bad version are rolled back with it, and an incident that one of them was to mend is
    firing again. Nobody is held back with the bad version. Raises Conflict where another version is served by now.
    """
    if change.candidate_version_id is None or rollout.stable_version_id != change.base_version_id:
        raise Conflict(
            f"{change.feature!r} serves {rollout.stable_version_id!r} by now, not {change.base_version_id!r}; "
            "look at the incident again"
        )
    served = msgspec.structs.replace(
        change, state="promoted", exposed_at=now, step_at=now, promoted_at=now, reason=reason
    )
    writes = Writes(changes=[served], switches=[returned(rollout, change.candidate_version_id, now)])
    query = Query(feature=change.feature, version_id=change.base_version_id, limit=100)
    for row in store.changes(project_id, query, states=("promoted", "verified")).rows:
        told = f"its version was taken back: {reason}"[:500]
        writes.changes.append(msgspec.structs.replace(row.record, state="rolled_back", rolled_back_at=now, reason=told))
        if row.record.incident_id != change.incident_id:
            _move(store, project_id, row.record.incident_id, "recovering", "firing", writes)
    _move(store, project_id, change.incident_id, "firing", "recovering", writes)
    return writes


def _move(store: HotStore, project_id: str, incident_id: str | None, before: str, after: str, writes: Writes) -> None:
    incident: Incident | None = store.incident(project_id, incident_id) if incident_id else None
    if incident is not None and incident.state == before:
        writes.incidents.append(msgspec.structs.replace(incident, state=after))
