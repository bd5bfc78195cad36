"""Training jobs from order to model: rows that each tick advances, so that nothing sleeps and a restart goes on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog

from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.training.hosted import HostedTraining, Order
from trimtab.act.training.local import LocalTraining, filled
from trimtab.act.training.remote import RemoteJobs, ended
from trimtab.config import Finetune
from trimtab.errors import Conflict, NotFound, TrimtabError
from trimtab.ids import new_id
from trimtab.records import DatasetFormat, Job, JobState
from trimtab.redact.project import Cleaners
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["FOLDER", "JobDesk"]

FOLDER = "jobs"
_GRACE = timedelta(seconds=10)


class JobDesk:
    """Takes orders, and as the stage "train" moves them on: dataset, command, model. One command runs at a time."""

    name = "train"

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        datasets: DatasetDesk,
        settings: Finetune,
        storage: Path,
        *,
        turn: AbstractContextManager[Any],
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._datasets = datasets
        self._settings = settings
        self._storage = storage.resolve()
        self._turn = turn
        self._local = LocalTraining(self._storage / FOLDER)
        self._remote = RemoteJobs(HostedTraining(settings), settings)
        self._mine: dict[str, tuple[str, int]] = {}  # what was seen to run: whose it is, and its process group
        self._asked: dict[str, datetime] = {}  # when it was asked to end
        self._found = False
        self._log = structlog.get_logger("trimtab.train")

    def order(self, project_id: str, feature: str, now: datetime) -> Job:
        """Write down a job by hand. Raises NotFound for a feature that serves nothing, Conflict while it has one."""
        rollout = self._store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param="feature")
        if not self._settings.command and not self._settings.base_url:
            raise Conflict("finetune.command is empty; name the command that trains, or an endpoint in base_url")
        with self._turn:
            if self._store.jobs(project_id, Query(feature=feature, limit=1), ("waiting", "running")).rows:
                raise Conflict(f"a training job of {feature!r} is under way; let it end, or cancel it")
            job = Job(
                id=new_id(now),
                feature=feature,
                kind=self._settings.kind,
                state="waiting",
                created_at=now,
                base_version_id=rollout.stable_version_id,
            )
            self._write(project_id, job)
            return job

    def cancel(self, project_id: str, job_id: str, now: datetime) -> Job:
        """Call a job off; the next tick asks its processes to end, and kills them ten seconds later."""
        with self._turn:
            job = self._store.job(project_id, job_id)
            if job is None:
                raise NotFound(f"no job {job_id!r}", param="job_id")
            if job.state not in ("waiting", "running"):
                raise Conflict(f"job {job_id!r} is already {job.state}")
            return self._write(project_id, ended(job, "cancelled", now, "cancelled by hand"))

    def tick(self, now: datetime) -> int:
        """Move each job on by at most one step and end processes nobody wants; return how many jobs moved."""
        self._look_around()
        moved, busy = 0, bool(self._mine) or self._remote.is_busy
        for project in self._store.projects():
            for row in self._store.jobs(project.id, Query(limit=100, newest=False), ("waiting", "running")).rows:
                with self._turn:
                    job = self._store.job(project.id, row.record.id)
                    if job is None or job.state not in ("waiting", "running"):
                        continue
                    after = self._next(project.id, job, now, busy=busy)
                    busy = busy or after.state == "running"
                    if after != job:
                        self._write(project.id, after)
                        moved += 1
        self._end_unwanted(now)
        return moved

    def close(self) -> None:
        """Let processes and jobs elsewhere go on by themselves: the next engine finds them."""
        self._local.close()

    def _next(self, project_id: str, job: Job, now: datetime, *, busy: bool) -> Job:
        if job.state == "running" and "hosted" in job.progress:
            return self._followed(project_id, job, now)
        if job.state == "running":
            return self._watched(job, now)
        if job.dataset_id is None:
            return self._ordered(project_id, job, now)
        dataset = self._store.dataset(project_id, job.dataset_id)
        if dataset is not None and dataset.state == "building":
            return job
        if dataset is None or dataset.state != "done":
            reason = dataset.error if dataset else "it is gone"
            return self._again(job, now, f"the dataset could not be built: {reason}")
        rows = int(dataset.rows.get("train", 0))
        if rows < self._settings.min_rows:
            return ended(
                job, "failed", now, f"{rows} rows to train on, finetune.min_rows asks {self._settings.min_rows}"
            )
        return job if busy else self._started(project_id, job, now)

    def _ordered(self, project_id: str, job: Job, now: datetime) -> Job:
        # Those who judge changes stay out: golden cases are made of their words, now and later.
        style: DatasetFormat = "openai" if self._settings.base_url else "trl"
        request = DatasetRequest(kind=job.kind, format=style, features=(job.feature,), part="build", test_share=0.0)
        try:
            made = self._datasets.order(project_id, request)
        except TrimtabError as error:
            return self._again(job, now, error.message)
        return msgspec.structs.replace(job, dataset_id=made.id)

    def _started(self, project_id: str, job: Job, now: datetime) -> Job:
        if self._settings.base_url:
            return self._remote.begun(project_id, job, now)
        base = self._store.version(project_id, job.feature, job.base_version_id)
        out = self._local.folder(job.id) / "out"
        dataset = str(job.dataset_id)
        try:
            names = {"train": "train.jsonl", "validation": "validation.jsonl"}
            files = {key: self._file(project_id, dataset, name) for key, name in names.items()}
            words = filled(self._settings.command, {**files, "out": str(out), "base": (base and base.model) or ""})
            self._local.clear(job.id)
            out.mkdir(parents=True, exist_ok=True)
            begun = msgspec.structs.replace(
                job, state="running", started_at=now, attempts=job.attempts + 1, error="", progress={}
            )
            self._write(project_id, begun)  # before it starts: killed in between, it is found by its lock
            group = self._local.start(job.id, words)
        except (OSError, ValueError) as error:
            return ended(job, "failed", now, f"the command cannot be started: {self._clean(project_id, str(error))}")
        self._mine[job.id] = (project_id, group)
        return msgspec.structs.replace(begun, progress={"group": group})

    def _followed(self, project_id: str, job: Job, now: datetime) -> Job:
        """Take one more step with a job elsewhere, once the step before has ended."""
        if not self._settings.base_url:
            return ended(job, "failed", now, "finetune.base_url is empty now, and the job was begun there")
        limit = timedelta(hours=self._settings.max_hours)
        if job.started_at is not None and now - job.started_at >= limit:
            return ended(job, "failed", now, f"not done within {self._settings.max_hours:g} hours")

        def order() -> Order:
            base = self._store.version(project_id, job.feature, job.base_version_id)
            dataset = str(job.dataset_id)
            train, validation = (self._file(project_id, dataset, f"{part}.jsonl") for part in ("train", "validation"))
            if not train:
                raise NotFound("the dataset's file is gone", param="dataset_id")
            begins = self._settings.model or (base and base.model) or ""
            held_out = Path(validation) if validation and Path(validation).stat().st_size else None
            return Order(job.progress["hosted"]["name"], Path(train), held_out, begins, job.kind)

        return self._remote.moved(project_id, job, order, now, lambda told: self._clean(project_id, told))

    def _file(self, project_id: str, dataset_id: str, name: str) -> str:
        try:
            return str(self._datasets.file(project_id, dataset_id, name))
        except NotFound:
            return ""  # so few people that nobody is held out

    def _watched(self, job: Job, now: datetime) -> Job:
        if self._local.is_running(job.id):
            limit = timedelta(hours=self._settings.max_hours)
            if job.started_at is not None and now - job.started_at >= limit:
                return ended(job, "failed", now, f"not done within {self._settings.max_hours:g} hours")
            return job
        self._mine.pop(job.id, None)
        model, why = self._local.result(job.id)
        if model is None:
            return self._again(job, now, why)
        return msgspec.structs.replace(ended(job, "done", now, ""), model=model)

    def _again(self, job: Job, now: datetime, reason: str) -> Job:
        """Let a job begin anew with a new set, or give it up after `finetune.attempts`."""
        attempts = max(job.attempts, 1) if job.state == "running" else job.attempts + 1
        if attempts >= self._settings.attempts:
            return msgspec.structs.replace(ended(job, "failed", now, reason), attempts=attempts)
        self._log.warning("training begins anew", job=job.id, reason=reason)
        return msgspec.structs.replace(
            job, state="waiting", dataset_id=None, attempts=attempts, error=reason[:2000], progress={}
        )

    def _look_around(self) -> None:
        """Once: find what an earlier engine started and still runs."""
        if self._found:
            return
        self._found = True
        for project in self._store.projects():
            states: tuple[JobState, ...] = ("running", "cancelled", "failed", "done")
            for row in self._store.jobs(project.id, Query(limit=100), states).rows:
                self._remote.recall(project.id, row.record)
        for job_id in self._local.known():
            if not self._local.is_running(job_id):
                continue
            for project in self._store.projects():
                job = self._store.job(project.id, job_id)
                if job is not None:
                    self._mine[job_id] = (project.id, int(job.progress.get("group", 0)))

    def _end_unwanted(self, now: datetime) -> None:
        for project_id, job_id in self._remote.known:
            with self._turn:
                job = self._store.job(project_id, job_id)
                after = self._remote.put_away(job, now) if job is not None else None
                if after is not None:
                    self._write(project_id, after)
        for job_id, (project_id, group) in list(self._mine.items()):
            job = self._store.job(project_id, job_id)
            if job is not None and job.state == "running":
                continue
            if not self._local.is_running(job_id):
                self._mine.pop(job_id)
                if self._asked.pop(job_id, None) is not None:
                    self._local.sweep(group)
                self._local.result(job_id)
                continue
            asked = self._asked.setdefault(job_id, now)
            self._local.stop(job_id, group, hard=now - asked >= _GRACE)

    def _clean(self, project_id: str, reason: str) -> str:
        return self._cleaners.of(project_id).batch([reason])[0]

    def _write(self, project_id: str, job: Job) -> Job:
        self._store.commit({project_id: Writes(jobs=[job])})
        return job
