"""When what reviewers said is learned: by itself once enough of it came together, and whenever somebody wants it."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trimtab.act.actions.port import Plan
from trimtab.act.order import REVIEWED, Order
from trimtab.act.planning import expect_idle, is_idle
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.rounds import Rounds
from trimtab.act.runs import Runs
from trimtab.config import Settings
from trimtab.errors import Conflict
from trimtab.ids import derived_id
from trimtab.records import Feature, Run
from trimtab.store.ports import HotStore, Writes

__all__ = ["LearnDesk"]

_LOOK = timedelta(hours=1)


class LearnDesk:
    """Starts the runs that learn what reviewers said. `turn` is the lock of `Decisions`."""

    name = "learn"

    def __init__(
        self,
        store: HotStore,
        settings: Settings,
        playbook: IncidentPlaybook,
        runs: Runs,
        *,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._playbook = playbook
        self._runs = runs
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._rounds = Rounds(store, _LOOK)

    def tick(self, now: datetime) -> int:
        """Look at each feature once an hour; handle at most one per tick and return how many were."""
        if self._settings.review.learn_from == 0:
            return 0
        return self._rounds.tick(now, self._look)

    def plan(self, project_id: str, feature: str, now: datetime) -> Plan:
        """Say what would be learned now; nothing is done. Raises NotFound for a feature that serves nothing."""
        found = self._playbook.reviewed.plan(project_id, feature, now)
        return msgspec.structs.replace(found, policy=self._playbook.planning.policy(feature, REVIEWED))

    def order(self, project_id: str, feature: str, now: datetime) -> Order:
        """Learn it now. Raises NotFound for a feature that serves nothing, Conflict where nothing is new or one waits.

        Where the policy is "ask" the candidate waits for approval once the gate has passed it, else its trial begins.
        """
        plan = self.plan(project_id, feature, now)
        if not plan.possible:
            raise Conflict(f"nothing to learn for {feature!r}: {plan.reason}")
        return self._start(project_id, feature, now)

    def _look(self, project_id: str, feature: Feature, now: datetime) -> None:
        with suppress(Conflict):  # a person was first
            if self._is_due(project_id, feature.name, now):
                self._start(project_id, feature.name, now)

    def _start(self, project_id: str, feature: str, now: datetime) -> Order:
        """Write the run down, then start it: one that was cut off in between is taken up by the act stage."""
        before = self._playbook.reviewed.latest(project_id, feature)
        run_id = derived_id("run", project_id, feature, now.isoformat(), before.id if before else REVIEWED)
        order = Order(project_id=project_id, run_id=run_id, feature=feature, incident_id="", now=now, action=REVIEWED)
        run = Run(id=run_id, playbook=REVIEWED, feature=feature, state="running", started_at=now)
        with self._turn:
            expect_idle(self._store, project_id, feature)
            self._store.commit({project_id: Writes(runs=[run])})
        self._runs.start(order)
        return order

    def _is_due(self, project_id: str, feature: str, now: datetime) -> bool:
        """Say whether enough was said, or what was said has waited for long, and nothing else is under way."""
        if self._playbook.planning.policy(feature, REVIEWED) == "never":
            return False
        if self._store.rollout(project_id, feature) is None or not is_idle(self._store, project_id, feature):
            return False
        latest = self._playbook.reviewed.latest(project_id, feature)
        if latest is not None and now - latest.started_at < timedelta(hours=self._settings.playbook.cooldown_hours):
            return False
        said = self._playbook.reviewed.new(project_id, feature, now)
        waited = now - timedelta(days=self._settings.review.every_days)
        enough = len(said.wrong) >= self._settings.review.learn_from
        return bool(said.renewed) or enough or any(word.created_at <= waited for word in said.wrong)
