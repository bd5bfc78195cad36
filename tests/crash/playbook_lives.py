"""An engine that answers an incident and kills itself at named points: `playbook_lives FOLDER POINT...` (`lives.main`).

`FOLDER/world.json` says by which action, and where its webhook and its model listen. A point is `WHEN:NAME`. NAME is a
commit (a step's name, a job's state, `delivered`, or whose tick it was); WHEN is `before` it, `inside` it (after its
first statement), `after` it, or for a step `recorded` (after the workflow engine has written it down too). A life that
reaches its end leaves the names of its commits, in their order, in `FOLDER/trace`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dbos
import msgspec
import structlog

from tests.crash.lives import main
from trimtab.clock import SetClock
from trimtab.config import (
    Embedding,
    Finetune,
    Lake,
    Logging,
    Monitoring,
    NotifyTarget,
    Optimizer,
    Playbook,
    Rules,
    Runner,
    Settings,
    Storage,
    Topics,
)
from trimtab.errors import NotFound
from trimtab.ids import derived_id
from trimtab.records import Feature, Rollout, Version
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine, assemble
from trimtab.store.hot.loop import Loop
from trimtab.store.hot.sqlite import _Write
from trimtab.store.ports import Query, Switch, Writes

__all__ = ["ACTIONS", "EFFECTS", "FEATURE", "PROJECT"]

START = datetime(2026, 1, 5, tzinfo=UTC)
PROJECT, FEATURE = "default", "shop"
ACTIONS = ("exemplar", "rule", "knowledge", "prompt", "finetune")
EFFECTS = ("notify", "review", "train")
GOODS = ("bell", "bike", "chain", "fork", "helmet", "lamp", "lock", "pedal", "pump", "saddle", "tube", "wheel")
WRONG = frozenset(GOODS[:6])
TRAINER = """
import json, pathlib, sys
with open(sys.argv[2], "a") as said:
    said.write("trained\\n")
