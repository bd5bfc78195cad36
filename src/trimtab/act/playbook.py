"""The playbook that answers an incident with exemplars: gather, build, gate, expose.

Each step commits its effects and its own RunStep in one transaction. A step that runs again after a crash finds its
RunStep and returns what it says, so no effect happens twice; what DBOS adds is that the next step follows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from trimtab.act.gate import MAX_CASES, run_gate
from trimtab.act.rollout import exposed
from trimtab.act.runner import Runner
from trimtab.clock import Clock
from trimtab.config import Settings
from trimtab.errors import NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import Case, Change, Correction, Exemplar, Incident, Rollout, Run, RunStep, Version, text_of
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.stats.bucket import split_part
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["PLAYBOOK", "ExemplarPlaybook", "Order", "Step", "part_of"]

PLAYBOOK = "exemplar"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was started for. Nothing but ids, names and a time: it is kept in the workflow's own database."""

    project_id: str
    run_id: str
    feature: str
    incident_id: str
    now: datetime


class Step(Protocol):
    """One step of a playbook: does its work for an order and returns ids and counts as plain JSON."""

    def __call__(self, order: Order) -> dict[str, Any]:
        """Do the step, or return what it did before."""
        ...


def part_of(correction: Correction) -> str:
    """Return "build" or "judge": split by the user whose answer was wrong, so that no person's words do both."""
    return split_part(correction.user_id or correction.inference_id)


