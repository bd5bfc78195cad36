"""Processes end, fork and are killed. Each scene runs in interpreters of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire_server import Step, WireServer

ROOT = Path(__file__).resolve().parents[3]
HEAD = "import os, signal, sys, trimtab\nfrom trimtab.client import Limits\n"


def start(program: str, wire: WireServer, folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "TRIMTAB_URL": wire.url,
        "TRIMTAB_KEY": "k",
        "XDG_STATE_HOME": str(folder),
    }
    command = [sys.executable, "-W", "error", "-c", HEAD + program]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(program: str, wire: WireServer, folder: Path) -> list[str]:
    """Run `program` to its end and return the words it printed; it must end well and in silence."""
    process = start(program, wire, folder)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert (process.returncode, err) == (0, "")
    return out.split()


def test_a_process_that_just_ends_delivers_first(wire: WireServer, tmp_path: Path) -> None:
    printed = finish(
        "client = trimtab.Client(feature='f')\nfor n in range(1000): print(client.record(input=str(n)))",
        wire,
        tmp_path,
    )
    assert len(printed) == 1000
    assert sorted(wire.arrivals) == sorted(printed)


def test_a_process_that_ends_by_an_exception_delivers_first(wire: WireServer, tmp_path: Path) -> None:
    process = start(
        "client = trimtab.Client(feature='f')\nprint(client.record(input='x'))\nsys.exit(3)", wire, tmp_path
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert wire.arrivals == out.split()


@pytest.mark.parametrize("order", ["early", "late"])
def test_events_recorded_by_exit_handlers_are_kept(wire: WireServer, tmp_path: Path, order: str) -> None:
    program = (
        "import atexit\n"
        f"{'trimtab.Client' if order == 'late' else ''}\n"
        "atexit.register(lambda: print(client.record(input='last words'), flush=True))\n"
        "client = trimtab.Client(feature='f')\n"
    )
    printed = finish(program, wire, tmp_path)
    finish("assert trimtab.Client(feature='f').flush(20)", wire, tmp_path)
    assert len(printed) == 1
    assert wire.arrivals == printed


def test_a_process_that_ends_while_the_server_is_away_leaves_its_events_to_the_next(
    wire: WireServer, tmp_path: Path
) -> None:
    wire.default = Step("status", status=503)
    program = "client = trimtab.Client(feature='f')\nfor n in range(50): print(client.record(input=str(n)))"
    process = start(program, wire, tmp_path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not wire.events
    wire.default = Step()
    finish("assert trimtab.Client(feature='f').flush(20)", wire, tmp_path)
    assert sorted(wire.arrivals) == sorted(out.split())


def test_a_process_ends_in_time_while_the_server_hangs(wire: WireServer, tmp_path: Path) -> None:
    wire.default = Step("hang")
    program = (
        "client = trimtab.Client(feature='f', timeout_s=3600, limits=Limits(exit_s=0.2))\n"
        "print(client.record(input='x'))"
    )
    printed = finish(program, wire, tmp_path)
    wire.default = Step()
    wire.release()
    finish("assert trimtab.Client(feature='f').flush(20)", wire, tmp_path)
    assert sorted(wire.events) == printed


@pytest.mark.parametrize("away", [Step("hang"), Step("status", status=500)])
def test_durable_events_survive_sigkill(wire: WireServer, tmp_path: Path, away: Step) -> None:
    wire.default = away
    program = (
        "client = trimtab.Client(feature='f', durable=True)\n"
        "for n in range(200): print(client.record(input=str(n)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = start(program, wire, tmp_path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    wire.default = Step()
    wire.release()
    finish("assert trimtab.Client(feature='f').flush(20)", wire, tmp_path)
    assert sorted(wire.events) == sorted(out.split())


def test_a_killed_process_is_succeeded_by_one_that_lives(wire: WireServer, tmp_path: Path) -> None:
    wire.default = Step("status", status=500)
    killed = start(
        "client = trimtab.Client(feature='f', durable=True)\nprint(client.record(input='x'), flush=True)\n"
        "signal.pause()",
        wire,
        tmp_path,
    )
    assert killed.stdout is not None
    inference_id = killed.stdout.readline().strip()
    killed.kill()
    killed.communicate(timeout=60)
    wire.default = Step()
    # The living one shares the directory and only records something of its own.
    printed = finish(
        "client = trimtab.Client(feature='f')\nprint(client.record(input='y'))\nassert client.flush(20)", wire, tmp_path
    )
    assert set(wire.events) == {inference_id, *printed}


def test_many_processes_share_one_spool_directory(wire: WireServer, tmp_path: Path) -> None:
    wire.default = Step("status", status=500)
    program = (
        "client = trimtab.Client(feature='f', durable=True, limits=Limits(linger_s=0.005))\n"
        "for n in range(300): print(client.record(input=str(n)))\n"
        "sys.stdout.flush()\nclient.flush(30)"
    )
    processes = [start(program, wire, tmp_path) for _ in range(3)]
    wire.await_that(lambda: len(wire.posts()) >= 6, timeout_s=60)
    wire.default = Step()
    printed = [word for process in processes for word in process.communicate(timeout=60)[0].split()]
    finish("assert trimtab.Client(feature='f').flush(20)", wire, tmp_path)
    assert len(printed) == 900
    assert sorted(wire.events) == sorted(printed)


FORK = """
client = trimtab.Client(feature='f', durable={durable}, limits=Limits(linger_s=30))
print(client.record(input='parent before'), flush=True)
pid = os.fork()
if pid == 0:
    print(client.record(input='child'), flush=True)
    assert client.stats().recorded == 1, client.stats()
    assert client.flush(20)
    assert client.stats().lost == dict()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print(client.record(input='parent after'), flush=True)