print(json.dumps({"model": f"shop-{len(pathlib.Path(sys.argv[1]).read_text().splitlines())}"}))
"""
ANSWERS, MOST_HOURS = 40, 48
LONG_S = 60.0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def name_of(writes: Mapping[str, Writes], cursors: Mapping[str, int] | None) -> str:
    """Name a commit by what it does, or by the stage that ticked."""
    for each in writes.values():
        for _, step in each.steps:
            return step.name
        for job in each.jobs:
            return f"job.{job.state}" if job.dataset_id else "job.ordered"
        for name in ("delivered", "deliveries", "datasets", "incidents"):
            if getattr(each, name):
                return name
    return next(iter(cursors or {"other": 0}))


def arm(point: str | None, trace: list[str]) -> None:
    """Have the process killed at the point; note down the commits on the way."""
    when, _, wanted = (point or "never:").partition(":")
    commit: Callable[..., None] = Loop.commit
    many, run_step = _Write.many, dbos.DBOS.run_step
    within = threading.local()

    def counted(store: Any, writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        name = name_of(writes, cursors)
        if (when, name) == ("before", wanted):
            die()
        within.armed = (when, name) == ("inside", wanted)
        commit(store, writes, cursors=cursors)
        if (when, name) == ("after", wanted):
            die()
        trace.append(name)

    def broken_off(write: Any, *told: Any) -> int:
        count = many(write, *told)
        if getattr(within, "armed", False):
            die()
        return count

    def recorded(options: Any, *told: Any) -> Any:
        result = run_step(options, *told)
        if (when, options["name"]) == ("recorded", wanted):
            die()
        return result

    setattr(Loop, "commit", counted)  # noqa: B010  methods are replaced
    setattr(_Write, "many", broken_off)  # noqa: B010
    setattr(dbos.DBOS, "run_step", staticmethod(recorded))  # noqa: B010


def settings_in(folder: Path) -> Settings:
    told = json.loads((folder / "world.json").read_text())
    trainer = folder / "trainer.py"
    trainer.write_text(TRAINER)
    command = f"{sys.executable} {trainer} {{train}} {folder / 'trained'}"
    return Settings(
        storage=Storage(path=str(folder)),
        lake=Lake(enabled=False),
        embedding=Embedding(kind="none"),
        topics=Topics(every_hours=0),
        logging=Logging(level="error"),
        monitoring=Monitoring(reference_rate=0.1, horizon_votes=2000, min_users=5),
        playbook=Playbook(actions=(*EFFECTS, told["action"]), cooldown_hours=10_000),
        notify={"ops": NotifyTarget(url=told["webhook"], allow_private=True)},
        finetune=Finetune(command=command, min_rows=1, attempts=100),
        rules=Rules(model="small"),
        runner=Runner(base_url=told["model"]),
        optimizer=Optimizer(max_calls=1_000_000),
    )


def right(goods: str) -> str:
    return f"A {goods} costs {10 + len(goods)} euros."


def launch(engine: Engine) -> None:
    """Declare the feature, once, with ids that are the same in every world."""
    if engine.store.rollout(PROJECT, FEATURE) is not None:
        return
    cleaner = engine.redactor.of(PROJECT)
    version = seal(cleaner, Version(feature=FEATURE, created_at=START))
    rollout = Rollout(
        feature=FEATURE, stable_version_id=version.record.id, updated_at=START, id=derived_id("r"), revision=1
    )
    feature = seal(cleaner, Feature(name=FEATURE, created_at=START))
    engine.store.commit(
        {PROJECT: Writes(features=[feature], versions=[version], switches=[Switch(rollout, 0)])},
    )


def serve(engine: Engine, hour: int, at: datetime) -> None:
    """Take in an hour of answers, of which half of the goods' prices are wrong, with votes and corrections.

    The same hour is the same events, so that one cut off is told again.
    """
    dice = random.Random(hour)
    rollout = engine.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    events: list[dict[str, Any]] = []
    for number in range(ANSWERS):
        goods, user = dice.choice(GOODS), f"user-{dice.randrange(3000)}"
        price = f"A {goods} costs 99 euros." if goods in WRONG else right(goods)
        about = derived_id("answer", str(hour), str(number))
        said = {"inference_id": about, "user_id": user, "created_at": at, "type": "feedback"}
        events.append(
            {
                "type": "inference",
                "id": about,
                "feature": FEATURE,
                "created_at": at,
                "input": f"What does a {goods} cost?",
                "output": price,
                "version_id": rollout.stable_version_id,
                "user_id": user,
                "context": [{"id": f"doc-{goods}", "text": price}],
            }
        )
        events.append({**said, "id": derived_id("vote", about), "kind": "thumb", "value": int(goods not in WRONG)})
        if goods in WRONG:
            events.append({**said, "id": derived_id("word", about), "kind": "correction", "text": right(goods)})
    receipt = engine.intake.accept_now(PROJECT, msgspec.json.encode(events))
    assert receipt.accepted + receipt.duplicates == len(events), receipt


def caught_up(engine: Engine) -> None:
    """Wait for the runs that a kill cut off: they go on by themselves, and time stands still meanwhile."""
    for row in engine.store.runs(PROJECT, Query()).rows:
        if row.record.state == "running" and engine.runs.state(row.record.id) == "running":
            dbos.DBOS.retrieve_workflow(row.record.id).get_result()


def settled(engine: Engine) -> None:
    """Tick until nothing is left to do, jobs that train included."""
    turn, last = threading.Event(), 0.0
    while last < LONG_S:
        engine.settle()
        if not engine.store.jobs(PROJECT, Query(), ("waiting", "running")).rows:
            return
        turn.wait(0.02)  # a process of its own, which tells nobody when it ends
        last += 0.02
    raise AssertionError("a training job does not end")


def is_over(engine: Engine, action: str) -> bool:
    found = [row.record for row in engine.store.runs(PROJECT, Query()).rows]
    waiting = engine.store.deliveries(PROJECT, Query(), ("waiting",)).rows
    return any(run.playbook == action for run in found) and not waiting and all(run.state != "running" for run in found)


def live(folder: Path, point: str | None) -> None:
    """Run the world from the hour in which the life before ended, until its incident is answered."""
    mark = folder / "hour"
    trace: list[str] = []
    action = json.loads((folder / "world.json").read_text())["action"]
    clock = SetClock(START)
    hour = int(mark.read_text()) if mark.exists() else 0
    clock.set(START + timedelta(hours=hour, minutes=59))
    arm(point, trace)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what is printed is how lives ended
    with assemble(settings_in(folder), clock=clock, inline_runs=True) as engine:
        launch(engine)
        caught_up(engine)
        for now in range(hour, MOST_HOURS):
            mark.write_text(str(now))
            clock.set(START + timedelta(hours=now, minutes=59))
            serve(engine, now, clock.now() - timedelta(minutes=5))
            settled(engine)
            if is_over(engine, action):
                break
        else:
            raise NotFound(f"no run of {action!r} in {MOST_HOURS} hours")
    (folder / "trace").write_text("\n".join(trace))


if __name__ == "__main__":
    main(live)