class ExemplarPlaybook:
    """Makes a candidate Version from what people said the right answers are, and takes it as far as the canary.

    Without a `clock` every step happens at its order's time. With one, a candidate is exposed when it really is: votes
    from the hours that a slow gate took are no evidence on it.
    """

    def __init__(
        self, store: HotStore, cleaners: Cleaners, settings: Settings, runner: Runner, *, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._runner = runner
        self._clock = clock

    @property
    def steps(self) -> list[tuple[str, Step]]:
        """The steps in order."""
        return [("gather", self.gather), ("build", self.build), ("gate", self.gate), ("expose", self.expose)]

    def mode(self, feature: str) -> str:
        """Return the approval policy of a feature: auto, ask or off."""
        override = self._settings.features.get(feature)
        return (override.playbook if override else None) or self._settings.playbook.mode

    def available(self, project_id: str, incident: Incident, now: datetime) -> list[Correction]:
        """Return the build part of corrections that no exemplar of the served version stands for yet, newest first."""
        stable = self._served(project_id, incident.feature)
        used = {item.source_feedback_id for item in stable.exemplars}
        return [
            item
            for item in self._corrections(project_id, incident.feature, now)
            if item.feedback_id not in used and part_of(item) == "build"
        ]

    def gather(self, order: Order) -> dict[str, Any]:
        """Choose the corrections: the build part becomes exemplars, the judge part golden cases of this incident."""

        def work() -> tuple[Writes, dict[str, Any]]:
            incident = self._incident(order)
            found = self.available(order.project_id, incident, order.now)
            limit = self._settings.playbook.max_exemplars
            known = {case.feedback_id for case in self._store.cases(order.project_id, order.feature)}
            judged = [
                item
                for item in self._corrections(order.project_id, order.feature, order.now)
                if item.feedback_id not in known and part_of(item) == "judge"
            ]
            cases = [
                Case(
                    id=derived_id("case", item.feedback_id),
                    feature=order.feature,
                    created_at=order.now,
                    input=item.input,
                    expected=item.corrected,
                    check="similar" if self._settings.runner.kind == "llm" else "exact",
                    incident_id=order.incident_id,
                    feedback_id=item.feedback_id,
                )
                for item in judged
            ]
            detail = {"corrections": [item.feedback_id for item in found[:limit]], "cases": len(cases)}
            return Writes(runs=[_begun(order)], cases=seal_all(self._cleaners.of(order.project_id), cases)), detail

        return self._once(order, "gather", work)

    def build(self, order: Order) -> dict[str, Any]:
        """Make the candidate: the served version plus the new exemplars; on the same input the later word wins."""

        def work() -> tuple[Writes, dict[str, Any]]:
            chosen = self._detail(order, "gather")["corrections"]
            base = self._served(order.project_id, order.feature)
            change = Change(
                id=derived_id("change", order.run_id),
                feature=order.feature,
                kind="exemplar",
                state="building",
                created_at=order.now,
                base_version_id=base.id,
                run_id=order.run_id,
                incident_id=order.incident_id,
            )
            if len(chosen) < self._settings.playbook.min_corrections:
                reason = f"{len(chosen)} usable corrections, {self._settings.playbook.min_corrections} needed"
                empty = msgspec.structs.replace(change, state="empty", reason=reason)
                return Writes(changes=[empty]), {"change": change.id, "version": None, "exemplars": 0}
            fresh = self._exemplars(order, chosen)
            said = {_key(item.input) for item in fresh}
            version = Version(
                feature=order.feature,
                created_at=order.now,
                messages=base.messages,
                model=base.model,
                parameters=base.parameters,
                rules=base.rules,
                exemplars=[*(item for item in base.exemplars if _key(item.input) not in said), *fresh],
                parent_id=base.id,
                incident_id=order.incident_id,
                change_id=change.id,
            )
            sealed = seal(self._cleaners.of(order.project_id), version)
            change = msgspec.structs.replace(change, candidate_version_id=sealed.record.id)
            if sealed.record.id == base.id:
                change = msgspec.structs.replace(change, state="empty", reason="the exemplars change nothing")
            elif self._was_rolled_back(order, sealed.record.id):
                change = msgspec.structs.replace(change, state="blocked", reason="this version was rolled back before")
            detail = {"change": change.id, "version": sealed.record.id, "exemplars": len(fresh)}
            return Writes(changes=[change], versions=[sealed]), detail

        return self._once(order, "build", work)

    def gate(self, order: Order) -> dict[str, Any]:
        """Let both versions answer the golden cases and write the verdict on the change."""

        def work() -> tuple[Writes, dict[str, Any]]:
            change = self._change(order)
            if change.state != "building" or change.candidate_version_id is None:
                return Writes(), {"verdict": None}
            cases = _judging(self._store.cases(order.project_id, order.feature))
            report = run_gate(
                self._runner,
                stable=self._version(order, change.base_version_id),
                candidate=self._version(order, change.candidate_version_id),
                cases=cases,
                targets={case.id for case in cases if case.incident_id == order.incident_id},
                margin=self._settings.gate.margin,
                repeats=self._settings.gate.repeats,
            )
            change = msgspec.structs.replace(change, gate=report, gated_at=self._now(order))
            if report.verdict == "fail":
                change = msgspec.structs.replace(change, state="blocked", reason=report.reason)
            return Writes(changes=[change]), {"verdict": report.verdict, "cases": report.cases}

        return self._once(order, "gate", work)

    def expose(self, order: Order) -> dict[str, Any]:
        """Give the candidate its first share of users, or leave it waiting for a person where the policy says ask."""

        def work() -> tuple[Writes, dict[str, Any]]:
            change, now = self._change(order), self._now(order)
            writes = Writes()
            if change.state == "building":
                if self.mode(order.feature) == "ask":
                    change = msgspec.structs.replace(change, state="awaiting", reason="waits for approval")
                else:
                    share = self._settings.canary.steps[0]
                    rollout = self._rollout(order.project_id, order.feature)
                    writes.switches.append(exposed(rollout, change, share, now))
                    trial = {"steps": [[now.isoformat(), share]]}
                    change = msgspec.structs.replace(change, state="canary", exposed_at=now, step_at=now, canary=trial)
                writes.changes.append(change)
            run = self._store.run(order.project_id, order.run_id)
            if run is not None:
                done = msgspec.structs.replace(run, state="done", ended_at=now, change_id=change.id, steps=[])
                writes.runs.append(done)
            return writes, {"state": change.state}

        return self._once(order, "expose", work)

    def fail(self, order: Order, reason: str) -> None:
        """Write down that a run cannot go on, and block its change: the incident stays open for the next attempt."""
        run = self._store.run(order.project_id, order.run_id) or _begun(order)
        if run.state != "running":
            return
        line = self._cleaners.of(order.project_id).batch([reason])[0][:2000]
        ended = msgspec.structs.replace(run, state="failed", ended_at=self._now(order), error=line, steps=[])
        writes = Writes(runs=[ended])
        change = self._store.change(order.project_id, derived_id("change", order.run_id))
        if change is not None and change.state in ("building", "awaiting"):
            writes.changes.append(msgspec.structs.replace(change, state="blocked", reason=line))
        self._store.commit({order.project_id: writes})

    def _once(self, order: Order, name: str, work: Callable[[], tuple[Writes, dict[str, Any]]]) -> dict[str, Any]:
        """Do a step's work and write it down in one commit; a step written down already is not done again."""
        done = self._recorded(order, name)
        if done is not None:
            return done
        started_at = self._now(order)
        writes, detail = work()
        step = RunStep(name=name, started_at=started_at, ended_at=self._now(order), detail=detail)
        writes.steps.append((order.run_id, step))
        self._store.commit({order.project_id: writes})
        return detail

    def _now(self, order: Order) -> datetime:
        return self._clock.now() if self._clock else order.now

    def _was_rolled_back(self, order: Order, version_id: str) -> bool:
        """Say whether users or a person have refused this very version: the same corrections make it again."""
        query = Query(feature=order.feature, version_id=version_id, limit=1)
        return bool(self._store.changes(order.project_id, query, states=("rolled_back",)).rows)

    def _recorded(self, order: Order, name: str) -> dict[str, Any] | None:
        run = self._store.run(order.project_id, order.run_id)
        return next((step.detail for step in run.steps if step.name == name), None) if run else None

    def _detail(self, order: Order, name: str) -> dict[str, Any]:
        detail = self._recorded(order, name)
        if detail is None:
            raise NotFound(f"run {order.run_id!r} has no step {name!r}", param=order.run_id)
        return detail

    def _exemplars(self, order: Order, feedback_ids: list[str]) -> list[Exemplar]:
        chosen = set(feedback_ids)
        latest: dict[str, Exemplar] = {}
        for item in self._corrections(order.project_id, order.feature, order.now):  # newest first
            if item.feedback_id in chosen:
                text = text_of(item.input)
                latest.setdefault(
                    _key(text),
                    Exemplar(
                        id=content_id("x", item.feedback_id.encode()),
                        input=text,
                        output=item.corrected,
                        source_feedback_id=item.feedback_id,
                        added_at=order.now,
                    ),
                )
        return list(latest.values())

    def _corrections(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        since = now - timedelta(days=self._settings.playbook.lookback_days)
        query = Query(feature=feature, since=since, limit=10_000)
        rows = [row.record for row in self._store.corrections(project_id, query).rows]
        return sorted(rows, key=lambda item: (item.created_at, item.feedback_id), reverse=True)

    def _rollout(self, project_id: str, feature: str) -> Rollout:
        rollout = self._store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return rollout

    def _served(self, project_id: str, feature: str) -> Version:
        stable = self._store.version(project_id, feature, self._rollout(project_id, feature).stable_version_id)
        if stable is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return stable

    def _version(self, order: Order, version_id: str) -> Version:
        version = self._store.version(order.project_id, order.feature, version_id)
        if version is None:
            raise NotFound(f"no version {version_id!r} of {order.feature!r}", param=version_id)
        return version

    def _incident(self, order: Order) -> Incident:
        incident = self._store.incident(order.project_id, order.incident_id)
        if incident is None:
            raise NotFound(f"no incident {order.incident_id!r}", param=order.incident_id)
        return incident

    def _change(self, order: Order) -> Change:
        change_id = self._detail(order, "build")["change"]
        change = self._store.change(order.project_id, change_id)
        if change is None:
            raise NotFound(f"no change {change_id!r}", param=change_id)
        return change


def _begun(order: Order) -> Run:
    return Run(
        id=order.run_id,
        playbook=PLAYBOOK,
        feature=order.feature,
        state="running",
        started_at=order.now,
        incident_id=order.incident_id,
    )


def _judging(cases: list[Case]) -> list[Case]:
    """Return the cases a gate can afford: the newest, but never without one that must pass."""
    must = [case for case in cases if case.severity == "must_pass"]
    rest = [case for case in cases if case.severity != "must_pass"]
    return [*must, *rest[-max(MAX_CASES - len(must), 1) :]]


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
