"""Actions in their order and effects beside them, over a real store."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.act.evidence import Evidence
from trimtab.act.order import NOTICE, Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runs import RunState
from trimtab.act.stage import ActStage
from trimtab.errors import ConfigError
from trimtab.records import ChangeKind, Exemplar, Incident, Rule, Run, Version
from trimtab.store.ports import Query, Writes

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}


class OneRule:
    """Adds a fixed rule, once."""

    kind: ChangeKind = "rule"

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        possible = not situation.base.rules and "once" not in tried
        return Plan(action=self.kind, possible=possible, reason="one rule")

    def gather(self, _: Situation) -> dict[str, Any]:
        return {"corrections": ["once"]}

    def propose(self, situation: Situation, _: dict[str, Any]) -> Proposal:
        return Proposal(msgspec.structs.replace(situation.base, rules=[Rule(id="r1", text="Be kind.")]))


class Tell:
    """Writes down on the incident that it was told of."""

    name = "tell"

    def plan(self, _: Situation) -> Plan:
        return Plan(action=self.name, possible=True, reason="tells")

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        incident = situation.incident
        told = {"told": incident.detail.get("told", 0) + 1}
        return Writes(incidents=[msgspec.structs.replace(incident, detail=told)]), told

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        told = {"told": done["told"] - 1}
        return Writes(incidents=[msgspec.structs.replace(situation.incident, detail=told)])


class Ask(Tell):
    """The same under another name."""

    name = "ask"


class Lost:
    """The record of runs after its file was lost: it knows of none, and starts what it is told to."""

    def __init__(self) -> None:
        self.started: list[Order] = []

    def prepare(self) -> None:
        pass

    def start(self, order: Order) -> None:
        self.started.append(order)

    def state(self, _: str) -> RunState:
        return "unknown"

    def close(self) -> None:
        pass


class World:
    """A world with an incident that fires."""

    def __init__(self, folder: Path) -> None:
        self.loop = LoopWorld(folder)
        shown = [Exemplar(id=f"x{place}", input=ask, output=TRUTH[ask]) for place, ask in enumerate(sorted(TRUTH))]
        self.loop.launch(Version(feature=FEATURE, created_at=START, exemplars=shown[6:]))
        self.loop.serve(TRUTH, answers=80)
        while sum(stage.tick(self.loop.clock.now()) for stage in self.loop.stages[:2]):
            pass

    @property
    def incident(self) -> Incident:
        return self.loop.store.incidents(PROJECT, Query()).rows[0].record

    def playbook(self, *actions: str, ask: tuple[str, ...] = ()) -> IncidentPlaybook:
        told = msgspec.structs.replace(SETTINGS.playbook, actions=actions, ask=ask)
        settings = msgspec.structs.replace(SETTINGS, playbook=told)
        store = self.loop.store
        return IncidentPlaybook(
            store,
            self.loop.redactor,
            settings,
            self.loop.runner,
            actions=[ExemplarAction(Evidence(store, settings)), OneRule()],
            effects=[Tell(), Ask()],
        )

    def runs(self) -> list[Run]:
        return [row.record for row in self.loop.store.runs(PROJECT, Query()).rows]

    def carry_out(self, playbook: IncidentPlaybook, incident: Incident | None = None) -> Order | None:
        order = playbook.planning.next_order(PROJECT, incident or self.incident, self.runs(), self.loop.clock.now())
        for _ in range(2):  # a step that runs again does nothing again
            for _, step in playbook.steps(order) if order else []:
                step(order)  # type: ignore[arg-type]
        return order


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.loop.close()


def test_first_action_with_evidence_is_taken_and_the_next_one_after_it(world: World) -> None:
    playbook = world.playbook("exemplar", "rule")
    first = world.carry_out(playbook)
    assert first is not None
    assert first.action == "exemplar"
    second = playbook.planning.next_order(PROJECT, world.incident, world.runs(), world.loop.clock.now())
    assert second is not None
    assert second.action == "rule"


def test_effects_are_done_once_and_with_the_first_run(world: World) -> None:
    playbook = world.playbook("tell", "rule")
    order = world.carry_out(playbook)
    assert order is not None
    assert (order.action, order.effects) == ("rule", ("tell",))
    assert world.incident.detail == {"told": 1}
    assert playbook.planning.next_order(PROJECT, world.incident, world.runs(), world.loop.clock.now()) is None


def test_run_whose_record_was_lost_between_two_effects_does_the_other_too(world: World) -> None:
    playbook = world.playbook("tell", "ask", "rule")
    order = playbook.planning.next_order(PROJECT, world.incident, [], world.loop.clock.now())
    assert order is not None
    playbook.steps(order)[0][1](order)
    runs = Lost()
    stage = ActStage(world.loop.store, SETTINGS, playbook, runs)
    stage.tick(world.loop.clock.now())
    assert runs.started == [order]
    for _, step in playbook.steps(runs.started[0]):
        step(order)
    assert world.incident.detail == {"told": 2}


def test_held_incident_is_told_of_and_nothing_changes(world: World) -> None:
    playbook = world.playbook("tell", "exemplar")
    held = msgspec.structs.replace(world.incident, held="the rate of voting itself has moved")
    world.loop.store.commit({PROJECT: Writes(incidents=[held])})
    order = world.carry_out(playbook)
    assert order is not None
    assert (order.action, order.effects) == (NOTICE, ("tell",))
    [run] = world.runs()
    assert (run.state, run.playbook) == ("done", NOTICE)
    assert world.loop.store.changes(PROJECT, Query()).rows == []
    assert playbook.planning.next_order(PROJECT, held, world.runs(), world.loop.clock.now()) is None


def test_action_that_must_ask_waits_while_others_go_ahead(world: World) -> None:
    playbook = world.playbook("exemplar", "rule", ask=("exemplar",))
    world.carry_out(playbook)
    [change] = [row.record for row in world.loop.store.changes(PROJECT, Query()).rows]
    assert (change.kind, change.state) == ("exemplar", "awaiting")
    assert [plan.policy for plan in playbook.planning.plans(PROJECT, world.incident, world.loop.clock.now())] == [
        "ask",
        "auto",
    ]


def test_plan_says_what_each_action_would_do_and_does_nothing(world: World) -> None:
    playbook = world.playbook("tell", "exemplar", "rule")
    plans = playbook.planning.plans(PROJECT, world.incident, world.loop.clock.now())
    assert [plan.action for plan in plans] == ["tell", "exemplar", "rule"]
    assert all(plan.possible for plan in plans)
    assert plans[1].detail["corrections"] > 0
    assert world.runs() == []


def test_unknown_action_is_refused_with_those_there_are(world: World) -> None:
    with pytest.raises(ConfigError, match=r"exemplar, rule, tell, got 'exemplars'"):
        world.playbook("exemplars")


def test_retired_case_is_asked_by_no_gate_and_its_correction_makes_no_other(world: World) -> None:
    store, playbook = world.loop.store, world.playbook("exemplar")
    world.carry_out(playbook)
    first, *rest = store.cases(PROJECT, FEATURE)
    assert rest
    store.commit({PROJECT: Writes(retired=[(first.id, world.loop.clock.now())])})
    order = playbook.planning.next_order(PROJECT, world.incident, world.runs(), world.loop.clock.now(), by_hand=True)
    assert order is not None
    assert playbook.gather(order)["cases"] == 0
    made = playbook.build(order)
    playbook.gate(order)
    assert store.cases(PROJECT, FEATURE) == rest
    change = store.change(PROJECT, made["change"])
    assert change is not None
    assert change.gate is not None
    assert [result.case_id for result in change.gate.results] == [case.id for case in rest]
