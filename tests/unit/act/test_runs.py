"""Durable runs on real files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.order import Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runs import DbosRuns
from trimtab.errors import Conflict, Unavailable
from trimtab.ids import derived_id
from trimtab.records import Change, Exemplar, Run, Version
from trimtab.store.ports import Query

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}


class Runner:
    """Answers from exemplars; what a test wants to happen meanwhile happens first."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None
        self.calls = 0

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        self.calls += 1
        self.meanwhile()
        known = {item.input: item.output for item in version.exemplars}
        return [known.get(text, "") for text in inputs]


class Bench:
    """A world with an incident that fires, and runs on a file of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = LoopWorld(folder)
        self.runner = Runner()
        self.playbook = IncidentPlaybook(
            self.world.store, self.world.redactor, SETTINGS, self.runner, clock=self.world.clock
        )
        shown = [Exemplar(id=f"x{place}", input=ask, output=TRUTH[ask]) for place, ask in enumerate(sorted(TRUTH))]
        self.base = self.world.launch(Version(feature=FEATURE, created_at=START, exemplars=shown[6:]))
        self.world.serve(TRUTH, answers=80)
        while sum(stage.tick(self.world.clock.now()) for stage in self.world.stages[:2]):
            pass
        self.incident = self.world.store.incidents(PROJECT, Query()).rows[0].record
        self.order = Order(
            project_id=PROJECT,
            run_id=derived_id("run", self.incident.id),
            feature=FEATURE,
            incident_id=self.incident.id,
            now=self.world.clock.now(),
        )

    def runs(self, *, inline: bool = True) -> DbosRuns:
        return DbosRuns(self.playbook, self.folder / "runs.db", inline=inline)

    @property
    def run(self) -> Run:
        found = self.world.store.run(PROJECT, self.order.run_id)
        assert found is not None
        return found

    @property
    def changes(self) -> list[Change]:
        return [row.record for row in self.world.store.changes(PROJECT, Query()).rows]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.world.close()


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_run_started_twice_runs_once(bench: Bench) -> None:
    runs = bench.runs()
    try:
        assert runs.state(bench.order.run_id) == "unknown"
        for _ in range(3):
            runs.start(bench.order)
        assert runs.state(bench.order.run_id) == "done"
    finally:
        runs.close()
    assert bench.run.state == "done"
    assert [step.name for step in bench.run.steps] == ["gather", "build", "gate", "expose"]
    assert len(bench.changes) == 1
    assert bench.runner.calls == 2  # each version was asked once


@pytest.mark.parametrize(
    "error", [Unavailable("write to jane.doe@example.com"), ValueError("ask jane.doe@example.com")]
)
def test_failing_step_fails_the_run_and_blocks_its_change_with_a_clean_reason(bench: Bench, error: Exception) -> None:
    bench.runner.meanwhile = raising(error)
    runs = bench.runs()
    try:
        runs.start(bench.order)
    finally:
        runs.close()
    (change,) = bench.changes
    assert (bench.run.state, change.state) == ("failed", "blocked")
    assert bench.run.error == change.reason
    assert change.reason.startswith("gate: ")
    assert "jane.doe" not in change.reason
    rollout = bench.world.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.revision == 1


def test_run_whose_first_step_fails_leaves_word(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(bench.world.store, "cases", broken)
    runs = bench.runs()
    try:
        runs.start(bench.order)
    finally:
        runs.close()
    assert (bench.run.state, bench.run.error) == ("failed", "gather: the disk is full")


def test_candidate_is_exposed_when_the_gate_has_ended_not_when_the_run_began(bench: Bench) -> None:
    def slow() -> None:
        bench.world.clock.advance(timedelta(hours=3))

    bench.runner.meanwhile = slow
    runs = bench.runs()
    try:
        runs.start(bench.order)
    finally:
        runs.close()
    (change,) = bench.changes
    ended = bench.order.now + timedelta(hours=6)
    assert (change.exposed_at, change.step_at, change.gated_at) == (ended, ended, ended)
    assert change.canary["steps"] == [[ended.isoformat(), 0.2]]


def test_second_set_of_runs_in_one_process_is_refused(bench: Bench) -> None:
    runs = bench.runs()
    other = DbosRuns(bench.playbook, bench.folder / "other.db")
    try:
        runs.start(bench.order)
        with pytest.raises(Conflict, match="already runs an engine"):
            other.start(bench.order)
    finally:
        runs.close()
        other.close()


def test_runs_prepared_beforehand_or_while_one_starts_run_as_ever(bench: Bench) -> None:
    runs = bench.runs()
    beside = threading.Thread(target=runs.prepare)
    beside.start()
    runs.start(bench.order)
    beside.join()
    runs.prepare()
    assert runs.state(bench.order.run_id) == "done"
    runs.close()
    runs.prepare()  # too late, and no reason to fail


def test_closed_runs_leave_no_threads(bench: Bench) -> None:
    before = set(threading.enumerate())
    runs = bench.runs()
    runs.start(bench.order)
    assert set(threading.enumerate()) > before
    runs.close()
    runs.close()
    assert set(threading.enumerate()) == before


def test_run_cut_off_by_closing_goes_on_at_the_next_start(bench: Bench) -> None:
    asked, closing = threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        closing.wait()
        raise Unavailable("the connection went away under the call")

    bench.runner.meanwhile = wait
    runs = bench.runs(inline=False)
    runs.start(bench.order)
    assert asked.wait(10)
    closer = threading.Thread(target=runs.close)
    closer.start()
    while not runs._stopping:  # set before the wait for the step
        pass
    closing.set()
    closer.join()
    assert (bench.run.state, bench.changes[0].state) == ("running", "building")

    bench.runner.meanwhile = lambda: None
    again = bench.runs()
    try:
        again.start(bench.order)
    finally:
        again.close()
    assert (bench.run.state, bench.changes[0].state) == ("done", "canary")


def test_lost_workflow_file_is_made_anew_and_the_run_goes_on(bench: Bench) -> None:
    bench.playbook.gather(bench.order)
    bench.playbook.build(bench.order)
    assert [step.name for step in bench.run.steps] == ["gather", "build"]
    bench.world.tick()  # its workflow file knows nothing of this run
    assert (bench.run.state, bench.changes[0].state) == ("done", "canary")
    assert len(bench.changes) == 1
