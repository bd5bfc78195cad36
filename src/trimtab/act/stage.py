"""The act stage: starts a run for each incident that needs one, and moves every change on trial by live evidence."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from trimtab.act.aftermath import is_worse, recurs, reopened, was_brought_lately
from trimtab.act.evidence import heard_consumer, pleased_consumer
from trimtab.act.guard.held import set_aside, told
from trimtab.act.guardrails import weighed
from trimtab.act.listening import ANSWERS_CURSOR, Answers, Listening
from trimtab.act.memory import ExemplarMemory, FittedMemory
from trimtab.act.notices import Notices
from trimtab.act.order import NOTICE, Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.rollout import held_back, promoted, returned, stepped, withdrawn
from trimtab.act.runs import Runs
from trimtab.act.trial import (
    Decision,
    Trial,
    author_consumer,
    control_consumer,
    harm_consumer,
    help_consumer,
    people_consumer,
)
from trimtab.config import Settings
from trimtab.errors import Conflict
from trimtab.records import Change, ChangeState, Incident, Inference, Outcome, Rollout, Run
from trimtab.store.ports import HotStore, Query, Vote, Writes

__all__ = ["CURSOR", "ActStage"]

CURSOR = "act"
_LIVE: tuple[ChangeState, ...] = ("awaiting", "canary", "paused", "promoted")
_UNDER_WAY: tuple[ChangeState, ...] = ("building", "awaiting", "canary", "paused")
_WATCHED: tuple[ChangeState, ...] = ("promoted", "verified")


class _Scene(NamedTuple):
    """What a tick finds of a project: changes to be heard, what each feature serves, incidents that are open."""

    live: list[Change]
    rollouts: dict[str, Rollout]
    incidents: dict[str, Incident]


class ActStage:
    """Reads outcomes for the trials under way, decides, and starts runs.

    Trials, vote caps, pointer switches and the cursor are committed together, in turn with people's decisions (`turn`,
    the lock of `Decisions`). Were a rollout switched in the same moment all the same, the commit is refused as a whole,
    and the next tick sees the new state.
    """

    name = "act"

    def __init__(
        self,
        store: HotStore,
        settings: Settings,
        playbook: IncidentPlaybook,
        runs: Runs,
        *,
        turn: AbstractContextManager[Any] | None = None,
        notices: Notices | None = None,
        follows: str | None = None,
        memory: ExemplarMemory | FittedMemory | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._playbook = playbook
        self._runs = runs
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._notices = notices or Notices(store, settings.notify)
        rows = settings.engine.batch_rows
        self._listening = Listening(store, settings.canary, batch_rows=rows, follows=follows, memory=memory)
        self._new: set[str] = set()  # incidents that fire and were looked at: nothing proven earlier had come back

    def tick(self, now: datetime) -> int:
        """Advance trials by at most one batch of rows, then start what is due; return how many rows were read."""
        try:
            with self._turn:
                handled = self._judge(now)
        except Conflict:
            return 0
        for project in self._store.projects():
            self._notices.seen(project.id, now)
            self._start_runs(project.id, now)
        return handled

    def _judge(self, now: datetime) -> int:
        rows = self._store.outcomes_after(self._store.cursor(CURSOR), self._settings.engine.batch_rows)
        by_project: dict[str, dict[str, list[Outcome]]] = {}
        for row in rows:
            by_project.setdefault(row.project_id, {}).setdefault(row.record.feature, []).append(row.record)
        scenes = {project.id: self._scene(project.id, now) for project in self._store.projects()}
        answers = self._listening.answers(
            (project_id, change, scene.rollouts.get(change.feature))
            for project_id, scene in scenes.items()
            for change in scene.live
        )
        self._new &= {incident_id for scene in scenes.values() for incident_id in scene.incidents}
        writes: dict[str, Writes] = {}
        for project_id, scene in scenes.items():
            written = self._advance(project_id, scene, by_project.get(project_id, {}), answers, now)
            if written.changes or written.incidents or written.votes:
                self._notices.add(project_id, written, now)
                writes[project_id] = written
        cursors = {CURSOR: rows[-1].seq} if rows else {}
        if answers.cursor is not None:
            cursors[ANSWERS_CURSOR] = answers.cursor
        if cursors or writes:
            self._store.commit(writes, cursors=cursors)
        return len(rows) + answers.rows

    def _scene(self, project_id: str, now: datetime) -> _Scene:
        """Read once what every change asks for: a look of its own for each would be hundreds of queries a tick.

        Changes are those under way, and those that were proven and are watched for a while yet.
        """
        live = [row.record for row in self._store.changes(project_id, Query(limit=1000), states=_LIVE).rows]
        proven = self._store.changes(project_id, Query(limit=100), states=("verified",)).rows
        live += [row.record for row in proven if was_brought_lately(row.record, now)]
        held = self._store.incidents(project_id, Query(limit=1000), states=("firing", "recovering"))
        incidents = {row.record.id: row.record for row in held.rows}
        return _Scene(live, self._store.rollouts(project_id), incidents)

    def _advance(
        self,
        project_id: str,
        scene: _Scene,
        outcomes: dict[str, list[Outcome]],
        answers: Answers,
        now: datetime,
    ) -> Writes:
        writes = Writes(votes=self._newcomers(project_id, outcomes))
        for change in scene.live:
            heard = answers.by_feature.get((project_id, change.feature), [])
            if change.state == "verified":
                self._watch(project_id, scene, change, heard, now, writes)
            else:
                self._try(project_id, scene, change, outcomes.get(change.feature, []), heard, now, writes)
        after = {change.id: change for change in (*scene.live, *writes.changes)}
        self._follow(project_id, scene, list(after.values()), now, writes)
        self._recur(project_id, scene, list(after.values()), now, writes)
        return writes

    def _newcomers(self, project_id: str, outcomes: dict[str, list[Outcome]]) -> list[Vote]:
        """Remember when each voter was first heard of, and first pleased: by our clock, a vote's is its sender's."""
        found: list[Vote] = []
        for feature, rows in outcomes.items():
            voted = [row for row in rows if row.voter_id is not None and row.vote is not None and not row.withdrawn]
            found += self._firsts(heard_consumer(project_id, feature), voted)
            pleased = [row for row in voted if row.vote is not None and row.vote < 0.5]
            found += self._firsts(pleased_consumer(project_id, feature), pleased)
        return found

    def _firsts(self, consumer: str, rows: Sequence[Outcome]) -> list[Vote]:
        first: dict[str, datetime] = {}
        for row in rows:
            voter = str(row.voter_id)
            first[voter] = min(first.get(voter, row.judged_at), row.judged_at)
        known = self._store.votes(consumer, list(first))
        return [Vote(consumer, voter, at) for voter, at in first.items() if voter not in known]

    def _follow(self, project_id: str, scene: _Scene, changes: Sequence[Change], now: datetime, writes: Writes) -> None:
        """Bring open incidents together with what is served: one waits for proof only while its change is served."""
        moved = {incident.id for incident in writes.incidents}
        mended = {change.incident_id for change in changes if change.state == "promoted"}
        for incident in (each for each in scene.incidents.values() if each.id not in moved | mended):
            rollout = scene.rollouts.get(incident.feature)
            if rollout is None:
                continue
            served = incident.version_id == rollout.stable_version_id
            if served or self._store.version(project_id, incident.feature, incident.version_id) is None:
                if incident.state == "recovering":
                    writes.incidents.append(msgspec.structs.replace(incident, state="firing"))
                continue
            over = msgspec.structs.replace(incident, state="resolved", resolution="superseded", resolved_at=now)
            writes.incidents.append(over)

    def _recur(self, project_id: str, scene: _Scene, changes: Sequence[Change], now: datetime, writes: Writes) -> None:
        """Link incidents that are back to what had been proven mended, and take back a version that made it worse."""
        moved = {incident.id for incident in writes.incidents} | self._new
        for incident in (each for each in scene.incidents.values() if each.id not in moved):
            if incident.state != "firing" or "recurrence_of" in incident.detail:
                continue
            query = Query(feature=incident.feature, limit=200)
            solved = self._store.incidents(project_id, query, states=("resolved",))
            before = recurs(incident, (row.record for row in solved.rows))
            if before is None:
                self._new.add(incident.id)
                continue
            again = msgspec.structs.replace(incident, detail={**incident.detail, "recurrence_of": before.id})
            rollout = scene.rollouts.get(incident.feature)
            cause = next((each for each in changes if _brought(each, incident, rollout)), None)
            switched = {switch.rollout.feature for switch in writes.switches}
            is_innocent = incident.feature in switched or not is_worse(incident, before)
            if cause is None or rollout is None or is_innocent:
                writes.incidents.append(again)
                continue
            reason = (
                f"the incident is back and worse: {incident.negatives} of {incident.events} say no, "
                f"{before.negatives} of {before.events} did before the change"
            )
            decision = Decision("roll_back", 0.0, reason, by="recurrence")
            over = {"state": "resolved", "resolution": "superseded", "resolved_at": now}
            writes.incidents.append(msgspec.structs.replace(again, **over))
            self._carry_out(cause, before, rollout, decision, now, writes)

    def _watch(
        self,
        project_id: str,
        scene: _Scene,
        change: Change,
        answers: Sequence[Inference],
        now: datetime,
        writes: Writes,
    ) -> None:
        """Keep the guardrails of a change up after its proof."""
        rollout = scene.rollouts.get(change.feature)
        switched = {switch.rollout.feature for switch in writes.switches}
        if rollout is None or rollout.stable_version_id != change.candidate_version_id or not answers:
            return
        guardrails = self._listening.guarded(project_id, change, rollout, answers)
        decision = guardrails.decide(rollout, now)
        writes.votes += guardrails.votes
        if decision is None or decision.verb != "roll_back" or change.feature in switched:
            if guardrails.moved:
                writes.changes.append(guardrails.change)
            return
        incident = self._incident(project_id, scene, change)
        self._carry_out(guardrails.change, incident, rollout, decision, now, writes)

    def _try(
        self,
        project_id: str,
        scene: _Scene,
        change: Change,
        outcomes: Iterable[Outcome],
        answers: Sequence[Inference],
        now: datetime,
        writes: Writes,
    ) -> None:
        rollout = scene.rollouts.get(change.feature)
        stable = rollout.stable_version_id if rollout else None
        by_hand = change.state in ("canary", "paused") and stable == change.candidate_version_id
        if by_hand:
            reason = "served to everyone by hand"
            change = msgspec.structs.replace(change, state="promoted", promoted_at=now, reason=reason)
        if rollout is None or not _holds(change, rollout):
            reason = "another version is served now"
            writes.changes.append(msgspec.structs.replace(change, state="superseded", reason=reason))
            return
        if change.state == "awaiting":
            return
        incident = self._incident(project_id, scene, change)
        guardrails = self._listening.guarded(project_id, change, rollout, answers)
        trial = self._heard(project_id, guardrails.change, incident, outcomes)
        decision = trial.decide(rollout, self._exposures(project_id, change, now), now)
        decision = weighed(decision, guardrails.decide(rollout, now))
        if decision.verb == "stay" and incident is not None and self._is_overdue(change, incident, now):
            incident = msgspec.structs.replace(incident, state="firing")
            writes.incidents.append(incident)
        fresh = [*trial.votes, *guardrails.votes]
        is_quiet = not fresh and not by_hand and not guardrails.moved
        if decision.verb == "stay" and decision.reason == change.reason and is_quiet:
            return
        writes.votes += fresh
        if by_hand and incident is not None and incident.state == "firing":
            incident = msgspec.structs.replace(incident, state="recovering")
            writes.incidents.append(incident)
        if incident is not None and (marked := told(incident, decision.reason if decision.held else "")) is not None:
            incident = marked
            writes.incidents.append(marked)
        self._carry_out(trial.change, incident, rollout, decision, now, writes)

    def _incident(self, project_id: str, scene: _Scene, change: Change) -> Incident | None:
        if change.incident_id is None:
            return None
        return scene.incidents.get(change.incident_id) or self._store.incident(project_id, change.incident_id)

    def _heard(self, project_id: str, change: Change, incident: Incident | None, outcomes: Iterable[Outcome]) -> Trial:
        """Return the trial of a change with these votes counted."""
        settings = self._settings
        trial = Trial(change, incident, settings.canary, settings.verification, settings.monitoring.window_hours)
        heard = [outcome for outcome in outcomes if outcome.vote is not None and not outcome.withdrawn]
        voters = [outcome.voter_id for outcome in heard if outcome.voter_id]
        consumers = (harm_consumer, help_consumer, people_consumer, author_consumer, control_consumer)
        counted = {name: self._store.votes(name, voters) for name in (named(change.id) for named in consumers)}
        left_alone = self._listening.untouched(project_id, change, heard)
        pleased = self._store.votes(pleased_consumer(project_id, change.feature), voters)
        for outcome in heard:
            trial.take(outcome, counted, pleased=pleased, untouched=outcome.inference_id in left_alone)
        return trial

    def _carry_out(
        self,
        change: Change,
        incident: Incident | None,
        rollout: Rollout,
        decision: Decision,
        now: datetime,
        writes: Writes,
    ) -> None:
        holdback = self._settings.canary.holdback
        match decision.verb:
            case "step":
                steps = [*change.canary.get("steps", []), [now.isoformat(), decision.share]]
                change = msgspec.structs.replace(
                    change, step_at=now, reason=decision.reason, canary={**change.canary, "steps": steps}
                )
                writes.switches.append(held_back(stepped(rollout, decision.share, now), rollout, holdback))
            case "promote":
                change = msgspec.structs.replace(change, state="promoted", promoted_at=now, reason=decision.reason)
                writes.switches.append(held_back(promoted(rollout, now), rollout, holdback))
                if incident is not None and incident.state == "firing":
                    writes.incidents.append(msgspec.structs.replace(incident, state="recovering"))
            case "roll_back":
                writes.switches.append(
                    returned(rollout, change.base_version_id, now, holdback)
                    if change.state in _WATCHED
                    else held_back(withdrawn(rollout, now), rollout, holdback)
                )
                told = {"reason": decision.reason, "canary": {**change.canary, "stopped_by": decision.by}}
                change = msgspec.structs.replace(change, state="rolled_back", rolled_back_at=now, **told)
                if incident is not None:
                    writes.incidents.append(_taken_back(incident, change, decision, now))
            case "stay" if change.state != "promoted" or decision.held:
                change = msgspec.structs.replace(change, reason=decision.reason)
            case "pause":
                by = {"paused_by": decision.by} if decision.by else {}
                told = {"reason": decision.reason, "canary": {**change.canary, **by}}
                change = msgspec.structs.replace(change, state="paused", **told)
            case "verify":
                change = msgspec.structs.replace(change, state="verified", verified_at=now, reason=decision.reason)
                if incident is not None and incident.state != "resolved":
                    writes.incidents.append(
                        msgspec.structs.replace(incident, state="resolved", resolution="verified", resolved_at=now)
                    )
        writes.changes.append(change)

    def _is_overdue(self, change: Change, incident: Incident, now: datetime) -> bool:
        """Say whether a promoted change had its time to prove that it helped: then the incident calls for more."""
        patience = timedelta(hours=self._settings.verification.patience_hours)
        promoted_at = change.promoted_at
        return incident.state == "recovering" and promoted_at is not None and now - promoted_at >= patience

    def _exposures(self, project_id: str, change: Change, now: datetime) -> int:
        """Return the candidate's answers since its step began, 0 while it is too early to step on whatever it is."""
        if change.state != "canary" or change.step_at is None:
            return 0
        if now - change.step_at < timedelta(hours=self._settings.canary.step_hours):
            return 0
        served = self._store.exposures(project_id, change.feature, change.step_at, now + timedelta(minutes=1))
        return sum(item.inferences for item in served if item.version_id == change.candidate_version_id)

    def _start_runs(self, project_id: str, now: datetime) -> None:
        for row in self._store.runs(project_id, Query(limit=1000), states=("running",)).rows:
            self._pick_up(project_id, row.record)
        firing = self._store.incidents(project_id, Query(limit=1000, newest=False), states=("firing",)).rows
        busy = self._busy(project_id) if firing else set()
        for incident in (row.record for row in firing):
            order = None if incident.feature in busy else self._due(project_id, incident, now)
            if order is not None:
                self._runs.start(order)
                busy = self._busy(project_id)

    def _busy(self, project_id: str) -> set[str]:
        """Return the features that something is under way for."""
        runs = self._store.runs(project_id, Query(limit=1000), states=("running",)).rows
        changes = self._store.changes(project_id, Query(limit=1000), states=_UNDER_WAY).rows
        return {row.record.feature for row in runs} | {row.record.feature for row in changes}

    def _due(self, project_id: str, incident: Incident, now: datetime) -> Order | None:
        """Return the run an incident is due, if any: words came in, and its feature was left alone long enough."""
        if self._playbook.planning.mode(incident.feature) == "off":
            return None
        query = Query(feature=incident.feature, limit=1000)
        runs = [row.record for row in self._store.runs(project_id, query).rows]
        mine = [run for run in runs if run.incident_id == incident.id]
        cooldown = timedelta(hours=self._settings.playbook.cooldown_hours)
        if any(now - run.started_at < cooldown for run in mine if run.playbook != NOTICE):
            return None
        order = self._playbook.planning.next_order(project_id, incident, mine, now)
        self._say(project_id, incident, "" if order else self._set_aside(project_id, incident, now))
        return order

    def _set_aside(self, project_id: str, incident: Incident, now: datetime) -> str:
        return set_aside(self._playbook.agreements(project_id, incident.feature, now))

    def _say(self, project_id: str, incident: Incident, reason: str) -> None:
        """Write on an incident what the guards hold it for, or that they no longer do."""
        if told(incident, reason) is None:
            return
        with self._turn:
            current = self._store.incident(project_id, incident.id)
            marked = told(current, reason) if current is not None and current.state == "firing" else None
            if marked is not None:
                self._store.commit({project_id: Writes(incidents=[marked])})

    def _pick_up(self, project_id: str, run: Run) -> None:
        """Bring a run that is written down as running together with what the workflow engine knows of it."""
        state = self._runs.state(run.id)
        if state == "running":
            return
        order = Order(
            project_id=project_id,
            run_id=run.id,
            feature=run.feature,
            incident_id=run.incident_id or "",
            now=run.started_at,
            action=run.playbook,
            effects=tuple(run.progress.get("effects", ())),
        )
        if state == "unknown":  # its file is gone; every step knows what it did
            self._runs.start(order)
        else:  # it ended without a word; one that ended since it was read has written down how
            self._playbook.fail(order, "the workflow stopped; see the log")


def _holds(change: Change, rollout: Rollout) -> bool:
    """Say whether what is served is still what the change is about."""
    match change.state:
        case "awaiting":
            return rollout.stable_version_id == change.base_version_id
        case "promoted":
            return rollout.stable_version_id == change.candidate_version_id
        case _:
            return rollout.candidate_version_id == change.candidate_version_id


def _brought(change: Change, incident: Incident, rollout: Rollout | None) -> bool:
    """Say whether a change brought the version that an incident is about, and which is served still."""
    served = rollout.stable_version_id if rollout is not None else None
    if change.kind == "rollback":
        return False
    return change.state in _WATCHED and change.candidate_version_id == incident.version_id == served


def _taken_back(incident: Incident, change: Change, decision: Decision, now: datetime) -> Incident:
    """Return the incident a change was made for, when the change is taken back: it calls for more."""
    incident = msgspec.structs.replace(incident, detail={**incident.detail, "rolled_back_by": decision.by})
    if incident.state == "resolved" and incident.resolution == "verified":
        return reopened(incident, now, decision.reason, version_id=change.base_version_id)
    return msgspec.structs.replace(incident, state="firing") if incident.state == "recovering" else incident
