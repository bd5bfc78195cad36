"""A loop that kills itself at named points. Run as a program: `killed_loop FOLDER POINT...`.

For each POINT a forked child runs the loop in FOLDER, from where the one before was killed, until it reaches the point
and sends itself SIGKILL; a last child runs to the end. Prints how each child ended, as JSON.
A point is `before:NAME`, `inside:NAME` or `after:NAME`: the commit of that name, `inside` meaning after its first
statement.
The point `lost:workflows` removes the workflow engine's files instead, and that child runs to the end.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dbos
import msgspec

from tests.crash.lives import main
from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.config import Canary
from trimtab.records import Exemplar, Version
from trimtab.store.hot import sqlite
from trimtab.store.ports import Query, Writes

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}
BROKEN = 6
ANSWERS = 40
MOST_HOURS = 60
CANARY = Canary(steps=(0.3, 0.6), step_hours=1, step_exposures=20, horizon_hours=24 * 7)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def name_of(writes: Mapping[str, Writes], cursors: Mapping[str, int] | None) -> str:
    """Name a commit by what it does: a step, a promotion, a verification, or the stage that ticked."""
    for each in writes.values():
        for _, step in each.steps:
            return step.name
        for change in each.changes:
            if change.state in ("promoted", "verified") and (each.switches or change.verified_at):
                return "promote" if each.switches else "verify"
        if each.switches and cursors:
            return "step"
        if each.incidents and cursors:
            return "incident"
    return next(iter(cursors or {"other": 0}))


def arm(world: LoopWorld, point: str) -> None:
    """Make the world's store kill the process at the point."""
    when, wanted = point.split(":")
    commit: Callable[..., None] = world.store.commit
    inside = [False]

    def counted(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        here = name_of(writes, cursors) == wanted
        if here and when == "before":
            die()
        inside[0] = here and when == "inside"
        commit(writes, cursors=cursors)
        if here and when == "after":
            die()

    many = sqlite._Write.many

    def broken_off(write: Any, *told: Any) -> None:
        many(write, *told)
        if inside[0]:
            die()

    setattr(world.store, "commit", counted)  # noqa: B010  a method is replaced
    setattr(sqlite._Write, "many", broken_off)  # noqa: B010


def live(folder: Path, point: str | None) -> None:
    """Run the world from the hour in which the one before was killed, until its change is verified."""
    mark = folder / "hour"
    if point == "lost:workflows":
        for file in folder.glob("workflows.db*"):
            file.unlink()
        point = None
    world = LoopWorld(folder, settings=msgspec.structs.replace(SETTINGS, canary=CANARY))
    if point is not None:
        arm(world, point)
    if world.store.rollout(PROJECT, FEATURE) is None:
        shown = [Exemplar(id=f"x{place}", input=q, output=TRUTH[q]) for place, q in enumerate(sorted(TRUTH))]
        world.launch(Version(feature=FEATURE, created_at=START, exemplars=shown[BROKEN:]))
    for row in world.store.runs(PROJECT, Query()).rows:
        # One cut off by a kill goes on by itself, and time stands still meanwhile.
        if row.record.state == "running" and world.runs.state(row.record.id) == "running":
            dbos.DBOS.retrieve_workflow(row.record.id).get_result()
    for hour in range(int(mark.read_text()) if mark.exists() else 0, MOST_HOURS):
        mark.write_text(str(hour))
        world.clock.set(START + timedelta(hours=hour))
        world.random, world.count = random.Random(hour), hour * 1000
        world.serve(TRUTH, answers=ANSWERS)
        world.clock.advance(timedelta(minutes=59))
        while world.tick():
            pass
        changes = world.store.changes(PROJECT, Query()).rows
        if any(row.record.state == "verified" for row in changes):
            break
    world.close()


if __name__ == "__main__":
    main(live)
