"""A batch of reviewed answers becomes a change: what people confirmed is tried at once, with or without an incident.

An incident's playbook waits for corrections to come in and leaves a part of them to judge. Here a reviewer has looked
at every answer, and says which ones build and which judge: answers drawn at random are worth more as golden cases.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trimtab.act.checks.desk import ExamDesk
from trimtab.act.gate import MAX_CASES, run_gate
from trimtab.act.rollout import exposed, held_back
from trimtab.act.runner import check_of
from trimtab.config import Settings
from trimtab.errors import Conflict, NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import Case, Change, ChangeState, Correction, Exemplar, Rollout, Version, text_of
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import HotStore, Query, Switch, Writes

__all__ = ["ReviewedBatch"]

_MOST = 10_000
_UNDER_WAY: tuple[ChangeState, ...] = ("building", "awaiting", "canary", "paused")


class ReviewedBatch:
    """Makes one change of a batch: exemplars from what reviewers said is right, through the gate, into a canary.

    From there on the act stage treats it like any other. `turn` is the lock of `Decisions`.
    """

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        settings: Settings,
        exams: ExamDesk,
        *,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._exams = exams
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()

    def offer(
        self,
        project_id: str,
        feature: str,
        now: datetime,
        *,
        since: datetime | None = None,
        judging: Collection[str] = (),
        renewed: Mapping[str, str] | None = None,
        incident_id: str | None = None,
    ) -> Change | None:
        """Try the served version with every correction of a reviewer that it has not learned from yet.

        `renewed` names answers that people found out of date, with what is right instead: their exemplars change too,
        and cases that expect them are not asked.
        Of those said after `since` only, where it is given: what a refused batch held is not offered again.
        Corrections of the answers named in `judging` become golden cases instead; the gate asks those of the last
        `playbook.lookback_days`, and all that were written by hand. None where nothing is new. Raises NotFound for a
        feature that serves nothing, Conflict while another change of the feature is under way.
        """
        with self._turn:
            self._expect_idle(project_id, feature)
            rollout = self._rollout(project_id, feature)
            base = self._version(project_id, feature, rollout.stable_version_id)
            said = self._said(project_id, base, now, since)
            cases = self._cases([item for item in said if item.inference_id in judging], feature, now)
            fresh = _exemplars([item for item in said if item.inference_id not in judging], now)
            cleaner = self._cleaners.of(project_id)
            sealed_cases = seal_all(cleaner, cases)
            if not fresh and not renewed:
                self._store.commit({project_id: Writes(cases=sealed_cases)})
                return None
            known = _renewed(base.exemplars, renewed or {}, now)
            change_id = derived_id("change", feature, base.id, now.isoformat())
            version = seal(cleaner, _learned(base, known, fresh, now, change_id, incident_id))
            change = Change(
                id=change_id,
                feature=feature,
                kind="exemplar",
                state="building",
                created_at=now,
                base_version_id=base.id,
                incident_id=incident_id,
                candidate_version_id=version.record.id,
            )
            asked = [*self._known_cases(project_id, feature, now), *(item.record for item in sealed_cases)]
            asked = [case for case in asked if case.expected not in (renewed or {})]
            change, switch = self._judged(project_id, change, rollout, base, version.record, asked, now)
            writes = Writes(cases=sealed_cases, versions=[version], changes=[change])
            if switch is not None:
                writes.switches = [switch]
            self._store.commit({project_id: writes})
        return change

    def _judged(
        self,
        project_id: str,
        change: Change,
        rollout: Rollout,
        base: Version,
        candidate: Version,
        cases: Sequence[Case],
        now: datetime,
    ) -> tuple[Change, Switch | None]:
        """Return the change with the gate's word on it, and the switch that exposes it unless that word is no."""
        report = run_gate(
            self._exams.sit(project_id, change.feature, cases, now).exam,
            stable=base,
            candidate=candidate,
            cases=cases,
            targets=set(),
            margin=self._settings.gate.margin,
        )
        change = msgspec.structs.replace(change, gate=report, gated_at=now)
        if report.verdict == "fail":
            return msgspec.structs.replace(change, state="blocked", reason=report.reason), None
        share = self._settings.canary.steps[0]
        switch = held_back(exposed(rollout, change, share, now), rollout, self._settings.canary.holdback)
        trial = {"steps": [[now.isoformat(), share]]}
        return msgspec.structs.replace(change, state="canary", exposed_at=now, step_at=now, canary=trial), switch

    def _said(self, project_id: str, base: Version, now: datetime, since: datetime | None) -> list[Correction]:
        """Return reviewers' corrections that neither the version nor a case stands for yet, newest first."""
        first = now - timedelta(days=self._settings.playbook.lookback_days)
        query = Query(feature=base.feature, since=max(first, since or first), limit=_MOST)
        rows = self._store.corrections(project_id, query).rows
        used = {item.source_feedback_id for item in base.exemplars}
        used |= {case.feedback_id for case in self._store.cases(project_id, base.feature)}
        found = [row.record for row in rows if row.record.source == "reviewer" and row.record.feedback_id not in used]
        return sorted(found, key=lambda item: (item.created_at, item.feedback_id), reverse=True)

    def _known_cases(self, project_id: str, feature: str, now: datetime) -> list[Case]:
        since = now - timedelta(days=self._settings.playbook.lookback_days)
        cases = self._store.cases(project_id, feature)
        kept = [case for case in cases if case.feedback_id is None or case.created_at >= since]
        return kept[-MAX_CASES:]

    def _cases(self, items: Sequence[Correction], feature: str, now: datetime) -> list[Case]:
        check = check_of(self._settings, feature)
        return [
            Case(
                id=derived_id("case", item.feedback_id),
                feature=feature,
                created_at=now,
                input=item.input,
                expected=item.corrected,
                check=check,
                feedback_id=item.feedback_id,
            )
            for item in items
        ]

    def _expect_idle(self, project_id: str, feature: str) -> None:
        busy = self._store.changes(project_id, Query(feature=feature, limit=1), states=_UNDER_WAY).rows
        if busy:
            raise Conflict(f"change {busy[0].record.id!r} of {feature!r} is under way; decide it first")

    def _rollout(self, project_id: str, feature: str) -> Rollout:
        rollout = self._store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return rollout

    def _version(self, project_id: str, feature: str, version_id: str) -> Version:
        version = self._store.version(project_id, feature, version_id)
        if version is None:
            raise NotFound(f"no version {version_id!r} of {feature!r}", param=version_id)
        return version


