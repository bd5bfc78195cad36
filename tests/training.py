"""A feature with corrections, and scripts that train on them: for tests of training jobs."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.unit.act.datasets.world import NOW, PROJECT, World
from trimtab.clock import SetClock
from trimtab.config import Embedding, Finetune, Lake, Settings, Storage
from trimtab.records import Job
from trimtab.runtime.assemble import Engine, assemble
from trimtab.store.ports import Query

__all__ = ["SLOW", "TRAINER", "Trained", "begin", "begin_hosted", "hosted", "trained"]

TRAINER = "import sys, json; rows = open(sys.argv[1]).readlines(); print(json.dumps({'model': f'shop-{len(rows)}'}))"
SLOW = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
pathlib.Path('child').write_text(str(child.pid))
while not pathlib.Path('go').exists():
    time.sleep(0.02)
child.kill()
print('{"model": "late"}')
"""
_LONG_S = 30.0


class Trained:
    """An engine whose training command is a script."""

    def __init__(self, engine: Engine, clock: SetClock, asker: dict[str, str], closing: ExitStack) -> None:
        self.engine = engine
        self.clock = clock
        self.asker = asker
        self._closing = closing

    def order(self) -> Job:
        return self.engine.jobs.order(PROJECT, "support", self.clock.now())

    def job(self, job_id: str) -> Job:
        job = self.engine.store.job(PROJECT, job_id)
        assert job is not None
        return job

    def running(self, job: Job) -> Job:
        return self._until(job, lambda now: now.state == "running")

    def ended(self, job: Job) -> Job:
        return self._until(job, lambda now: now.state in ("done", "failed", "cancelled"))

    def put_away(self, job: Job) -> Job:
        """Wait until nothing of a job is left at the endpoint."""
        return self._until(job, lambda now: now.progress["hosted"].get("closed", False))

    def knows(self, job: Job, key: str) -> Job:
        """Wait until something is known of a job at the endpoint."""
        return self._until(job, lambda now: key in now.progress.get("hosted", {}))

    def told(self, job: Job) -> int:
        """Return the process that the command started, once it has."""
        said = self.engine.jobs._local.folder(job.id) / "child"
        self._wait(lambda: said.exists() and said.read_text() != "")
        return int(said.read_text())

    def gone(self, job: Job, child: int | None = None, *, step: timedelta = timedelta(0)) -> None:
        """Wait until nothing of a job lives."""

        def is_gone() -> bool:
            self.engine.jobs.tick(self.clock.advance(step))
            return not self.engine.jobs._local.is_running(job.id)

        self._wait(is_gone)
        self._wait(lambda: child is None or not _lives(child))

    def end(self) -> None:
        for row in self.engine.store.jobs(PROJECT, Query(), ("waiting", "running")).rows:
            self.engine.jobs.cancel(PROJECT, row.record.id, self.clock.now())
            self.gone(row.record)
        self._closing.close()

    def _until(self, job: Job, holds: Any) -> Job:
        def ready() -> bool:
            self.engine.jobs.tick(self.clock.advance(timedelta(milliseconds=2)))
            return bool(holds(self.job(job.id)))

        self._wait(ready)
        return self.job(job.id)

    def _wait(self, ready: Any) -> None:
        turn, until = threading.Event(), time.monotonic() + _LONG_S
        while not ready():
            assert time.monotonic() < until
            turn.wait(0.02)


def _lives(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def hosted(folder: Path, url: str, **told: Any) -> Trained:
    """Open an engine in `folder` that trains at an endpoint."""
    usual: dict[str, Any] = {"allow_private": True, "poll_s": 0.001, "timeout_s": 2, "model": "small-1", "min_rows": 10}
    return _opened(folder, Finetune(base_url=url, **{**usual, **told}))


def trained(folder: Path, script: str, **told: Any) -> Trained:
    """Open an engine in `folder` that trains with `script`; the first one there is told 60 corrections."""
    file = folder / "script.py"
    file.write_text(script, "utf-8")
    return _opened(folder, Finetune(command=f"{sys.executable} {file} {{train}}", **{"min_rows": 10, **told}))


def _opened(folder: Path, finetune: Finetune) -> Trained:
    clock, closing = SetClock(NOW), ExitStack()
    settings = Settings(
        storage=Storage(path=str(folder)),
        lake=Lake(enabled=False),
        embedding=Embedding(kind="none"),
        finetune=finetune,
    )
    engine = closing.enter_context(assemble(settings, clock=clock, inline_runs=True))
    world, asker = World(engine), {}
    for number in range(60):
        user = f"user-{number}"
        answer = world.asked(f"What of matter {number} {'abcdefghij'[number % 10] * 9}?", user=user)
        world.said(answer, "correction", text=f"Matter {number} is settled so.", user_id=user)
        asker[answer] = user
    if engine.store.rollout(PROJECT, "support") is None:
        world.settle()
    return Trained(engine, clock, asker, closing)


def begin_hosted(folder: str, url: str) -> None:
    """Order a job at an endpoint and follow it until killed."""
    made = hosted(Path(folder), url, timeout_s=60)
    job = made.order()
    sys.stdout.write(f"ordered {job.id}\n")
    sys.stdout.flush()
    made.ended(job)


def begin(folder: str) -> None:
    """Start a job and say so, then wait to be killed."""
    made = trained(Path(folder), SLOW)
    job = made.running(made.order())
    made.told(job)
    sys.stdout.write(f"running {job.id} {job.progress['group']}\n")
    sys.stdout.flush()
    threading.Event().wait()
