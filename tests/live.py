"""A real server for tests: the whole engine behind uvicorn, on a free port of loopback, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import httpx
import msgspec
import uvicorn

from trimtab.clock import Clock, SetClock
from trimtab.config import Settings, Storage
from trimtab.records import KeyKind
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine, assemble
from trimtab.runtime.kept_clock import KeptClock
from trimtab.runtime.workers import Workers
from trimtab.server.app import create_app
from trimtab.server.auth import mint
from trimtab.server.fleet import Fleet
from trimtab.server.serving import configured
from trimtab.server.stopping import StoppingServer
from trimtab.store.ports import Writes

__all__ = ["INGEST_WORKERS", "KINDS", "NOW", "Live", "live", "pages"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS: tuple[KeyKind, ...] = get_args(KeyKind)
INGEST_WORKERS = 0
"""With how many ingest workers `live` serves where its settings name none; a module may set it for its own tests."""


@dataclass
class Live:
    """Where it listens, a key of each kind, the engine behind it, and its ingest workers where it has some."""

    url: str
    keys: dict[str, str]
    engine: Engine
    fleet: Fleet | None = None

    def client(self, kind: str | None = "admin") -> httpx.Client:
        """Return an HTTP client with a key of this kind, or with none."""
        headers = {"Authorization": f"Bearer {self.keys[kind]}"} if kind else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


def pages(kind: KeyKind) -> list[str]:
    """Return where the pages may be that use a test's key of this kind, or its tokens."""
    return [] if kind == "read" else ["*"]


class _Announced(StoppingServer):
    """Says when it listens, so that nobody has to poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self.listening.set()


@contextmanager
def live(
    folder: Path,
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    pages: Callable[[KeyKind], list[str]] = pages,
    stages: bool = False,
) -> Iterator[Live]:
    """Run a server on a store in `folder`, with one key of each kind in project `default`; `stages` run where asked."""
    settings = msgspec.structs.replace(settings or Settings(), storage=Storage(path=str(folder)))
    count = settings.ingest.workers or INGEST_WORKERS
    if count:
        settings = msgspec.structs.replace(settings, ingest=msgspec.structs.replace(settings.ingest, workers=count))
        if isinstance(clock, SetClock):  # other processes can follow one that is kept in a file
            kept = KeptClock(folder)
            kept.set(clock.now())
            settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, clock="set"))
            clock = kept
    with assemble(settings, clock=clock, inline_runs=True) as engine, socket.create_server(("127.0.0.1", 0)) as door:
        minted = {kind: mint(kind, "default", f"{kind} key", engine.clock.now(), origins=pages(kind)) for kind in KINDS}
        sealed = [seal(engine.redactor.of("default"), one.key) for one in minted.values()]
        engine.store.commit({"default": Writes(keys=sealed)})
        workers = Workers(engine) if stages else None
        fleet = Fleet(engine, door, count) if count else None
        app = create_app(engine, workers=workers, fleet=fleet)
        server = _Announced(configured(app, path=fleet.path if fleet else None))
        thread = threading.Thread(target=server.run, args=(None if fleet else [door],), name="test-server")
        thread.start()
        if workers is not None:
            workers.start()
        try:
            assert server.listening.wait(30)
            port = door.getsockname()[1]
            keys: dict[str, str] = {kind: one.secret for kind, one in minted.items()}
            yield Live(f"http://127.0.0.1:{port}", keys, engine, fleet)
        finally:
            server.should_exit = True
            thread.join(30)
            if workers is not None:
                workers.stop()
