"""The oldest mend there is: what was served before a bad release is served again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.config import Settings
from trimtab.records import ChangeKind, Incident, Monitor, Rollout, Version
from trimtab.stats.interval import clopper_pearson_lower, clopper_pearson_upper
from trimtab.store.ports import HotStore

__all__ = ["RollbackAction"]

_SURE = 0.8


class _Earlier(NamedTuple):
    """What was served to everyone before the served version, and since when that one is."""

    version_id: str
    released_at: datetime


class RollbackAction:
    """Proposes the version before the one served, where everything says that the release did it.

    The incident is about the served version and began within `playbook.rollback_hours` of its release, which had not
    been better than that beyond chance until then; and the same monitor's group on the version before was. Better
    beyond chance: the one-sided 80% upper bound of the one lies below the incident's 80% lower bound (Clopper-Pearson).
    Where the world moved under all versions, the release is not to blame and the next action is asked.

    It needs no gate and no canary: the version has its proof behind it, and going back must depend on no model.
    """

    kind: ChangeKind = "rollback"

    def __init__(self, store: HotStore, settings: Settings) -> None:
        self._store = store
        self._window = timedelta(hours=settings.playbook.rollback_hours)

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say which version would be served again, or why going back would not mend this."""
        earlier = self._earlier(situation)
        reason = self._doubt(situation, earlier, tried)
        detail = {} if earlier is None else {"version_id": earlier.version_id}
        told = f"serves {earlier.version_id} again" if earlier is not None and not reason else reason
        return Plan(action=self.kind, possible=not reason, reason=told, detail=detail)

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Name the version to go back to, under the key of what an attempt rests on."""
        earlier = self._earlier(situation)
        fits = earlier is not None and not self._doubt(situation, earlier, ())
        return {"corrections": [earlier.version_id] if earlier is not None and fits else []}

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Return the version that was gathered."""
        for version_id in gathered["corrections"]:
            version = self._version(situation, version_id)
            if version is not None:
                return Proposal(version)
        return Proposal(None, "nothing speaks for going back any more")

    def _earlier(self, situation: Situation) -> _Earlier | None:
        history = self._store.rollout_history(situation.project_id, situation.incident.feature)
        return _before(history, situation.base.id)

    def _doubt(self, situation: Situation, earlier: _Earlier | None, tried: Collection[str]) -> str:
        """Return why going back would not mend the incident, or nothing."""
        incident, base = situation.incident, situation.base
        if earlier is None:
            return "no other version was ever served"
        if incident.version_id != base.id:
            return "the incident is not about the version that is served"
        if earlier.version_id in tried:
            return "it was tried before"
        late = incident.onset_at - earlier.released_at
        if late > self._window:
            return f"it began {late.total_seconds() / 3600:.0f} h after the release"
        if self._version(situation, earlier.version_id) is None:
            return "the version before is not stored"
        if _did_well(self._group(situation, base.id), incident):
            return "the release did well at first"
        return _not_better(self._group(situation, earlier.version_id), incident)

    def _version(self, situation: Situation, version_id: str) -> Version | None:
        return self._store.version(situation.project_id, situation.incident.feature, version_id)

    def _group(self, situation: Situation, version_id: str) -> Monitor | None:
        """Return the monitor that heard the same of the version before."""
        incident = situation.incident
        heard = self._store.monitors(situation.project_id, incident.feature, incident.rule)
        alike = (each for each in heard if each.segment == incident.segment)
        return next((each for each in alike if each.version_id == version_id), None)


def _before(history: list[Rollout], served: str) -> _Earlier | None:
    """Return the version before the last time that `served` began to be served to everyone."""
    released_at: datetime | None = None
    for rollout in reversed(history):  # the newest first
        if rollout.stable_version_id == served:
            released_at = rollout.updated_at
        elif released_at is not None:
            return _Earlier(rollout.stable_version_id, released_at)
    return None


def _did_well(served: Monitor | None, incident: Incident) -> bool:
    """Say whether the served version was better before the incident's onset than in it."""
    if served is None or served.votes <= incident.events:
        return False
    negatives = max(round(served.negatives) - incident.negatives, 0)
    return _upper(negatives, served.votes - incident.events) < _lower(incident)


def _upper(bad: int, n: int) -> float:
    return clopper_pearson_upper(min(bad, n), n, _SURE)


def _lower(incident: Incident) -> float:
    return clopper_pearson_lower(incident.negatives, incident.events, _SURE)


def _not_better(before: Monitor | None, incident: Incident) -> str:
    if before is None or before.votes == 0:
        return "nothing is known of how the version before did"
    upper, lower = _upper(round(before.negatives), before.votes), _lower(incident)
    if upper < lower:
        return ""
    return f"the version before was no better: up to {upper:.1%} bad, the incident shows {lower:.1%} at least"
