"""A model trained on what people said: `train` orders the job, `finetune` puts the model that came of it on trial."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.config import Settings
from trimtab.ids import derived_id
from trimtab.records import ChangeKind, Job
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["FinetuneAction", "TrainEffect"]


class FinetuneAction:
    """The served version with the model of the feature's newest finished job that it does not have yet."""

    kind: ChangeKind = "finetune"

    def __init__(self, store: HotStore) -> None:
        self._store = store

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say whether a model waits to be tried."""
        job = self._newest(situation, tried)
        told = f"job {job.id} made {job.model}" if job else "no finished training job whose model is not tried yet"
        return Plan(action=self.kind, possible=job is not None, reason=told, detail={"job": job.id} if job else {})

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Name the job; it counts as tried from here on."""
        job = self._newest(situation, ())
        return {"corrections": [job.id] if job else []}

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Put the job's model in the place of the served one."""
        named = gathered["corrections"]
        job = self._store.job(situation.project_id, named[0]) if named else None
        if job is None or job.model is None:
            return Proposal(None, "no finished training job whose model is not tried yet")
        version = msgspec.structs.replace(situation.base, model=job.model)
        return Proposal(version, "", {"job": job.id, "dataset": job.dataset_id})

    def _newest(self, situation: Situation, tried: Collection[str]) -> Job | None:
        query = Query(feature=situation.base.feature, limit=1)
        for row in self._store.jobs(situation.project_id, query, ("done",)).rows:
            if row.record.model != situation.base.model and row.record.id not in tried:
                return row.record
        return None


class TrainEffect:
    """Orders a training job with an incident's first run, unless the feature has one under way."""

    name = "train"

    def __init__(self, store: HotStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings.finetune

    def plan(self, situation: Situation) -> Plan:
        """Say whether a job would be ordered."""
        why = self._why_not(situation)
        how = "the endpoint at finetune.base_url" if self._settings.base_url else "finetune.command"
        told = why or f"a dataset ({self._settings.kind}) of the feature, then {how}"
        return Plan(action=self.name, possible=not why, reason=told)

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        """Return the job's row; the stage "train" carries it out."""
        why = self._why_not(situation)
        if why:
            return Writes(), {"job": None, "reason": why}
        job = Job(
            id=derived_id("job", situation.run_id),
            feature=situation.base.feature,
            kind=self._settings.kind,
            state="waiting",
            created_at=situation.now,
            base_version_id=situation.base.id,
            incident_id=situation.incident.id,
        )
        return Writes(jobs=[job]), {"job": job.id}

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        """Return the row that calls the job off while it is under way."""
        job = self._store.job(situation.project_id, done["job"]) if done.get("job") else None
        if job is None or job.state not in ("waiting", "running"):
            return Writes()
        ended = {"state": "cancelled", "ended_at": situation.now, "error": "the run that ordered it was taken back"}
        return Writes(jobs=[msgspec.structs.replace(job, **ended)])

    def _why_not(self, situation: Situation) -> str:
        if not self._settings.command and not self._settings.base_url:
            return "finetune.command and finetune.base_url are empty"
        if situation.incident.held:
            return situation.incident.held
        query = Query(feature=situation.base.feature, limit=1)
        if self._store.jobs(situation.project_id, query, ("waiting", "running")).rows:
            return "a training job of this feature is under way"
        return ""