assert client.flush(20)
assert client.stats().accepted == 2 or {durable}, client.stats()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("durable", [False, True])
def test_parent_and_child_of_a_fork_each_deliver_their_own(wire: WireServer, tmp_path: Path, durable: bool) -> None:
    program = FORK.format(durable=durable)
    if sys.version_info >= (3, 12):
        program = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + program
    printed = finish(program, wire, tmp_path)
    assert len(set(printed)) == 3
    assert sorted(wire.arrivals) == sorted(printed)


POOL = """
import multiprocessing
client = trimtab.Client(feature='f')
print(client.record(input="parent") + "\\n", end="", flush=True)  # in one write, so that lines stay whole
def work(n):
    print(client.record(input=str(n)) + "\\n", end="", flush=True)
context = multiprocessing.get_context('fork')
workers = [context.Process(target=work, args=(n,)) for n in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_workers_deliver_at_their_end(wire: WireServer, tmp_path: Path) -> None:
    program = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + POOL
    printed = finish(program, wire, tmp_path)
    assert len(printed) == 5
    assert sorted(wire.arrivals) == sorted(printed)


def test_a_fork_in_the_middle_of_recording_leaves_no_lock_held(wire: WireServer, tmp_path: Path) -> None:
    program = """
import threading, warnings
warnings.simplefilter('ignore', DeprecationWarning)
client = trimtab.Client(feature='f', durable=True)
stop = threading.Event()
def busy():
    while not stop.wait(0.0005): client.record(input='x' * 100)
threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        client.record(input='child')
        assert client.flush(15)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set()
for thread in threads: thread.join()
assert client.flush(30)
"""
    finish(program, wire, tmp_path)
    assert sum(event["input"] == "child" for event in wire.events.values()) == 10


def test_what_the_worker_needs_is_not_imported_before_it_works(wire: WireServer, tmp_path: Path) -> None:
    program = (
        "trimtab.Client\n"
        "heavy = ('http.client', 'ssl', 'gzip', 'sqlite3', 'asyncio', 'inspect', 'logging', 'email', 'socket')\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    assert finish(program, wire, tmp_path) == []
