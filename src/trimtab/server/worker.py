"""An ingest worker: a process that reads, admits and redacts events, and hands them packed to the one that writes.

It serves the same port as its siblings. What it takes itself are events sent with the app's keys; every other request
it hands on to the engine's process as it came: pages and their limits, reading, deciding, operations.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvicorn
from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from trimtab.clock import Clock, SystemClock
from trimtab.config import Ner, Settings
from trimtab.ingest.intake import Intake
from trimtab.ingest.remote import News, RemoteJournal
from trimtab.redact.project import Redactors
from trimtab.runtime.kept_clock import FollowedClock
from trimtab.runtime.parts import (
    open_redactors,
)
from trimtab.server.address import Addresses
from trimtab.server.asking import Asking
from trimtab.server.auth import Keyring, guard
from trimtab.server.envelope import Envelope
from trimtab.server.event_door import OWN_KEYS, EventDoor
from trimtab.server.forward import Forward
from trimtab.server.limits import Meter
from trimtab.server.problems import HANDLERS
from trimtab.server.routes import events, traces
from trimtab.server.serving import configured, settle_memory

__all__ = ["run_worker"]

_ROUTES: Final = [*events.ROUTES, *traces.ROUTES]
_PATHS: Final = frozenset(path for route in _ROUTES for path in route.paths)
_NEWS_S: Final = 1.0
_MOST_REQUESTS: Final = 20_000


class _Desk(Struct):
    """What routes and guard ask of an engine, as far as they do for events."""

    settings: Settings
    clock: Clock
    intake: Intake


class _Counts:
    """What this worker counts, until it is told on."""

    def __init__(self) -> None:
        self._lost: list[str] = []
        self._requests: list[tuple[str, str, int, float]] = []
        self._failures = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if len(self._requests) < _MOST_REQUESTS:
            self._requests.append((method, route, status, seconds))

    def lost(self, told: str) -> None:
        """Keep what an SDK says it gave up."""
        self._lost.append(told)

    def news(self, intake: Intake, redactors: Redactors) -> News:
        """Return all that was counted since the last time."""
        tally, failures = intake.tally, redactors.failures
        told = News(dict(tally.rejected), tally.withheld + failures - self._failures, self._lost, self._requests)
        tally.rejected, tally.withheld, self._failures = Counter(), 0, failures
        self._lost, self._requests = [], []
        return told


class _Worker:
    """The ASGI application of one worker."""

    def __init__(self, rows: socket.socket, asking: Asking, settings: Settings, path: str) -> None:
        self._rows = rows
        self._settings = settings
        self._asking = asking
        self._redactors = open_redactors(msgspec.structs.replace(settings, ner=Ner()), asking)  # stages look twice
        self._counts = _Counts()
        self._forward = Forward(path)
        self._tasks: list[asyncio.Task[None]] = []
        self.on_gone: Callable[[], None] = lambda: None
        by_hand = settings.server.clock == "set"
        self._clock: Clock = FollowedClock(Path(settings.storage.path)) if by_hand else SystemClock()
        self._own = settings.limits.ingest_events_per_s is None  # one meter counts for all workers: the engine's
        self.app = Litestar(
            route_handlers=[copy(route) for route in _ROUTES],
            guards=[guard],
            exception_handlers=HANDLERS,
            state=State({
                "keyring": Keyring(asking),
                "meter": Meter(settings.limits),
                "addresses": Addresses(settings.server.trusted_proxies),
                "metrics": self._counts,
            }),
            openapi_config=None,
            logging_config=None,
            request_max_body_size=settings.server.body_bytes,
            on_startup=[self._open],
            on_shutdown=[self._close],
        )  # fmt: skip
        door = EventDoor(
            self.app.asgi_handler,
            lambda: self.app.state["engine"].intake,
            keyring=self.app.state["keyring"],
            meter=self.app.state["meter"],
            addresses=self.app.state["addresses"],
            losses=self._counts,
            body_bytes=settings.server.body_bytes,
        )
        self._enveloped = Envelope(door, self._clock, self._counts.observe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
        elif self._own and _is_own(scope):
            scope["litestar_app"] = self.app
            await self._enveloped(scope, receive, send)
        else:
            await self._forward(scope, receive, send)

    async def _open(self) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=self._rows)
        ingest = self._settings.ingest
        room = max(ingest.in_flight_bytes // ingest.workers, self._settings.server.body_bytes)
        journal = RemoteJournal(reader, writer, in_flight_bytes=room)
        body_bytes = self._settings.server.body_bytes
        late = self._settings.retention.late_events
        intake = Intake(self._asking, journal, self._redactors, self._clock, ingest, body_bytes=body_bytes, late=late)
        self.app.state["engine"] = _Desk(self._settings, self._clock, intake)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen(journal)), loop.create_task(self._tell(journal, intake))]

    async def _listen(self, journal: RemoteJournal) -> None:
        await journal.listen()
        self.on_gone()

    async def _tell(self, journal: RemoteJournal, intake: Intake) -> None:
        while True:
            await asyncio.sleep(_NEWS_S)
            journal.tell(self._counts.news(intake, self._redactors))

    async def _close(self) -> None:
        desk = cast("_Desk", self.app.state["engine"])
        journal = cast("RemoteJournal", desk.intake.journal)
        await journal.drain()
        journal.tell(self._counts.news(desk.intake, self._redactors))
        for task in self._tasks:
            task.cancel()
        await journal.close()
        await self._forward.close()


def _is_own(scope: Any) -> bool:
    """Say whether these are events of the app itself: a page's come with limits that only the engine can count."""
    if scope["method"] != "POST" or scope["path"] not in _PATHS:
        return False
    key = b""
    for name, value in scope["headers"]:
        if name == b"origin":
            return False
        if name == b"authorization":
            key = value
    return key.startswith(OWN_KEYS)


def run_worker(listener: socket.socket, rows: socket.socket, asking: Asking, settings: Settings, path: str) -> None:
    """Serve until SIGTERM, or until the engine's process has gone; `path` is the engine's own HTTP server."""
    worker = _Worker(rows, asking, settings, path)
    server = uvicorn.Server(configured(cast("Any", worker)))

    def leave() -> None:
        server.should_exit = True

    worker.on_gone = leave
    settle_memory()
    server.run(sockets=[listener])
