"""Training jobs at an endpoint: a step at a time in a thread of its own, what it found written down before the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from trimtab.act.training.hosted import HostedTraining, Order, Progress, Refused, is_over
from trimtab.config import Finetune
from trimtab.errors import NotFound, TrimtabError, Unavailable
from trimtab.records import Job

__all__ = ["RemoteJobs", "ended"]

_UNSEEN = ("name", "asked_at", "error")


class RemoteJobs:
    """Jobs that run elsewhere, each a row: `progress["hosted"]` holds what is known of it there.

    A tick never waits for the network. A step that could not be taken is taken again after `finetune.poll_s` seconds;
    its error stands on the job meanwhile. A job that is over is put away: called off where it still runs, its files
    deleted.
    """

    def __init__(self, endpoint: HostedTraining, settings: Finetune) -> None:
        self._endpoint = endpoint
        self._poll = timedelta(seconds=settings.poll_s)
        self._flights: dict[str, Future[Progress]] = {}
        self._known: dict[str, str] = {}
        self._announced: set[str] = set()  # of which nobody but this process can have created the job
        self._retry_at: dict[str, datetime] = {}
        self._log = structlog.get_logger("trimtab.train")

    @property
    def known(self) -> list[tuple[str, str]]:
        """Projects and ids of the jobs that are not put away yet."""
        return [(project_id, job_id) for job_id, project_id in self._known.items()]

    @property
    def is_busy(self) -> bool:
        """Whether a job runs elsewhere, or may still."""
        return bool(self._known)

    def recall(self, project_id: str, job: Job) -> None:
        """Take up a job that an earlier engine has begun and nobody has put away."""
        hosted = job.progress.get("hosted")
        if hosted is not None and not hosted.get("closed"):
            self._known[job.id] = project_id

    def begun(self, project_id: str, job: Job, now: datetime) -> Job:
        """Return a waiting job as running; the next tick takes the first step."""
        attempt = job.attempts + 1
        self._known[job.id] = project_id
        told = {"hosted": {"name": f"trimtab-{job.id}-{attempt}"}}
        return msgspec.structs.replace(job, state="running", started_at=now, attempts=attempt, error="", progress=told)

    def moved(
        self, project_id: str, job: Job, order: Callable[[], Order], now: datetime, clean: Callable[[str], str]
    ) -> Job:
        """Return a running job as its last step left it, or take the next step if it is time."""
        self._known.setdefault(job.id, project_id)
        hosted: Progress = job.progress["hosted"]
        flight = self._flights.get(job.id)
        if flight is None:
            asked_at = hosted.get("asked_at")
            waits = "job" in hosted or job.error
            if waits and asked_at is not None and now - datetime.fromisoformat(asked_at) < self._poll:
                return job
            try:
                told = order()
            except NotFound as gone:
                return ended(job, "failed", now, gone.message)
            known = {key: value for key, value in hosted.items() if key not in _UNSEEN}
            self._flights[job.id] = _begun(self._step, job.id, told, known)
            return job
        if not flight.done():
            return job
        del self._flights[job.id]
        return self._landed(job, flight, now, clean)

    def put_away(self, job: Job, now: datetime) -> Job | None:
        """Tidy up behind a job that is over; return it when that is done or was tried in vain, else None."""
        hosted: Progress = job.progress.get("hosted", {})
        if job.state in ("waiting", "running"):
            return None
        flight = self._flights.get(job.id)
        if flight is not None and not flight.done():
            return None
        if flight is None:
            if now < self._retry_at.get(job.id, now):
                return None
            self._flights[job.id] = _begun(self._endpoint.close, dict(hosted))
            return None
        del self._flights[job.id]
        try:
            told = flight.result()
        except (Unavailable, Refused, OSError) as error:  # OSError: of its last step, whose set has gone meanwhile
            self._retry_at[job.id] = now + self._poll
            why = error.message if isinstance(error, TrimtabError) else type(error).__name__
            self._log.warning("a training job could not be put away, trying again", job=job.id, error=why)
            return None
        if not told.get("closed"):  # its last step ended after it was called off; now it is known what there is
            return msgspec.structs.replace(job, progress={**job.progress, "hosted": {**hosted, **told}})
        self._known.pop(job.id, None)
        return msgspec.structs.replace(job, progress={**job.progress, "hosted": told})

    def _step(self, job_id: str, order: Order, known: Progress) -> Progress:
        first = job_id in self._announced
        self._announced.discard(job_id)  # from here on a lost answer may have made one
        told = self._endpoint.advance(order, known, first=first)
        if "creating" in told and "creating" not in known:
            self._announced.add(job_id)
        if told.get("status") in ("failed", "cancelled"):
            told["error"] = self._endpoint.why(told)
        return told

    def _landed(self, job: Job, flight: Future[Progress], now: datetime, clean: Callable[[str], str]) -> Job:
        hosted: Progress = {**job.progress["hosted"], "asked_at": now.isoformat()}
        try:
            told = flight.result()
        except Refused as refused:
            return ended(_with(job, hosted), "failed", now, clean(refused.message))
        except Unavailable as away:
            return msgspec.structs.replace(_with(job, hosted), error=clean(away.message)[:2000])
        except OSError as error:
            return ended(_with(job, hosted), "failed", now, clean(f"the set cannot be read: {error}"))
        hosted |= {key: value for key, value in told.items() if key not in _UNSEEN}
        job = msgspec.structs.replace(_with(job, hosted), error="")
        if "model" in told:
            return msgspec.structs.replace(ended(job, "done", now, ""), model=told["model"])
        if is_over(told):
            return ended(job, "failed", now, clean(str(told["error"])))
        return job


def _begun(work: Callable[..., Progress], *told: Any) -> Future[Progress]:
    """Let a step run in a thread that nobody has to wait for when the engine ends."""
    flight: Future[Progress] = Future()

    def run() -> None:
        try:
            flight.set_result(work(*told))
        except Exception as error:  # noqa: BLE001  handed to who asks for the result
            flight.set_exception(error)

    threading.Thread(target=run, name="trimtab-train", daemon=True).start()
    return flight


def _with(job: Job, hosted: Progress) -> Job:
    return msgspec.structs.replace(job, progress={**job.progress, "hosted": hosted})


def ended(job: Job, state: Any, now: datetime, reason: str) -> Job:
    """Return a job that is over."""
    return msgspec.structs.replace(job, state=state, ended_at=now, error=reason[:2000])
