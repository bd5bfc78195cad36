"""What an engine killed in the middle of its playbooks has come to, compared with one that was never killed."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.crash.lives import lived
from tests.crash.playbook_lives import EFFECTS, FEATURE, PROJECT
from tests.llm_endpoint import LlmEndpoint
from tests.webhook_receiver import Receiver
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query

__all__ = ["End", "World", "chosen", "faults", "moments", "world"]

RULE = "Name the price as the list of this month has it."
STEPS = {*(f"do_{name}" for name in EFFECTS), "gather", "build", "gate", "expose", "close"}
WHENS = ("before", "inside", "after", "recorded")
# What a search spent before it was killed counts, and a job's set is built anew.
_NOT_COMPARED = {"calls", "usd", "dataset", "dataset_id"}


class End(NamedTuple):
    """The rows in which worlds must agree."""

    incidents: Any
    changes: Any
    runs: Any
    rollouts: Any
    versions: Any
    cases: Any
    reviews: Any
    jobs: Any
    deliveries: Any


class World(NamedTuple):
    """One world's end: how its lives ended, its rows, what came to its webhook by id, and how often it trained."""

    lives: list[int]
    end: End
    arrived: dict[str, list[bytes]]
    trained: int
    trace: list[str]

    @property
    def repeated(self) -> int:
        """How many messages arrived again under an id that had arrived before."""
        return sum(len(bodies) - 1 for bodies in self.arrived.values())


@contextmanager
def _outside() -> Iterator[tuple[Receiver, LlmEndpoint]]:
    with Receiver(200) as receiver, LlmEndpoint(says=RULE) as model:
        yield receiver, model


def world(folder: Path, action: str, points: Sequence[str] = ()) -> World:
    """Live in `folder`, killed at each point in turn, and then to the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with _outside() as (receiver, model):
        told = {"action": action, "webhook": receiver.url, "model": f"{model.url}/v1"}
        (folder / "world.json").write_text(json.dumps(told))
        lives = lived("tests.crash.playbook_lives", folder, *points)
    arrived: dict[str, list[bytes]] = {}
    for request in receiver.requests:
        arrived.setdefault(request.headers["Trimtab-Delivery"], []).append(request.body)
    store = open_sqlite(folder / "trimtab.db")
    try:
        end = _end(store)
    finally:
        store.close()
    said = folder / "trained"
    trained = len(said.read_text().splitlines()) if said.exists() else 0
    return World(lives, end, arrived, trained, (folder / "trace").read_text().split())


def moments(trace: Sequence[str]) -> list[str]:
    """Return every point of a life that left this trace, in order."""
    names = list(dict.fromkeys(trace))
    return [f"{when}:{name}" for name in names for when in WHENS if when != "recorded" or name in STEPS]


def chosen(trace: Sequence[str], kills: int, worlds: int, seed: int) -> list[list[str]]:
    """Return `kills` points, drawn by `seed`, for so many worlds, each world's in the order in which they come.

    As far as there are kills enough, each step of the playbook is among them.
    """
    dice, points = random.Random(seed), moments(trace)
    of_steps: dict[str, list[str]] = {}
    for point in points:
        name = point.partition(":")[2]
        if name in STEPS:
            of_steps.setdefault(name, []).append(point)
    drawn = [dice.choice(several) for several in of_steps.values()]
    dice.shuffle(drawn)
    rest = [point for point in points if point not in drawn]
    dice.shuffle(rest)
    drawn = [*drawn, *rest][:kills]
    dice.shuffle(drawn)
    return [sorted(drawn[number::worlds], key=points.index) for number in range(worlds)]


def faults(straight: World, found: World, points: Sequence[str]) -> list[str]:
    """Return what is wrong with a killed world; nothing where it ended as the one that was never killed."""
    wrong = []
    if found.lives != [-9] * len(points) + [0]:
        wrong.append(f"lives ended {found.lives}")
    wrong += [
        f"{name}: {getattr(found.end, name)!r} for {getattr(straight.end, name)!r}"
        for name in End._fields
        if getattr(found.end, name) != getattr(straight.end, name)
    ]
    if set(found.arrived) != set(straight.arrived):
        wrong.append("other messages arrived")
    if any(len(set(bodies)) > 1 for bodies in found.arrived.values()):
        wrong.append("one id, two messages")
    if found.trained != straight.trained:
        wrong.append(f"trained {found.trained} times for {straight.trained}")
    return wrong


def _end(store: HotStore) -> End:
    every = Query(newest=False, limit=1000)
    runs = [row.record for row in store.runs(PROJECT, every).rows]
    jobs = [row.record for row in store.jobs(PROJECT, every).rows]
    return End(
        incidents=[row.record for row in store.incidents(PROJECT, every).rows],
        changes=[row.record for row in store.changes(PROJECT, every).rows],
        runs=[_plain({**msgspec.to_builtins(store.run(PROJECT, run.id)), "progress": None}) for run in runs],
        rollouts=store.rollout_history(PROJECT, FEATURE),
        versions=sorted(version.id for version in store.versions(PROJECT, FEATURE)),
        cases=sorted(case.id for case in store.cases(PROJECT, FEATURE)),
        reviews=sorted((item.id, item.state) for item in (row.record for row in store.reviews(PROJECT, every).rows)),
        jobs=[(job.id, job.state, job.model, job.incident_id) for job in jobs],
        deliveries=Counter(
            (each.id, each.kind, each.state) for each in (row.record for row in store.deliveries(PROJECT, every).rows)
        ),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _NOT_COMPARED}
    return [_plain(each) for each in value] if isinstance(value, list) else value
