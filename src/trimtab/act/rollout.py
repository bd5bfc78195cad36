"""Pointer switches: what a feature serves changes only here, by one row and its revision."""

from __future__ import annotations

from datetime import datetime

import msgspec

from trimtab.errors import Conflict
from trimtab.ids import derived_id
from trimtab.records import Arm, Change, Rollout
from trimtab.stats.bucket import in_candidate, in_holdback
from trimtab.store.ports import Switch

__all__ = ["exposed", "held_back", "promoted", "reset", "restored", "returned", "served_to", "stepped", "withdrawn"]


def exposed(rollout: Rollout, change: Change, share: float, now: datetime) -> Switch:
    """Start to serve a change's candidate to its first share of users.

    Raises Conflict while another candidate is tried, or when the change was built on another version than is served.
    """
    if rollout.candidate_version_id is not None:
        raise Conflict(f"{change.feature!r} already tries {rollout.candidate_version_id!r}; end that trial first")
    if rollout.stable_version_id != change.base_version_id:
        raise Conflict(
            f"the change was built on {change.base_version_id!r}, but {rollout.stable_version_id!r} is served now; "
            "run the playbook again"
        )
    return _switch(
        rollout,
        now,
        id=derived_id("rollout", change.id),
        candidate_version_id=change.candidate_version_id,
        share=share,
        change_id=change.id,
    )


def stepped(rollout: Rollout, share: float, now: datetime) -> Switch:
    """Give the candidate a larger share; the salt stays, so nobody who has it loses it."""
    return _switch(rollout, now, share=share)


def promoted(rollout: Rollout, now: datetime) -> Switch:
    """Serve the candidate to everyone. Raises Conflict when there is none."""
    if rollout.candidate_version_id is None:
        raise Conflict(f"{rollout.feature!r} has no candidate to promote")
    return _switch(rollout, now, stable_version_id=rollout.candidate_version_id, candidate_version_id=None, share=0.0)


def withdrawn(rollout: Rollout, now: datetime) -> Switch:
    """Serve the stable version to everyone again."""
    return _switch(rollout, now, candidate_version_id=None, share=0.0)


def restored(rollout: Rollout, version_id: str, now: datetime) -> Switch:
    """Serve an earlier version to everyone, and end any trial."""
    return _switch(rollout, now, stable_version_id=version_id, candidate_version_id=None, share=0.0, change_id=None)


def returned(rollout: Rollout, version_id: str, now: datetime, share: float | None = None) -> Switch:
    """Serve a version of before to everyone again, and end any trial; `share`, where given, resizes or ends a holdback.

    What is left may be bad: nobody begins to be held back with it, and who was is served what everyone is.
    """
    switch = restored(rollout, version_id, now)
    held = rollout.holdback_version_id
    if held is None:
        return switch
    if held == rollout.stable_version_id != version_id:
        share = 0.0
    return switch if share is None else held_back(switch, rollout, share)


def held_back(switch: Switch, before: Rollout, share: float) -> Switch:
    """Have a switch also begin, resize or end the holdback, as `share` of users asks for.

    It begins with the version that was stable until now. While nothing but that one was ever served, there is none.
    """
    after = switch.rollout
    if share <= 0.0:
        held = msgspec.structs.replace(after, holdback_version_id=None, holdback_share=0.0)
    elif after.holdback_version_id is None and _starts(after, before):
        held = msgspec.structs.replace(after, holdback_version_id=before.stable_version_id, holdback_share=share)
    elif after.holdback_version_id is not None:
        held = msgspec.structs.replace(after, holdback_share=share)
    else:
        held = after
    return Switch(held, switch.expected)


def reset(rollout: Rollout, share: float, now: datetime) -> Switch:
    """Move the holdback to the version that is stable now. Raises Conflict where none is wanted."""
    if share <= 0.0:
        raise Conflict("no users are held back; set canary.holdback above 0, then try again")
    return _switch(rollout, now, holdback_version_id=rollout.stable_version_id, holdback_share=share)


def served_to(rollout: Rollout, unit: str | None) -> tuple[str, Arm]:
    """Return the version that a user (else a session) is served, and the arm: as the SDKs compute it."""
    held, candidate = rollout.holdback_version_id, rollout.candidate_version_id
    if held is not None and unit and in_holdback(rollout.feature, unit, rollout.holdback_share):
        return held, "holdback"
    if candidate is not None and unit and in_candidate(rollout.id, unit, rollout.share):
        return candidate, "candidate"
    return rollout.stable_version_id, "stable"


def _starts(after: Rollout, before: Rollout) -> bool:
    return after.candidate_version_id is not None or after.stable_version_id != before.stable_version_id


def _switch(rollout: Rollout, now: datetime, **changes: object) -> Switch:
    switched = msgspec.structs.replace(rollout, updated_at=now, revision=rollout.revision + 1, **changes)
    return Switch(switched, rollout.revision)
