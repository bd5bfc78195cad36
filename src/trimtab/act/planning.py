"""What is due for an incident: which action, by whose leave, with evidence that its last attempt did not have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from trimtab.act.actions.port import Effect, Plan, Situation, VersionAction
from trimtab.act.evidence import Evidence
from trimtab.act.guard.held import stops
from trimtab.act.order import NOTICE, REVIEWED, Order
from trimtab.config import Settings
from trimtab.errors import ConfigError, Conflict
from trimtab.ids import derived_id
from trimtab.records import ChangeState, Incident, Run
from trimtab.store.ports import HotStore, Query

__all__ = ["Planning", "expect_idle", "is_idle"]

_UNDER_WAY: tuple[ChangeState, ...] = ("building", "awaiting", "canary", "paused")


def is_idle(store: HotStore, project_id: str, feature: str) -> bool:
    """Say whether no run and no change of the feature is under way."""
    runs = store.runs(project_id, Query(feature=feature, limit=1), states=("running",)).rows
    return not runs and not store.changes(project_id, Query(feature=feature, limit=1), states=_UNDER_WAY).rows


def expect_idle(store: HotStore, project_id: str, feature: str) -> None:
    """Raise Conflict while a run or a change of the feature is under way: one at a time, or none could be judged."""
    if not is_idle(store, project_id, feature):
        raise Conflict(f"a run or a change of {feature!r} is under way; let it end, or roll it back first")


class Planning:
    """Reads only. Raises ConfigError where `playbook.actions` names what is neither an action nor an effect."""

    def __init__(
        self,
        store: HotStore,
        settings: Settings,
        evidence: Evidence,
        actions: Mapping[str, VersionAction],
        effects: Mapping[str, Effect],
    ) -> None:
        self._store = store
        self._settings = settings
        self._evidence = evidence
        self._actions = actions
        self._effects = effects
        known = sorted([*actions, *effects])
        for place, names, may in (
            ("playbook.actions", settings.playbook.actions, known),
            ("playbook.ask", settings.playbook.ask, [*known, REVIEWED]),
        ):
            for name in names:
                if name not in may:
                    raise ConfigError(f"expected {place} to be among {', '.join(may)}, got {name!r}", param=place)

    def mode(self, feature: str) -> str:
        """Return the approval policy of a feature: auto, ask or off."""
        override = self._settings.features.get(feature)
        return (override.playbook if override else None) or self._settings.playbook.mode

    def policy(self, feature: str, action: str) -> str:
        """Return whether an action may run by itself (auto), waits for a person (ask), or must not run (never)."""
        mode = self.mode(feature)
        if mode == "off":
            return "never"
        return "ask" if mode == "ask" or action in self._settings.playbook.ask else "auto"

    def plans(self, project_id: str, incident: Incident, now: datetime) -> list[Plan]:
        """Say, action by action in their order, what each would do about the incident now."""
        situation = Situation(project_id, incident, self._evidence.served(project_id, incident.feature), now)
        found: list[Plan] = []
        for name in self._settings.playbook.actions:
            if name in self._effects:
                plan = self._effects[name].plan(situation)
            else:
                plan = self._actions[name].plan(situation, self._tried(situation, name))
                if stops(incident):
                    plan = msgspec.structs.replace(plan, possible=False, reason=incident.held)
            found.append(msgspec.structs.replace(plan, policy=self.policy(incident.feature, name)))
        return found

    def next_order(
        self, project_id: str, incident: Incident, mine: Sequence[Run], now: datetime, *, by_hand: bool = False
    ) -> Order | None:
        """Return the run the incident is due after its runs `mine`, or None while there is nothing to do.

        The first action that has evidence it did not have before is taken; effects are done once, with the first run.
        `by_hand` starts a run though nothing is new, or the incident is held. Called twice before that run has begun it
        gives the same id.
        """
        names = self._settings.playbook.actions
        allowed = [name for name in names if self.policy(incident.feature, name) != "never" or by_hand]
        effects = tuple(name for name in allowed if name in self._effects) if not mine else ()
        actions = [name for name in allowed if name in self._actions] if by_hand or not stops(incident) else []
        situation = Situation(project_id, incident, self._evidence.served(project_id, incident.feature), now)
        ready = (name for name in actions if self._is_possible(situation, name, mine))
        wanted = next((name for name in actions if name != "rollback"), NOTICE) if by_hand else NOTICE
        action = next(ready, wanted)
        if action == NOTICE and not effects:
            return None
        return Order(
            project_id=project_id,
            run_id=derived_id("run", incident.id, action, str(len(mine))),
            feature=incident.feature,
            incident_id=incident.id,
            now=now,
            action=action,
            effects=effects,
        )

    def _is_possible(self, situation: Situation, name: str, mine: Sequence[Run]) -> bool:
        tried = self._tried(situation, name, mine)
        return self._actions[name].plan(situation, tried).possible

    def _tried(self, situation: Situation, name: str, mine: Sequence[Run] | None = None) -> Collection[str]:
        """Return what the action's latest attempt was built from: a next one needs others beside them."""
        if mine is None:
            query = Query(feature=situation.incident.feature, limit=1000)
            found = (row.record for row in self._store.runs(situation.project_id, query).rows)
            mine = [run for run in found if run.incident_id == situation.incident.id]
        latest = next((run for run in mine if run.playbook == name), None)
        run = self._store.run(situation.project_id, latest.id) if latest else None
        steps = run.steps if run else []
        return {word for step in steps if step.name == "gather" for word in step.detail.get("corrections", [])}
