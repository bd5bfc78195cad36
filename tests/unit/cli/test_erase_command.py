"""`trimtab erase`: by itself over data nobody serves, through the engine that serves it, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from tests import household as home
from tests.intake import body, inference
from trimtab.cli import app
from trimtab.config import Settings, Storage
from trimtab.runtime.assemble import assemble
from trimtab.runtime.workers import Workers

RUN = CliRunner()


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """Undo what the command does to the log of its process."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with assemble(Settings(storage=Storage(path=str(tmp_path))), inline_runs=True) as engine:
        now = engine.clock.now().isoformat()
        engine.intake.accept_now("default", body(inference(created_at=now, input="the word quollwump")))
        engine.settle()
    return tmp_path


def run(data: Path, *words: str, said: str | None = None) -> tuple[int, str, str]:
    told = RUN.invoke(app, ["erase", *words, "--data", str(data)], input=said)
    return told.exit_code, told.stdout, told.stderr


def test_it_removes_a_person_and_prints_the_receipt(data: Path) -> None:
    status, told, _ = run(data, "user-1", "--yes", "--json")
    assert status == 0
    receipt = json.loads(told)
    assert (receipt["state"], receipt["removed"]["hot"]["inferences"]) == ("done", 1)
    assert home.holding(data, "quollwump") == []
    assert "nothing of theirs" in run(data, "user-1", "--yes")[1]


def test_it_asks_whether_it_is_meant(data: Path) -> None:
    status, told, _ = run(data, "user-1", said="n\n")
    assert status == 1
    assert "for good?" in told
    assert home.holding(data, "quollwump") != []
    assert run(data, "user-1", said="y\n")[0] == 0


def test_an_engine_that_runs_does_the_work(data: Path) -> None:
    with assemble(Settings(storage=Storage(path=str(data)))) as engine:
        status, told, errors = run(data, "user-1", "--yes", "--wait", "0", "--json")
        assert (status, json.loads(told)["state"]) == (1, "working")
        assert "It goes on in the server" in errors
        workers = Workers(engine)
        workers.start()
        try:
            status, told, _ = run(data, "user-1", "--yes", "--json")
        finally:
            workers.stop()
    assert (status, json.loads(told)["state"]) == (0, "done")
    assert home.holding(data, "quollwump") == []


def test_what_is_not_there_is_said_plainly(data: Path, tmp_path: Path) -> None:
    status, _, errors = run(tmp_path / "elsewhere", "user-1", "--yes")
    assert (status, "no data in" in errors) == (2, True)
    assert not (tmp_path / "elsewhere").exists()
    status, _, errors = run(data, "user-1", "--yes", "--project", "other")
    assert (status, "no project 'other'; there is default" in errors) == (2, True)
