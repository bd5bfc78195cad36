"""The engine's side of its ingest workers: starts them, stores what they hand over, starts those that end again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import structlog

from trimtab.ingest.intake import Intake
from trimtab.ingest.remote import News, serve_rows
from trimtab.runtime.assemble import Engine
from trimtab.server.asking import answer_all
from trimtab.server.metrics import Metrics
from trimtab.store.ports import Packed

__all__ = ["Fleet"]

# The engine's own code, wherever it was found.
_MAIN: Final = "import sys; sys.path[:] = {path!r}; from trimtab.__main__ import main; main()"
_GRACE_S: Final = 15.0
_FIRST_PAUSE_S: Final = 0.1
_MOST_PAUSE_S: Final = 5.0
_SOUND_S: Final = 10.0


class Fleet:
    """`count` workers that serve `listener`. The engine's own HTTP server listens at `path`, for what they hand on.

    A worker that ends is started again, the sooner the longer it ran. Workers end with this process, however it ends:
    their lines to it close. `open` and `close` belong to the event loop of the engine's server.
    """

    def __init__(self, engine: Engine, listener: socket.socket, count: int) -> None:
        self._engine = engine
        self._listener = listener
        self._count = count
        self._folder = tempfile.mkdtemp(prefix="trimtab-")  # for this user alone; a socket's path must be short
        self.path = str(Path(self._folder) / "engine.sock")
        self._metrics: Metrics | None = None
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._keepers: list[threading.Thread] = []
        self._doors: set[asyncio.Task[None]] = set()
        self._stopping = threading.Event()
        self._log = structlog.get_logger("trimtab.fleet")

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that run."""
        return [process.pid for process in self._running.values()]

    def attach(self, metrics: Metrics) -> None:
        """Say where the workers' counts go."""
        self._metrics = metrics

    async def open(self) -> None:
        """Start the workers."""
        loop = asyncio.get_running_loop()
        for number in range(self._count):
            name = f"trimtab-worker-{number}"
            keeper = threading.Thread(target=self._keep, args=(number, loop), name=name, daemon=True)
            self._keepers.append(keeper)
            keeper.start()

    async def close(self) -> None:
        """Let the workers answer what they took, and end them. A second call does nothing."""
        self._stopping.set()
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._wait)
        if self._doors:
            await asyncio.wait(self._doors)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        for keeper in self._keepers:
            keeper.join(_GRACE_S)
        for process in list(self._running.values()):
            process.kill()
        for keeper in self._keepers:
            keeper.join()

    def _keep(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        """Run one worker after the other, in a thread of its own."""
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            process = self._started(loop)
            self._running[number] = process
            if self._stopping.is_set():  # told to stop between the look and the start
                process.terminate()
            try:
                process.wait(_SOUND_S)
            except subprocess.TimeoutExpired:
                pause = _FIRST_PAUSE_S
                process.wait()
            self._running.pop(number, None)
            if self._stopping.is_set():
                return
            self._log.error("an ingest worker ended; starting another", code=process.returncode, pause_s=pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, _MOST_PAUSE_S)

    def _started(self, loop: asyncio.AbstractEventLoop) -> subprocess.Popen[bytes]:
        rows, their_rows = socket.socketpair()
        asks, their_asks = socket.socketpair()
        handed = [self._listener.fileno(), their_rows.fileno(), their_asks.fileno()]
        with their_rows, their_asks:
            process = subprocess.Popen(
                [sys.executable, "-c", _MAIN.format(path=sys.path), "ingest-worker", *map(str, handed), self.path],
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the engine, which lets them finish
            )
        threading.Thread(target=answer_all, args=(asks, self._engine), name="trimtab-asks", daemon=True).start()
        loop.call_soon_threadsafe(self._open_door, rows)
        return process

    def _open_door(self, rows: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(rows))
        self._doors.add(task)
        task.add_done_callback(self._doors.discard)

    async def _serve(self, rows: socket.socket) -> None:
        intake: Intake = self._engine.intake

        async def store(packed: Packed) -> list[bool | None]:
            new = await intake.journal.append(packed)
            intake.stored(new)
            return new

        reader, writer = await asyncio.open_unix_connection(sock=rows)
        await serve_rows(reader, writer, store, self._hear)

    def _hear(self, news: News) -> None:
        tally = self._engine.intake.tally
        tally.rejected.update(news.rejected)
        tally.withheld += news.withheld
        if self._metrics is None:
            return
        for method, route, status, seconds in news.requests:
            self._metrics.observe(method, route, status, seconds)
        for told in news.lost:
            self._metrics.lost(told)
