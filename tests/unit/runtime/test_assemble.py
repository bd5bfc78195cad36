"""The engine as one part: its directory, its lock, its key, its thread."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from trimtab.clock import SetClock, SystemClock
from trimtab.config import Embedding, FeatureOverride, Gate, Lake, Playbook, Retention, Runner, Settings, Storage
from trimtab.config import Engine as EngineSettings
from trimtab.errors import ConfigError, Conflict, MissingExtra, Unavailable
from trimtab.ids import new_id
from trimtab.runtime.assemble import Engine, assemble
from trimtab.runtime.parts import (
    KEY_FILE,
)
from trimtab.runtime.workers import Workers
from trimtab.store.lake.delta import open_lake

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def engine_in(folder: Path) -> Engine:
    settings = Settings(storage=Storage(path=str(folder)), engine=EngineSettings(tick_seconds=0.01))
    return assemble(settings, clock=SetClock(NOW), inline_runs=True)


def test_second_engine_on_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    with engine_in(tmp_path):
        with pytest.raises(Conflict, match="another engine already uses") as caught:
            engine_in(tmp_path)
        assert str(tmp_path) in caught.value.message
    engine_in(tmp_path).close()


def test_engine_of_another_process_is_refused_too_and_a_dead_one_is_not(tmp_path: Path) -> None:
    code = (
        "import sys, fcntl; held = open(sys.argv[1], 'a'); fcntl.flock(held, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    engine_in(tmp_path).close()
    command = [sys.executable, "-c", code, str(tmp_path / "engine.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Conflict):
            engine_in(tmp_path)
        other.kill()
    engine_in(tmp_path).close()


def test_closed_engine_leaves_no_threads_and_closes_once(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    engine = engine_in(tmp_path)
    workers = Workers(engine)
    workers.start()
    assert workers.alive
    workers.stop()
    workers.stop()
    engine.close()
    engine.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(Unavailable):
        engine.tick()


def test_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    engine_in(tmp_path).close()
    file = tmp_path / KEY_FILE
    first = file.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    engine_in(tmp_path).close()
    assert file.read_text() == first


def test_kill_while_the_key_was_made_leaves_a_directory_that_starts(tmp_path: Path) -> None:
    (tmp_path / f"{KEY_FILE}.new").write_text("ab")
    engine_in(tmp_path).close()
    assert len(bytes.fromhex((tmp_path / KEY_FILE).read_text())) == 32


@pytest.mark.parametrize("content", ["", "abcd", "not hexadecimal", "00" * 33])
def test_damaged_key_is_refused_and_the_directory_let_go(tmp_path: Path, content: str) -> None:
    engine_in(tmp_path).close()
    good = (tmp_path / KEY_FILE).read_text()
    (tmp_path / KEY_FILE).write_text(content)
    with pytest.raises(ConfigError, match="damaged"):
        engine_in(tmp_path)
    (tmp_path / KEY_FILE).write_text(good)
    engine_in(tmp_path).close()


class FailsFirst:
    """A stage that fails at its first ticks and says when it works."""

    name = "fails"

    def __init__(self, times: int) -> None:
        self.left = times
        self.worked = threading.Event()

    def tick(self, now: datetime) -> int:
        assert now == NOW
        if self.left:
            self.left -= 1
            raise Unavailable("the disk is full")
        self.worked.set()
        return 0


def test_stage_that_fails_is_tried_again_and_says_so(tmp_path: Path) -> None:
    with engine_in(tmp_path) as engine:
        stage = FailsFirst(2)
        engine.stages = (stage,)
        workers = Workers(engine)
        workers.start()
        assert stage.worked.wait(10)
        workers.stop()
        assert workers.failures == {"fails": 2}
        assert workers.troubles == []


def test_woken_worker_does_not_wait_for_its_pause(tmp_path: Path) -> None:
    with engine_in(tmp_path) as engine:
        engine.settings = msgspec.structs.replace(engine.settings, engine=EngineSettings(tick_seconds=3600))
        stage = FailsFirst(0)
        engine.stages = (stage,)
        workers = Workers(engine)
        workers.start()
        assert stage.worked.wait(10)
        stage.worked.clear()
        workers.wake()
        assert stage.worked.wait(10)
        workers.stop()


def test_settling_ends_when_nothing_is_left_and_says_when_it_never_is(tmp_path: Path) -> None:
    class Endless:
        name = "endless"

        def tick(self, _now: datetime) -> int:
            return 1

    with engine_in(tmp_path) as engine:
        assert engine.settle() == 0
        engine.stages = (Endless(),)
        with pytest.raises(Unavailable, match="still found work"):
            engine.settle()


def living(folder: Path, **sections: Any) -> Engine:
    """Return an engine under a clock of its own."""
    settings = Settings(storage=Storage(path=str(folder)), embedding=Embedding(kind="none"), **sections)
    return assemble(settings, clock=SetClock(NOW), inline_runs=True)


def live(engine: Engine, days: int) -> list[int]:
    """Let days pass with an answer and a vote each; return how many answers the hot store held after each."""
    held = []
    for _ in range(days):
        now = engine.clock.now() + timedelta(days=1)
        cast("SetClock", engine.clock).set(now)
        told = now.isoformat()
        about = {"type": "inference", "id": new_id(now), "feature": "f", "created_at": told, "input": "a"}
        said = {"type": "feedback", "id": new_id(now), "kind": "thumb", "value": 0, "created_at": told}
        body = msgspec.json.encode([about, {**said, "inference_id": about["id"]}])
        assert engine.intake.accept_now("default", body).accepted == 2
        engine.settle()
        held.append(engine.store.hot_span("inferences").rows)
    return held


def test_an_engine_keeps_a_window_in_the_hot_store_and_everything_in_the_lake(tmp_path: Path) -> None:
    with living(tmp_path, retention=Retention(hot_days=10), playbook=Playbook(lookback_days=5.0)) as engine:
        held = live(engine, 25)
        assert held[-1] == held[-5] == 11  # ten days and the day under way
        assert engine.store.purge_marks()["inferences"].rows == 14
    lake = open_lake(tmp_path / "lake", SystemClock())
    assert lake.stats("inferences").rows == 25


@pytest.mark.parametrize(("without_lake", "held"), [(False, 15), (True, 11)])
def test_without_a_lake_nothing_leaves_unless_that_is_allowed(tmp_path: Path, without_lake: bool, held: int) -> None:
    retention = Retention(hot_days=10, without_lake=without_lake)
    lookback = Playbook(lookback_days=5.0)
    with living(tmp_path, retention=retention, playbook=lookback, lake=Lake(enabled=False)) as engine:
        assert live(engine, 15)[-1] == held


def test_an_engine_that_ends_soon_never_loads_the_lake(tmp_path: Path) -> None:
    program = (
        "import sys; from trimtab.config import Settings, Storage; from trimtab.runtime.assemble import assemble\n"
        f"with assemble(Settings(storage=Storage(path={str(tmp_path)!r})), inline_runs=True) as engine: engine.tick()\n"
        "print([name for name in ('deltalake', 'arro3.core') if name in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert answer.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "lake").exists()


def test_a_lake_without_its_library_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trimtab\[server\]', or set lake.enabled = false"):
        engine_in(tmp_path)
    with living(tmp_path, lake=Lake(enabled=False)) as engine:
        engine.settle()


def test_a_lake_at_no_address_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a directory or s3://"):
        living(tmp_path, lake=Lake(uri="ftp://somewhere"))


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({"gate": Gate(check="judge")}, "judge.model"),
        ({"gate": Gate(check="embedding"), "embedding": Embedding(kind="none")}, "gate.check"),
        ({"runner": Runner(kind="webhook")}, "runner.url"),
        ({"runners": {"app": Runner(kind="python", entry="shop")}}, "runners.app.entry"),
        ({"features": {"support": FeatureOverride(runner="app")}}, "features.support.runner"),
    ],
)
def test_what_the_gate_cannot_do_is_refused_at_the_start(tmp_path: Path, told: dict[str, Any], param: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(Settings(storage=Storage(path=str(tmp_path)), **told), clock=SetClock(NOW))
    assert caught.value.param == param
    engine_in(tmp_path).close()  # and holds nothing
