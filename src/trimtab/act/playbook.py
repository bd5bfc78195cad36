"""The playbook that answers an incident, or a batch of reviews: effects beside it, then gather, build, gate, expose.

Each step commits its effects and its own RunStep in one transaction. A step that runs again after a crash finds its
RunStep and returns what it says, so no effect happens twice; what DBOS adds is that the next step follows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.port import Effect, Proposal, Situation, VersionAction
from trimtab.act.actions.reviewed import ReviewedAction
from trimtab.act.actions.rollback import RollbackAction
from trimtab.act.aftermath import kept, undone
from trimtab.act.checks.desk import ExamDesk
from trimtab.act.evidence import Evidence
from trimtab.act.gate import judging, run_gate, still_asked
from trimtab.act.goback import gone_back
from trimtab.act.guard.agreement import Agreement
from trimtab.act.guard.candidate import admitted, refusal
from trimtab.act.guard.held import set_aside
from trimtab.act.notices import Notices
from trimtab.act.order import NOTICE, REVIEWED, Order, Step
from trimtab.act.planning import Planning
from trimtab.act.rollout import exposed, held_back
from trimtab.act.runner import Runner, check_of
from trimtab.act.trial import author_consumer
from trimtab.clock import Clock
from trimtab.config import Settings
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id
from trimtab.records import Case, Change, ChangeKind, Run, RunStep, Version
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import HotStore, Query, Vote, Writes

__all__ = ["IncidentPlaybook"]


class IncidentPlaybook:
    """Takes an incident through the actions that the settings name, as far as the canary; reviewed answers as well.

    Without a `clock` every step happens at its order's time. With one, a candidate is exposed when it really is: votes
    from the hours that a slow gate took are no evidence on it. `turn` is the lock of `Decisions`: a run that a person
    has cancelled writes nothing more. Raises ConfigError where `playbook.actions` names an action that is neither among
    `actions` (exemplars where none are given) nor `effects`.
    """

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        settings: Settings,
        runner: Runner,
        *,
        clock: Clock | None = None,
        actions: Sequence[VersionAction] = (),
        effects: Sequence[Effect] = (),
        notices: Notices | None = None,
        turn: AbstractContextManager[Any] | None = None,
        exams: ExamDesk | None = None,
        reviewed: ReviewedAction | None = None,
    ) -> None:
        self.exams = exams or ExamDesk(store, cleaners, settings, runner, turn=turn)
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._clock = clock
        self._evidence = Evidence(store, settings)
        self._notices = notices or Notices(store, settings.notify)
        self._actions: dict[str, VersionAction] = {
            action.kind: action
            for action in actions or [RollbackAction(store, settings), ExemplarAction(self._evidence)]
        }
        self._effects = {effect.name: effect for effect in effects}
        self.reviewed = reviewed or ReviewedAction(self._evidence, ExemplarAction(self._evidence))
        self.planning = Planning(store, settings, self._evidence, self._actions, self._effects)

    def steps(self, order: Order) -> list[tuple[str, Step]]:
        """Return the steps of a run in order."""
        if not order.incident_id and order.action != REVIEWED:
            return [("build", self.take), ("gate", self.gate), ("expose", self.expose)]
        beside: list[tuple[str, Step]] = [(f"do_{name}", partial(self._effect, name=name)) for name in order.effects]
        if order.action == NOTICE:
            return [*beside, ("close", self.close)]
        if order.action == "rollback":
            return [*beside, ("gather", self.gather), ("restore", self.restore)]
        return [
            *beside,
            ("gather", self.gather),
            ("build", self.build),
            ("gate", self.gate),
            ("expose", self.expose),
        ]

    def agreements(self, project_id: str, feature: str, now: datetime) -> list[Agreement]:
        """Return what is set aside of a feature's corrections: it neither builds nor judges."""
        return self._evidence.agreements(project_id, feature, now)

    def gather(self, order: Order) -> dict[str, Any]:
        """Choose the evidence: the build part for the action, the judge part as golden cases."""

        def work() -> tuple[Writes, dict[str, Any]]:
            project_id, feature = order.project_id, order.feature
            if order.action == REVIEWED:
                base = self._evidence.served(project_id, feature)
                words, gathered = self.reviewed.gather(project_id, base, order.now)
            else:
                gathered = self._action(order).gather(self._situation(order))
                words = self._evidence.judge(project_id, feature, order.now)
            cases = [
                Case(
                    id=derived_id("case", item.feedback_id),
                    feature=feature,
                    created_at=order.now,
                    input=item.input,
                    expected=item.corrected,
                    check=check_of(self._settings, feature),
                    incident_id=order.incident_id or None,
                    feedback_id=item.feedback_id,
                )
                for item in words
            ]
            sealed = seal_all(self._cleaners.of(project_id), cases)
            aside = sum(len(each.corrections) for each in self._aside(order))
            return Writes(runs=[_begun(order)], cases=sealed), {**gathered, "cases": len(cases), "set_aside": aside}

        return self._once(order, "gather", work)

    def take(self, order: Order) -> dict[str, Any]:
        """Take up the change that a person proposed: it was written, with its candidate, before the run began."""

        def work() -> tuple[Writes, dict[str, Any]]:
            change = self._store.change(order.project_id, derived_id("change", order.run_id))
            if change is None:
                raise NotFound(f"no change of run {order.run_id!r}", param=order.run_id)
            return Writes(), {"change": change.id, "version": change.candidate_version_id}

        return self._once(order, "build", work)

    def build(self, order: Order) -> dict[str, Any]:
        """Let the action make its candidate."""

        def work() -> tuple[Writes, dict[str, Any]]:
            gathered = self._detail(order, "gather")
            base = self._evidence.served(order.project_id, order.feature)
            kind, proposal = self._proposed(order, base, gathered)
            aside = self._aside(order)
            change = Change(
                id=derived_id("change", order.run_id),
                feature=order.feature,
                kind=kind,
                state="building",
                created_at=order.now,
                base_version_id=base.id,
                run_id=order.run_id,
                incident_id=order.incident_id or gathered.get("incident"),
                reason=set_aside(aside),
            )
            if proposal.version is None:
                empty = msgspec.structs.replace(change, state="empty", reason=self._clean(order, proposal.reason))
                return Writes(changes=[empty]), {"change": change.id, "version": None, **proposal.detail}
            held = {feedback_id for each in aside for feedback_id in each.corrections}
            linted = admitted(proposal.version, base, aside=held, settings=self._settings.guard, now=order.now)
            version = msgspec.structs.replace(
                linted.version,
                created_at=order.now,
                parent_id=base.id,
                incident_id=change.incident_id,
                change_id=change.id,
            )
            sealed = seal(self._cleaners.of(order.project_id), version)
            change = msgspec.structs.replace(change, candidate_version_id=sealed.record.id)
            if linted.refused:
                change = msgspec.structs.replace(change, reason=self._clean(order, refusal(linted.refused)))
            if sealed.record.id == base.id and linted.refused:
                change = msgspec.structs.replace(change, state="blocked")
            elif sealed.record.id == base.id:
                reason = proposal.reason or f"the {kind} changes nothing"
                change = msgspec.structs.replace(change, state="empty", reason=self._clean(order, reason))
            elif self._was_rolled_back(order, sealed.record.id):
                change = msgspec.structs.replace(change, state="blocked", reason="this version was rolled back before")
            detail = {"change": change.id, "version": sealed.record.id, **proposal.detail}
            if linted.refused:
                detail["refused"] = linted.refused
            authors = self._authors(order, change, gathered)
            writes = Writes(changes=[change], versions=[sealed], votes=authors)
            writes.retired += ((case_id, order.now) for case_id in self._over(order, base, gathered))
            return writes, detail

        return self._once(order, "build", work)

    def _over(self, order: Order, base: Version, gathered: dict[str, Any]) -> list[str]:
        """Return the cases that expect an answer which reviewers found out of date: they are asked no more.

        Not those that must pass: who wrote one must say so, and until then the gate refuses the change.
        """
        if order.action != REVIEWED or not gathered["renewed"]:
            return []
        old = self.reviewed.outdated(order.project_id, base, gathered, order.now)
        known = self._store.cases(order.project_id, order.feature)
        return [case.id for case in known if case.expected in old and case.severity != "must_pass"]

    def _proposed(self, order: Order, base: Version, gathered: dict[str, Any]) -> tuple[ChangeKind, Proposal]:
        if order.action == REVIEWED:
            proposal = self.reviewed.propose(order.project_id, base, gathered, order.now)
            return "knowledge" if proposal.version and not proposal.detail.get("exemplars") else "exemplar", proposal
        action = self._action(order)
        return action.kind, action.propose(self._situation(order), gathered)

    def gate(self, order: Order) -> dict[str, Any]:
        """Let both versions answer the golden cases and write the verdict on the change."""

        def work() -> tuple[Writes, dict[str, Any]]:
            change = self._change(order)
            if change.state != "building" or change.candidate_version_id is None:
                return Writes(), {"verdict": None}
            held = {feedback_id for each in self._aside(order) for feedback_id in each.corrections}
            known = self._store.cases(order.project_id, order.feature)
            since = order.now - timedelta(days=self._settings.playbook.lookback_days)
            cases = judging(case for case in known if case.feedback_id not in held and still_asked(case, since))
            now, go_on = self._now(order), partial(self._expect_wanted, order)
            sitting = self.exams.sit(order.project_id, order.feature, cases, now, go_on)
            stable = self._version(order, change.base_version_id)
            candidate = self._version(order, change.candidate_version_id)
            # What one user alone is shown can mend no case of others: it is asked for no more than doing no harm.
            mends = _for_everyone(stable) != _for_everyone(candidate)
            report = run_gate(
                sitting.exam,
                stable=stable,
                candidate=candidate,
                cases=cases,
                targets={case.id for case in cases if mends and case.incident_id == order.incident_id},
                margin=self._settings.gate.margin,
                judge=msgspec.to_builtins(sitting.judge) if sitting.judge else None,
            )
            lost = undone(self._proven(order), kept(report.results))
            if lost is not None and report.verdict != "fail":
                report = msgspec.structs.replace(report, verdict="fail", reason=f"forgets: {lost.reason}")
            if report.verdict != "fail" and (beside := self.exams.shadow(order.project_id, stable, candidate, go_on)):
                report = msgspec.structs.replace(report, shadow=msgspec.to_builtins(beside))
            change = msgspec.structs.replace(change, gate=report, gated_at=self._now(order))
            if report.verdict == "fail":
                change = msgspec.structs.replace(change, state="blocked", reason=report.reason)
            told = {"verdict": report.verdict, "cases": report.cases, "undecided": report.undecided}
            old = self.exams.forget_old(order.feature, now)
            return Writes(changes=[change], case_answers_before=old), told

        return self._once(order, "gate", work)

    def expose(self, order: Order) -> dict[str, Any]:
        """Give the candidate its first share of users, or leave it waiting for a person where the policy says ask."""

        def work() -> tuple[Writes, dict[str, Any]]:
            change, now = self._change(order), self._now(order)
            writes = Writes()
            if change.state == "building":
                if self.planning.policy(order.feature, order.action) == "ask":
                    change = msgspec.structs.replace(change, state="awaiting", reason="waits for approval")
                else:
                    share = self._settings.canary.steps[0]
                    rollout = self._evidence.rollout(order.project_id, order.feature)
                    switch = exposed(rollout, change, share, now)
                    writes.switches.append(held_back(switch, rollout, self._settings.canary.holdback))
                    trial = {"steps": [[now.isoformat(), share]]}
                    change = msgspec.structs.replace(change, state="canary", exposed_at=now, step_at=now, canary=trial)
                writes.changes.append(change)
            writes.runs += self._done(order, now, change.id)
            return writes, {"state": change.state}

        return self._once(order, "expose", work)

    def restore(self, order: Order) -> dict[str, Any]:
        """Serve the version before a bad release again: no gate, no canary, no model, one commit."""

        def work() -> tuple[Writes, dict[str, Any]]:
            situation, now = self._situation(order), self._now(order)
            proposal = self._action(order).propose(situation, self._detail(order, "gather"))
            change = Change(
                id=derived_id("change", order.run_id),
                feature=order.feature,
                kind="rollback",
                state="awaiting",
                created_at=order.now,
                base_version_id=situation.base.id,
                candidate_version_id=proposal.version.id if proposal.version else None,
                run_id=order.run_id,
                incident_id=order.incident_id,
                reason="waits for approval",
            )
            if proposal.version is None:
                change = msgspec.structs.replace(change, state="empty", reason=proposal.reason)
            if change.state == "empty" or self.planning.policy(order.feature, order.action) == "ask":
                writes = Writes(changes=[change])
            else:
                rollout = self._evidence.rollout(order.project_id, order.feature)
                told = f"{situation.base.id} is worse than what was served before it"
                writes = gone_back(self._store, order.project_id, change, rollout, now, told)
            writes.runs += self._done(order, now, change.id)
            return writes, {"change": change.id, "version": change.candidate_version_id}

        return self._once(order, "restore", work)

    def close(self, order: Order) -> dict[str, Any]:
        """End a run that changes nothing."""
        return self._once(order, "close", lambda: (Writes(runs=self._done(order, self._now(order), None)), {}))

    def fail(self, order: Order, reason: str) -> None:
        """Write down that a run cannot go on, and block its change: the incident stays open for the next attempt."""
        run = self._store.run(order.project_id, order.run_id) or _begun(order)
        if run.state != "running":
            return
        line = self._clean(order, reason)
        ended = msgspec.structs.replace(run, state="failed", ended_at=self._now(order), error=line, steps=[])
        writes = Writes(runs=[ended])
        change = self._store.change(order.project_id, derived_id("change", order.run_id))
        if change is not None and change.state in ("building", "awaiting"):
            writes.changes.append(msgspec.structs.replace(change, state="blocked", reason=line))
        self._store.commit({order.project_id: writes})

    def _effect(self, order: Order, *, name: str) -> dict[str, Any]:
        """Do one effect: its rows and the word that it was done are one commit."""

        def work() -> tuple[Writes, dict[str, Any]]:
            writes, detail = self._effects[name].apply(self._situation(order))
            writes.runs.append(_begun(order))
            return writes, detail

        return self._once(order, f"do_{name}", work)

    def _once(self, order: Order, name: str, work: Callable[[], tuple[Writes, dict[str, Any]]]) -> dict[str, Any]:
        """Do a step's work and write it down in one commit; a step written down already is not done again."""
        done = self._recorded(order, name)
        if done is not None:
            return done
        self._expect_wanted(order)
        started_at = self._now(order)
        writes, detail = work()
        step = RunStep(name=name, started_at=started_at, ended_at=self._now(order), detail=detail)
        writes.steps.append((order.run_id, step))
        self._notices.add(order.project_id, writes, self._now(order))
        with self._turn:
            self._expect_wanted(order)
            self._store.commit({order.project_id: writes})
        return detail

    def _expect_wanted(self, order: Order) -> None:
        run = self._store.run(order.project_id, order.run_id)
        if run is not None and run.state == "cancelled":
            raise Conflict(f"run {order.run_id!r} was cancelled")

    def _situation(self, order: Order) -> Situation:
        incident = self._store.incident(order.project_id, order.incident_id)
        if incident is None:
            raise NotFound(f"no incident {order.incident_id!r}", param=order.incident_id)
        base = self._evidence.served(order.project_id, order.feature)
        return Situation(order.project_id, incident, base, order.now, order.run_id)

    def _aside(self, order: Order) -> list[Agreement]:
        return self._evidence.agreements(order.project_id, order.feature, order.now)

    def _authors(self, order: Order, change: Change, gathered: dict[str, Any]) -> list[Vote]:
        """Name those whose words make the candidate or judge it as golden cases: its trial does not hear them again."""
        told = set(gathered.get("corrections", []))
        if order.action == REVIEWED:  # users who say so too wrote none of it
            authors = self._evidence.sayers(order.project_id, [*told, *gathered["judging"]])
        else:
            for case in self._store.cases(order.project_id, order.feature, retired=True):  # may come back
                if case.incident_id == order.incident_id and case.feedback_id:
                    told.add(case.feedback_id)
            authors = self._evidence.authors(order.project_id, order.feature, told, order.now)
        return [Vote(author_consumer(change.id), author, order.now) for author in sorted(authors)]

    def _proven(self, order: Order) -> list[Change]:
        query = Query(feature=order.feature, limit=200)
        return [row.record for row in self._store.changes(order.project_id, query, states=("verified",)).rows]

    def _action(self, order: Order) -> VersionAction:
        action = self._actions.get(order.action)
        if action is None:
            raise NotFound(
                f"this engine has no action {order.action!r}; name it in playbook.actions", param=order.action
            )
        return action

    def _clean(self, order: Order, reason: str) -> str:
        return self._cleaners.of(order.project_id).batch([reason])[0][:2000]

    def _now(self, order: Order) -> datetime:
        return self._clock.now() if self._clock else order.now

    def _done(self, order: Order, now: datetime, change_id: str | None) -> list[Run]:
        run = self._store.run(order.project_id, order.run_id) or _begun(order)
        return [msgspec.structs.replace(run, state="done", ended_at=now, change_id=change_id, steps=[])]

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

    def _version(self, order: Order, version_id: str) -> Version:
        version = self._store.version(order.project_id, order.feature, version_id)
        if version is None:
            raise NotFound(f"no version {version_id!r} of {order.feature!r}", param=version_id)
        return version

    def _change(self, order: Order) -> Change:
        change_id = self._detail(order, "build")["change"]
        change = self._store.change(order.project_id, change_id)
        if change is None:
            raise NotFound(f"no change {change_id!r}", param=change_id)
        return change


def _begun(order: Order) -> Run:
    return Run(
        id=order.run_id,
        playbook=order.action,
        feature=order.feature,
        state="running",
        started_at=order.now,
        incident_id=order.incident_id or None,
        progress={"effects": list(order.effects)} if order.effects else {},
    )


def _for_everyone(version: Version) -> str:
    """Return the id that a version would have without the exemplars that are for one user or tenant."""
    shown = [item for item in version.exemplars if not item.audience]
    return msgspec.structs.replace(version, exemplars=shown).identified().id
