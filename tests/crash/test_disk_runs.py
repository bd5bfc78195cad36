"""The record of runs lies on a disk that is full: a run waits, or is taken up again, and none is lost or done twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.crash.disk import filled, small_disk
from tests.crash.test_disk import until
from trimtab.act.order import Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runs import DbosRuns
from trimtab.errors import Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class TwoSteps:
    """A playbook of two steps: the first waits to be let go, the second finds the store away as often as told."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.away = 0
        self.did: list[str] = []
        self.failed: list[str] = []

    def steps(self, _: Order) -> Any:
        return [("first", self._first), ("second", self._second)]

    def _first(self, order: Order) -> dict[str, Any]:
        assert self.go.wait(30)
        self.did.append(f"{order.run_id} first")
        return {}

    def _second(self, order: Order) -> dict[str, Any]:
        if self.away:
            self.away -= 1
            raise Unavailable("the disk is full")
        self.did.append(f"{order.run_id} second")
        return {}

    def fail(self, _: Order, reason: str) -> None:
        self.failed.append(reason)


def order(name: str) -> Order:
    return Order(project_id="p", run_id=name, feature="support", incident_id="i", now=NOW)


def test_a_step_that_finds_the_store_away_is_done_when_it_is_back(tmp_path: Path) -> None:
    playbook = TwoSteps()
    playbook.away = 2
    runs = DbosRuns(cast("IncidentPlaybook", playbook), tmp_path / "workflows.db")
    try:
        runs.start(order("a"))
        until(lambda: runs.state("a") == "done", "the run ends")
        assert (playbook.did, playbook.failed) == (["a first", "a second"], [])
    finally:
        runs.close()


def test_a_run_whose_progress_cannot_be_written_down_is_taken_up_again(tmp_path: Path) -> None:
    playbook = TwoSteps()
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        runs = DbosRuns(cast("IncidentPlaybook", playbook), disk / "workflows.db")
        try:
            runs.start(order("a"))
            until(lambda: runs.state("a") == "done", "the run ends")
            playbook.go.clear()
            runs.start(order("b"))
            with filled(disk):
                playbook.go.set()
                until(lambda: runs.state("b") == "unknown", "the run is let go")
                for name in ("b", "c"):
                    with pytest.raises(Unavailable, match="record of runs"):
                        runs.start(order(name))
            for name in ("b", "c"):
                runs.start(order(name))
            until(lambda: runs.state("b") == runs.state("c") == "done", "both runs end")
        finally:
            runs.close()
    assert playbook.failed == []
    assert playbook.did.count("b second") == playbook.did.count("c second") == 1