def _learned(
    base: Version,
    known: Sequence[Exemplar],
    fresh: Sequence[Exemplar],
    now: datetime,
    change_id: str,
    incident_id: str | None,
) -> Version:
    """Return the base with the new exemplars; on the same input the later word takes the place of the earlier."""
    said = {_key(item.input) for item in fresh}
    return msgspec.structs.replace(
        base,
        created_at=now,
        exemplars=[*(item for item in known if _key(item.input) not in said), *fresh],
        parent_id=base.id,
        change_id=change_id,
        incident_id=incident_id,
        note="",
    )


def _renewed(exemplars: Sequence[Exemplar], renewed: Mapping[str, str], now: datetime) -> list[Exemplar]:
    return [
        msgspec.structs.replace(item, output=renewed[item.output], added_at=now) if item.output in renewed else item
        for item in exemplars
    ]


def _exemplars(items: Sequence[Correction], now: datetime) -> list[Exemplar]:
    latest: dict[str, Exemplar] = {}
    for item in items:  # newest first
        text = text_of(item.input)
        exemplar_id = content_id("x", item.feedback_id.encode())
        latest.setdefault(
            _key(text),
            Exemplar(
                id=exemplar_id,
                input=text,
                output=item.corrected,
                source_feedback_id=item.feedback_id,
                added_at=now,
            ),
        )
    return list(latest.values())


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
