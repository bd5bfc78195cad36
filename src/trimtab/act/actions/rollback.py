"""The rollback action: a release made by hand whose votes are bad gives way to what was served before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from trimtab.act.actions.port import Plan, Situation
from trimtab.act.rollout import held_back, restored
from trimtab.config import Settings
from trimtab.records import Rollout
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["ROLLBACK", "RollbackEffect"]

ROLLBACK = "rollback"


class RollbackEffect:
    """Moves the pointer back, once: to the version that the release replaced.

    Only of a version that a person released, while everyone is served it, where it was bad within
    `playbook.rollback_hours` of its release, and where what it replaced had no incident of its own: else the fault is
    not the release's, or there is nothing better to go back to. What came of a change is taken back by its own trial.
    """

    name = ROLLBACK

    def __init__(self, store: HotStore, settings: Settings) -> None:
        self._store = store
        self._within = timedelta(hours=settings.playbook.rollback_hours)
        self._holdback = settings.canary.holdback

    def plan(self, situation: Situation) -> Plan:
        """Name the version that would be served again, or why none would."""
        target, why = self._target(situation)
        reason = f"serves {target} again, which {situation.incident.version_id} replaced" if target else why
        return Plan(action=self.name, possible=bool(target), reason=reason[:2000], detail={"version": target or None})

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        """Return the switch. The store refuses it when somebody has switched in the meantime."""
        target, why = self._target(situation)
        rollout = self._rollout(situation)
        if not target or rollout is None:
            return Writes(), {"from": None, "to": None, "reason": why}
        switch = held_back(restored(rollout, target, situation.now), rollout, self._holdback)
        return Writes(switches=[switch]), {"from": rollout.stable_version_id, "to": target}

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        """Serve the release again, if what it replaced is still served."""
        rollout = self._rollout(situation)
        if not done.get("to") or rollout is None or rollout.stable_version_id != done["to"]:
            return Writes()
        return Writes(switches=[held_back(restored(rollout, done["from"], situation.now), rollout, self._holdback)])

    def _target(self, situation: Situation) -> tuple[str, str]:
        """Return the version to serve again, or "" and why not."""
        project_id, incident = situation.project_id, situation.incident
        if incident.held:
            return "", incident.held
        history = self._store.rollout_history(project_id, incident.feature)
        if not history or history[-1].stable_version_id != incident.version_id:
            return "", "the incident is not about the version that everyone is served"
        version = self._store.version(project_id, incident.feature, incident.version_id)
        if version is None or version.change_id is not None:
            return "", "the version came of a change, and is that one's to take back"
        released = next(place for place, each in enumerate(history) if each.stable_version_id == incident.version_id)
        if released == 0:
            return "", "nothing was served before it"
        since = history[released].updated_at
        if incident.onset_at - since > self._within:
            hours = self._within.total_seconds() / 3600
            return "", f"it was served since {since.isoformat()}, and was good for more than {hours:g} hours"
        before = history[released - 1].stable_version_id
        if self._was_bad(situation, before):
            return "", f"{before}, which it replaced, had an incident that nobody has resolved"
        return before, ""

    def _was_bad(self, situation: Situation, version_id: str) -> bool:
        query: Query | None = Query(feature=situation.incident.feature, limit=1000)
        while query is not None:
            page = self._store.incidents(situation.project_id, query)
            for row in page.rows:
                each = row.record
                unsolved = each.state != "resolved" or each.resolution == "superseded"
                if each.version_id == version_id and unsolved and each.kind in ("rate", "threshold"):
                    return True
            query = Query(feature=query.feature, limit=1000, after=page.next) if page.next is not None else None
        return False

    def _rollout(self, situation: Situation) -> Rollout | None:
        return self._store.rollout(situation.project_id, situation.incident.feature)
