"""What a person may do to a change, an incident or a feature by hand. Each is one commit, effective at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from trimtab.act.goback import gone_back
from trimtab.act.notices import Notices
from trimtab.act.rollout import exposed, held_back, promoted, reset, restored, returned, withdrawn
from trimtab.config import Canary
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id, new_id
from trimtab.records import Change, Incident, Rollout, Run, Version
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal
from trimtab.store.ports import HotStore, Switch, Writes

__all__ = ["Decisions"]

_TRIED = ("canary", "paused")


P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(verb: Callable[Concatenate[Decisions, P], R]) -> Callable[Concatenate[Decisions, P], R]:
    """Let a verb read, decide and write with nobody in between."""

    @wraps(verb)
    def taken(decisions: Decisions, /, *told: P.args, **more: P.kwargs) -> R:
        with decisions.turn:
            return verb(decisions, *told, **more)

    return taken


class Decisions:
    """People's verbs. Each raises NotFound for an unknown id and Conflict where the state does not allow it.

    `turn` is the lock under which changes are read and written; the act stage of the same engine holds it too, or a
    tick would write back the state from before a person's decision.
    """

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        canary: Canary,
        *,
        turn: AbstractContextManager[Any] | None = None,
        notices: Notices | None = None,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._first_share = canary.steps[0]
        self._holdback = canary.holdback
        self.turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._notices = notices or Notices(store, {})

    @_in_turn
    def approve(self, project_id: str, change_id: str, now: datetime) -> Change:
        """Start the canary of a change that waits for approval; a rollback is served to everyone at once."""
        change = self._change(project_id, change_id, ("awaiting",), "approve")
        rollout = self._rollout(project_id, change.feature)
        if change.kind == "rollback":
            writes = gone_back(self._store, project_id, change, rollout, now, "approved by hand")
            self._notices.add(project_id, writes, now)
            self._store.commit({project_id: writes})
            return writes.changes[0]
        switch = held_back(exposed(rollout, change, self._first_share, now), rollout, self._holdback)
        trial = {"steps": [[now.isoformat(), self._first_share]]}
        return self._write(
            project_id,
            now,
            msgspec.structs.replace(change, state="canary", reason="", exposed_at=now, step_at=now, canary=trial),
            switch,
        )

    @_in_turn
    def promote(self, project_id: str, change_id: str, now: datetime) -> Change:
        """Serve a tried candidate to everyone; its incident then recovers until votes verify it."""
        change = self._change(project_id, change_id, _TRIED, "promote")
        rollout = self._rollout(project_id, change.feature)
        switch = held_back(promoted(rollout, now), rollout, self._holdback)
        incidents = []
        incident = self._store.incident(project_id, change.incident_id) if change.incident_id else None
        if incident is not None and incident.state == "firing":
            incidents.append(msgspec.structs.replace(incident, state="recovering"))
        change = msgspec.structs.replace(change, state="promoted", promoted_at=now, reason="promoted by hand")
        return self._write(project_id, now, change, switch, incidents)

    @_in_turn
    def pause(self, project_id: str, change_id: str, now: datetime) -> Change:
        """Keep the share of a canary where it is until resumed; harm still rolls it back."""
        change = self._change(project_id, change_id, ("canary",), "pause")
        held = {**change.canary, "paused_by": "hand"}
        paused = msgspec.structs.replace(change, state="paused", reason="paused by hand", canary=held)
        return self._write(project_id, now, paused)

    @_in_turn
    def resume(self, project_id: str, change_id: str, now: datetime) -> Change:
        """Let a paused canary go on; its step and its time limit begin anew."""
        change = self._change(project_id, change_id, ("paused",), "resume")
        resumed = {**change.canary, "resumed_at": now.isoformat(), "paused_by": None}
        return self._write(
            project_id, now, msgspec.structs.replace(change, state="canary", reason="", step_at=now, canary=resumed)
        )

    @_in_turn
    def roll_back(self, project_id: str, change_id: str, now: datetime) -> Change:
        """Take a candidate, or a promoted version, back: what was served before is served to everyone.

        One that waits for approval is declined.
        """
        change = self._change(project_id, change_id, ("awaiting", *_TRIED, "promoted", "verified"), "roll back")
        if change.state == "awaiting":
            declined = {"state": "rolled_back", "rolled_back_at": now, "reason": "declined by hand"}
            return self._write(project_id, now, msgspec.structs.replace(change, **declined))
        rollout = self._rollout(project_id, change.feature)
        if rollout.candidate_version_id == change.candidate_version_id:
            switch = held_back(withdrawn(rollout, now), rollout, self._holdback)
        elif rollout.stable_version_id == change.candidate_version_id:
            switch = returned(rollout, change.base_version_id, now, self._holdback)
        else:
            raise Conflict(f"change {change_id!r} is not what {change.feature!r} serves", param="change_id")
        incidents = []
        incident = self._store.incident(project_id, change.incident_id) if change.incident_id else None
        if incident is not None and incident.state == "recovering":
            incidents.append(msgspec.structs.replace(incident, state="firing"))
        change = msgspec.structs.replace(change, state="rolled_back", rolled_back_at=now, reason="by hand")
        return self._write(project_id, now, change, switch, incidents)

    @_in_turn
    def serve(self, project_id: str, version: Version, now: datetime) -> Rollout:
        """Store a version made by hand and serve it to everyone."""
        sealed = seal(self._cleaners.of(project_id), version)
        rollout = self._rollout(project_id, version.feature)
        switch = held_back(restored(rollout, sealed.record.id, now), rollout, self._holdback)
        self._store.commit({project_id: Writes(versions=[sealed], switches=[switch])})
        return switch.rollout

    @_in_turn
    def try_out(self, project_id: str, version: Version, now: datetime) -> tuple[Change, Rollout]:
        """Store a version made by hand and show it to the first share of users; their votes decide."""
        sealed = seal(self._cleaners.of(project_id), version)
        rollout = self._rollout(project_id, version.feature)
        if sealed.record.id == rollout.stable_version_id:
            raise Conflict(f"{version.feature!r} serves this very version to everyone already")
        change = Change(
            id=new_id(now),
            feature=version.feature,
            kind="manual",
            state="canary",
            created_at=now,
            base_version_id=rollout.stable_version_id,
            candidate_version_id=sealed.record.id,
            exposed_at=now,
            step_at=now,
            canary={"steps": [[now.isoformat(), self._first_share]]},
        )
        switch = held_back(exposed(rollout, change, self._first_share, now), rollout, self._holdback)
        writes = Writes(versions=[sealed], changes=[change], switches=[switch])
        self._notices.add(project_id, writes, now)
        self._store.commit({project_id: writes})
        return change, switch.rollout

    @_in_turn
    def restore(self, project_id: str, feature: str, version_id: str, now: datetime) -> Rollout:
        """Serve a stored version to everyone."""
        if self._store.version(project_id, feature, version_id) is None:
            raise NotFound(f"no version {version_id!r} of {feature!r}", param="version_id")
        rollout = self._rollout(project_id, feature)
        switch = returned(rollout, version_id, now, self._holdback)
        self._store.commit({project_id: Writes(switches=[switch])})
        return switch.rollout

    @_in_turn
    def reset_holdback(self, project_id: str, feature: str, now: datetime) -> Rollout:
        """Have the users who are held back start over from the version that is stable now."""
        switch = reset(self._rollout(project_id, feature), self._holdback, now)
        self._store.commit({project_id: Writes(switches=[switch])})
        return switch.rollout

    @_in_turn
    def resolve(self, project_id: str, incident_id: str, now: datetime) -> Incident:
        """Close an incident by hand: not a problem, or mended elsewhere."""
        incident = self._store.incident(project_id, incident_id)
        if incident is None:
            raise NotFound(f"no incident {incident_id!r}", param="incident_id")
        if incident.state == "resolved":
            raise Conflict(f"incident {incident_id!r} is already resolved ({incident.resolution})")
        closed = msgspec.structs.replace(incident, state="resolved", resolution="manual", resolved_at=now)
        writes = Writes(incidents=[closed])
        self._notices.add(project_id, writes, now)
        self._store.commit({project_id: writes})
        return closed

    @_in_turn
    def cancel(self, project_id: str, run_id: str, now: datetime) -> Run:
        """Call off a run under way: its step under way ends after the calls it waits for, and writes nothing."""
        run = self._store.run(project_id, run_id)
        if run is None:
            raise NotFound(f"no run {run_id!r}", param="run_id")
        if run.state != "running":
            raise Conflict(f"run {run_id!r} is already {run.state}")
        told = "cancelled by hand"
        called_off = msgspec.structs.replace(run, state="cancelled", ended_at=now, error=told)
        writes = Writes(runs=[msgspec.structs.replace(called_off, steps=[])])
        change = self._store.change(project_id, derived_id("change", run_id))
        if change is not None and change.state == "building":
            writes.changes.append(msgspec.structs.replace(change, state="blocked", reason=told))
        self._store.commit({project_id: writes})
        return called_off

    def _change(self, project_id: str, change_id: str, states: tuple[str, ...], verb: str) -> Change:
        change = self._store.change(project_id, change_id)
        if change is None:
            raise NotFound(f"no change {change_id!r}", param="change_id")
        if change.state not in states:
            raise Conflict(f"cannot {verb} a change that is {change.state!r}; expected {' or '.join(states)}")
        return change

    def _rollout(self, project_id: str, feature: str) -> Rollout:
        rollout = self._store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"no feature {feature!r}", param="feature")
        return rollout

    def _write(
        self,
        project_id: str,
        now: datetime,
        change: Change,
        switch: Switch | None = None,
        incidents: list[Incident] | None = None,
    ) -> Change:
        writes = Writes(changes=[change], switches=[switch] if switch else [], incidents=incidents or [])
        self._notices.add(project_id, writes, now)
        self._store.commit({project_id: writes})
        return change
