"""Asks now and then whether what was mended still is: the golden cases of proven fixes, answered by what is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from trimtab.act.aftermath import Lost, reopened, undone, was_brought_lately
from trimtab.act.checks.desk import ExamDesk
from trimtab.act.rollout import returned
from trimtab.clock import EPOCH
from trimtab.config import Settings
from trimtab.errors import Conflict, TrimtabError
from trimtab.records import Case, Change, Rollout, Version
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["RecheckStage"]

_LOOK_EVERY = timedelta(minutes=10)
_MOST_CASES = 200


class RecheckStage:
    """Lets the served version answer the cases that proven fixes had passed.

    It does so every `verification.recheck_hours`, and soon after a version is served that no gate saw (one made or
    restored by hand). Where half of a fix is lost its incident is open again; where the version before still passes
    them and the one served was promoted in the last 30 days, that one is taken back. One feature is asked at a time,
    in a thread of its own (`inline`: within the tick).
    """

    name = "recheck"

    def __init__(
        self,
        store: HotStore,
        settings: Settings,
        exams: ExamDesk,
        *,
        turn: AbstractContextManager[Any],
        inline: bool = False,
    ) -> None:
        self._store = store
        self._every = timedelta(hours=settings.verification.recheck_hours)
        self._holdback = settings.canary.holdback
        self._exams = exams
        self._turn = turn
        self._inline = inline
        self._looked_at: datetime | None = None
        self._tried: dict[tuple[str, str], datetime] = {}
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("trimtab.recheck")

    def tick(self, now: datetime) -> int:
        """Ask about a feature that is due, if none is being asked about; return 0: nobody waits for it."""
        if not self._every or (self._thread is not None and self._thread.is_alive()):
            return 0
        if self._looked_at is not None and timedelta(0) <= now - self._looked_at < _LOOK_EVERY:
            return 0
        self._looked_at = now
        # Who waited longest comes first: a feature that cannot be asked keeps none of the others waiting.
        due = min(self._due(now), key=lambda each: self._tried.get((each[0], each[1].feature), EPOCH), default=None)
        if due is not None:
            project_id, rollout, fixes = due
            self._tried[project_id, rollout.feature] = now
            told = (project_id, rollout, fixes, now)
            self._thread = threading.Thread(target=self._guarded, args=told, name="trimtab-recheck", daemon=True)
            self._thread.start()
            if self._inline:
                self._thread.join()
        return 0

    def close(self) -> None:
        """Wait for the feature under way. May be called twice; before the store closes."""
        if self._thread is not None:
            self._thread.join()

    def _due(self, now: datetime) -> Iterator[tuple[str, Rollout, list[Change]]]:
        """Yield project, rollout and proven fixes of each feature that is to be asked about."""
        for project in self._store.projects():
            for feature in self._store.features(project.id):
                rollout = self._store.rollout(project.id, feature.name)
                fixes = self._fixes(project.id, feature.name)
                if rollout is not None and self._is_due(project.id, rollout, fixes, now):
                    yield project.id, rollout, fixes

    def _fixes(self, project_id: str, feature: str) -> list[Change]:
        query = Query(feature=feature, limit=_MOST_CASES)
        rows = self._store.changes(project_id, query, states=("verified",)).rows
        return [row.record for row in rows if row.record.gate is not None and row.record.incident_id is not None]

    def _is_due(self, project_id: str, rollout: Rollout, fixes: Sequence[Change], now: datetime) -> bool:
        if not fixes:
            return False
        served = rollout.stable_version_id
        told = [change.canary.get("recheck", {}) for change in fixes]
        checked = [datetime.fromisoformat(each["at"]) for each in told if each.get("version") == served]
        if not checked:
            query = Query(feature=rollout.feature, version_id=served, limit=20)
            known = [row.record for row in self._store.changes(project_id, query).rows]
            gated = [each.gated_at for each in known if each.gate is not None and each.gated_at is not None]
            if not gated:
                return True
            checked = gated
        return now - max(checked) >= self._every

    def _guarded(self, project_id: str, rollout: Rollout, fixes: list[Change], now: datetime) -> None:
        try:
            self._check(project_id, rollout, fixes, now)
        except Conflict:  # another version is served by now: that one is due
            return
        except Exception as error:  # noqa: BLE001  a thread's error has nobody else to tell
            told = error.message if isinstance(error, TrimtabError) else type(error).__name__
            self._log.warning("proven fixes could not be asked about", feature=rollout.feature, error=told)

    def _check(self, project_id: str, rollout: Rollout, fixes: list[Change], now: datetime) -> None:
        mended = {
            result.case_id
            for change in fixes
            if change.gate is not None
            for result in change.gate.results
            if result.target and result.candidate_passed
        }
        known = self._store.cases(project_id, rollout.feature)
        cases = [case for case in known if case.id in mended][-_MOST_CASES:]
        served = self._store.version(project_id, rollout.feature, rollout.stable_version_id)
        if served is None:
            return
        lost = undone(fixes, self._passed(project_id, served, cases, now))
        cause = self._cause(project_id, rollout, now) if lost is not None else None
        if cause is not None:
            before = self._store.version(project_id, rollout.feature, cause.base_version_id)
            if before is None or undone(fixes, self._passed(project_id, before, cases, now)) is not None:
                cause = None
        with self._turn:
            self._write(project_id, rollout, fixes, lost, cause, now)

    def _passed(self, project_id: str, version: Version, cases: Sequence[Case], now: datetime) -> dict[str, bool]:
        """Return by case whether it passes; one that could not be decided says nothing."""
        exam = self._exams.sit(project_id, version.feature, cases, now, anew=True).exam
        marks = zip(cases, exam.marks(version, cases), strict=True) if cases else ()
        return {case.id: mark.passed for case, mark in marks if mark.decided}

    def _cause(self, project_id: str, rollout: Rollout, now: datetime) -> Change | None:
        query = Query(feature=rollout.feature, version_id=rollout.stable_version_id, limit=20)
        rows = self._store.changes(project_id, query, states=("promoted", "verified")).rows
        brought = (row.record for row in rows if row.record.kind != "rollback")
        return next((change for change in brought if was_brought_lately(change, now)), None)

    def _write(
        self,
        project_id: str,
        rollout: Rollout,
        fixes: Sequence[Change],
        lost: Lost | None,
        cause: Change | None,
        now: datetime,
    ) -> None:
        """Write down what was found, unless another version is served meanwhile."""
        held = self._store.rollout(project_id, rollout.feature)
        if held is None or held.stable_version_id != rollout.stable_version_id:
            return
        writes = Writes()
        told = {"version": rollout.stable_version_id, "at": now.isoformat(), "lost": lost.incident_id if lost else None}
        marked = {change.id: self._store.change(project_id, change.id) for change in fixes}
        after = {key: _told(change, told) for key, change in marked.items() if change is not None}
        served = rollout.stable_version_id
        if cause is not None and lost is not None:
            served = cause.base_version_id
            writes.switches.append(returned(held, served, now, self._holdback))
            current = after.get(cause.id) or self._store.change(project_id, cause.id) or cause
            after[cause.id] = msgspec.structs.replace(
                current,
                state="rolled_back",
                rolled_back_at=now,
                reason=f"forgets: {lost.reason}",
                canary={**current.canary, "stopped_by": "forgetting"},
            )
        writes.changes += after.values()
        incident = self._store.incident(project_id, lost.incident_id) if lost is not None else None
        if lost is not None and incident is not None and incident.state == "resolved" and cause is None:
            writes.incidents.append(reopened(incident, now, f"forgotten: {lost.reason}", version_id=served))
        self._store.commit({project_id: writes})


def _told(change: Change, recheck: dict[str, Any]) -> Change:
    return msgspec.structs.replace(change, canary={**change.canary, "recheck": recheck})
