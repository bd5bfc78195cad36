"""The act stage: starts a run for each incident that needs one, and moves every change on trial by live evidence."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trimtab.act.evidence import heard_consumer, pleased_consumer
from trimtab.act.guard.held import set_aside, told
from trimtab.act.notices import Notices
from trimtab.act.order import NOTICE, Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.rollout import held_back, promoted, stepped, withdrawn
from trimtab.act.runs import Runs
from trimtab.act.trial import Decision, Trial, author_consumer, harm_consumer, help_consumer, people_consumer
from trimtab.config import Settings
from trimtab.errors import Conflict
from trimtab.records import Change, ChangeState, Incident, Outcome, Rollout, Run
from trimtab.store.ports import HotStore, Query, Vote, Writes

__all__ = ["CURSOR", "ActStage"]

CURSOR = "act"
_LIVE: tuple[ChangeState, ...] = ("awaiting", "canary", "paused", "promoted")
_UNDER_WAY = ("building", "awaiting", "canary", "paused")


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
    ) -> None:
        self._store = store
        self._settings = settings
        self._playbook = playbook
        self._runs = runs
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._notices = notices or Notices(store, settings.notify)

    def tick(self, now: datetime) -> int:
        """Advance trials by at most one batch of outcomes, then start what is due; return how many rows were read."""
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
        writes: dict[str, Writes] = {}
        for project in self._store.projects():
            written = self._advance(project.id, by_project.get(project.id, {}), now)
            if written.changes or written.incidents or written.votes:
                self._notices.add(project.id, written, now)
                writes[project.id] = written
        if rows or writes:
            self._store.commit(writes, cursors={CURSOR: rows[-1].seq} if rows else None)
        return len(rows)

    def _advance(self, project_id: str, outcomes: dict[str, list[Outcome]], now: datetime) -> Writes:
        live = [row.record for row in self._store.changes(project_id, Query(limit=1000), states=_LIVE).rows]
        writes = Writes(votes=self._newcomers(project_id, outcomes))
        for change in live:
            self._try(project_id, change, outcomes.get(change.feature, []), now, writes)
        after = {change.id: change for change in (*live, *writes.changes)}
        self._follow(project_id, list(after.values()), now, writes)
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

    def _follow(self, project_id: str, changes: Sequence[Change], now: datetime, writes: Writes) -> None:
        """Bring open incidents together with what is served: one waits for proof only while its change is served."""
        held = self._store.incidents(project_id, Query(limit=1000), states=("firing", "recovering"))
        moved = {incident.id for incident in writes.incidents}
        mended = {change.incident_id for change in changes if change.state == "promoted"}
        for incident in (row.record for row in held.rows if row.record.id not in moved | mended):
            rollout = self._store.rollout(project_id, incident.feature)
            if rollout is None:
                continue
            served = incident.version_id == rollout.stable_version_id
            if served or self._store.version(project_id, incident.feature, incident.version_id) is None:
                if incident.state == "recovering":
                    writes.incidents.append(msgspec.structs.replace(incident, state="firing"))
                continue
            over = msgspec.structs.replace(incident, state="resolved", resolution="superseded", resolved_at=now)
            writes.incidents.append(over)

    def _try(self, project_id: str, change: Change, outcomes: Iterable[Outcome], now: datetime, writes: Writes) -> None:
        rollout = self._store.rollout(project_id, change.feature)
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
        incident = self._store.incident(project_id, change.incident_id) if change.incident_id else None
        trial = Trial(
            change,
            incident,
            self._settings.canary,
            self._settings.verification,
            self._settings.monitoring.window_hours,
        )
        heard = [outcome for outcome in outcomes if outcome.vote is not None and not outcome.withdrawn]
        voters = [outcome.voter_id for outcome in heard if outcome.voter_id]
        counted = {
            consumer: self._store.votes(consumer, voters)
            for consumer in (
                harm_consumer(change.id),
                help_consumer(change.id),
                people_consumer(change.id),
                author_consumer(change.id),
            )
        }
        pleased = self._store.votes(pleased_consumer(project_id, change.feature), voters)
        for outcome in heard:
            trial.take(outcome, counted, pleased=pleased)
        decision = trial.decide(rollout, self._exposures(project_id, change, now), now)
        if decision.verb == "stay" and incident is not None and self._is_overdue(change, incident, now):
            incident = msgspec.structs.replace(incident, state="firing")
            writes.incidents.append(incident)
        if decision.verb == "stay" and decision.reason == change.reason and not trial.votes and not by_hand:
            return
        writes.votes += trial.votes
        if by_hand and incident is not None and incident.state == "firing":
            incident = msgspec.structs.replace(incident, state="recovering")
            writes.incidents.append(incident)
        if incident is not None and (marked := told(incident, decision.reason if decision.held else "")) is not None:
            incident = marked
            writes.incidents.append(marked)
        self._carry_out(trial.change, incident, rollout, decision, now, writes)

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
                change = msgspec.structs.replace(
                    change, state="rolled_back", rolled_back_at=now, reason=decision.reason
                )
                writes.switches.append(held_back(withdrawn(rollout, now), rollout, holdback))
            case "stay" if change.state != "promoted" or decision.held:
                change = msgspec.structs.replace(change, reason=decision.reason)
            case "pause":
                change = msgspec.structs.replace(change, state="paused", reason=decision.reason)
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
        if change.state != "canary" or change.step_at is None:
            return 0
        served = self._store.exposures(project_id, change.feature, change.step_at, now + timedelta(minutes=1))
        return sum(item.inferences for item in served if item.version_id == change.candidate_version_id)

    def _start_runs(self, project_id: str, now: datetime) -> None:
        made = self._store.changes(project_id, Query(limit=1000), states=("building",)).rows
        for change in (row.record for row in made if row.record.incident_id is None and row.record.run_id):
            run = self._store.run(project_id, change.run_id or "")
            if run is not None and run.state == "running":  # proposed by hand: no incident will look after it
                self._pick_up(project_id, run)
        firing = self._store.incidents(project_id, Query(limit=1000, newest=False), states=("firing",))
        for incident in (row.record for row in firing.rows):
            order = self._due(project_id, incident, now)
            if order is not None:
                self._runs.start(order)

    def _due(self, project_id: str, incident: Incident, now: datetime) -> Order | None:
        """Return the run an incident is due, if any: nothing else of its feature is under way, and words came in."""
        if self._playbook.mode(incident.feature) == "off":
            return None
        query = Query(feature=incident.feature, limit=1000)
        runs = [row.record for row in self._store.runs(project_id, query).rows]
        for run in runs:
            if run.state == "running":
                self._pick_up(project_id, run)
                return None
        changes = [row.record for row in self._store.changes(project_id, query).rows]
        if any(change.state in _UNDER_WAY for change in changes):
            return None
        mine = [run for run in runs if run.incident_id == incident.id]
        cooldown = timedelta(hours=self._settings.playbook.cooldown_hours)
        if any(now - run.started_at < cooldown for run in mine if run.playbook != NOTICE):
            return None
        order = self._playbook.next_order(project_id, incident, mine, now)
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
        effects = tuple(step.name.removeprefix("do_") for step in run.steps if step.name.startswith("do_"))
        order = Order(
            project_id=project_id,
            run_id=run.id,
            feature=run.feature,
            incident_id=run.incident_id or "",
            now=run.started_at,
            action=run.playbook,
            effects=effects,
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
