"""The prompt action over a real store: when it may run, what it spends, and when it gives nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.actions.port import Situation
from trimtab.act.actions.prompt import PromptAction
from trimtab.act.evidence import Evidence
from trimtab.act.runner import Runner
from trimtab.clock import SetClock
from trimtab.config import Optimizer
from trimtab.errors import Conflict, Unavailable
from trimtab.ids import derived_id
from trimtab.records import Run, Version
from trimtab.store.ports import Query, Writes

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(6)}
RUN = derived_id("run")


class Asked:
    """Answers as the world's runner, and lets something happen before a call."""

    def __init__(self, runner: Runner, before: Any = None) -> None:
        self.runner = runner
        self.before = before
        self.inputs = 0

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        if self.before:
            self.before(self)
        self.inputs += len(inputs)
        return self.runner.answer(version, inputs)


class World:
    def __init__(self, folder: Path) -> None:
        self.loop = LoopWorld(folder)
        self.loop.launch(Version(feature=FEATURE, created_at=START))
        self.loop.serve(TRUTH, answers=80)
        while sum(stage.tick(self.loop.clock.now()) for stage in self.loop.stages[:2]):
            pass
        running = Run(id=RUN, playbook="prompt", feature=FEATURE, state="running", started_at=START)
        self.loop.store.commit({PROJECT: Writes(runs=[running])})

    def action(self, runner: Any = None, **told: Any) -> PromptAction:
        settings = msgspec.structs.replace(SETTINGS, optimizer=Optimizer(**told))
        evidence = Evidence(self.loop.store, settings)
        clock: SetClock = self.loop.clock
        return PromptAction(evidence, self.loop.redactor, runner or self.loop.runner, clock, turn=threading.RLock())

    @property
    def situation(self) -> Situation:
        incident = self.loop.store.incidents(PROJECT, Query()).rows[0].record
        base = Evidence(self.loop.store, SETTINGS).served(PROJECT, FEATURE)
        return Situation(PROJECT, incident, base, self.loop.clock.now(), RUN)

    @property
    def run(self) -> Run:
        run = self.loop.store.run(PROJECT, RUN)
        assert run is not None
        return run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.loop.close()


def test_plan_says_which_search_and_what_it_may_cost(world: World) -> None:
    plan = world.action().plan(world.situation)
    assert (plan.possible, plan.detail["search"], plan.detail["max_calls"]) == (True, "fewshot", 1000)
    words = world.action().gather(world.situation)["corrections"]
    again = world.action().plan(world.situation, words)
    assert (again.possible, again.reason) == (False, "nothing was said since the latest attempt")


@pytest.mark.parametrize(
    ("told", "search", "why"),
    [
        ({}, "fewshot", "optimizer.base_url"),
        ({"base_url": "http://127.0.0.1:9/v1", "model": "m", "min_examples": 500}, "fewshot", "GEPA needs 500"),
        ({"base_url": "http://127.0.0.1:9/v1", "model": "m", "min_examples": 20}, "gepa", "rewrite"),
    ],
)
def test_gepa_needs_an_endpoint_and_words_enough(world: World, told: dict[str, Any], search: str, why: str) -> None:
    plan = world.action(kind="gepa", **told).plan(world.situation)
    assert (plan.possible, plan.detail["search"]) == (True, search)
    assert why in plan.reason


def test_best_by_people_not_learned_from_is_proposed_with_its_lineage(world: World) -> None:
    action = world.action()
    proposal = action.propose(world.situation, action.gather(world.situation))
    assert proposal.version is not None
    told = proposal.detail
    assert told["score_after"] - told["score_before"] >= 0.1
    assert told["changed"] == ["exemplars"]
    assert told["lineage"][0]["version"] == world.situation.base.id
    assert world.run.progress["calls"] <= told["calls"]
    assert not any(word in str(told) for word in TRUTH.values())


def test_gain_too_small_proposes_nothing_and_says_so(world: World) -> None:
    action = world.action(Asked(type("Mute", (), {"answer": lambda _, __, inputs: [""] * len(inputs)})()))
    proposal = action.propose(world.situation, action.gather(world.situation))
    assert proposal.version is None
    assert "10% needed" in proposal.reason


def test_search_that_was_killed_does_not_get_its_budget_anew(world: World) -> None:
    spent = msgspec.structs.replace(world.run, progress={"calls": 995, "usd": 0.2})
    world.loop.store.commit({PROJECT: Writes(runs=[spent])})
    runner = Asked(world.loop.runner)
    action = world.action(runner)
    proposal = action.propose(world.situation, action.gather(world.situation))
    assert (proposal.version, runner.inputs) == (None, 0)
    assert "budget of 1000 calls is spent" in proposal.reason


def test_cancelled_search_makes_no_further_call(world: World) -> None:
    def cancel(asked: Asked) -> None:
        if asked.inputs:
            gone = msgspec.structs.replace(world.run, state="cancelled", steps=[])
            world.loop.store.commit({PROJECT: Writes(runs=[gone])})

    runner = Asked(world.loop.runner, cancel)
    action = world.action(runner)
    with pytest.raises(Conflict, match="cancelled"):
        action.propose(world.situation, action.gather(world.situation))
    assert runner.inputs <= 16
    assert world.run.state == "cancelled"


def test_time_that_is_over_ends_the_search_with_what_it_has(world: World) -> None:
    def later(_: Asked) -> None:
        world.loop.clock.advance(timedelta(minutes=10))

    action = world.action(Asked(world.loop.runner, later), max_minutes=15)
    proposal = action.propose(world.situation, action.gather(world.situation))
    assert "optimizer.max_minutes" in (proposal.detail["ended"])


def test_endpoint_that_is_away_raises_unavailable_and_what_was_spent_stays(world: World) -> None:
    def away(asked: Asked) -> None:
        if asked.inputs:
            raise Unavailable("the model endpoint answered 503")

    action = world.action(Asked(world.loop.runner, away))
    with pytest.raises(Unavailable, match="503"):
        action.propose(world.situation, action.gather(world.situation))
    assert world.run.progress["calls"] > 0
