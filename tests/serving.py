"""A real Trimtab server in a process of its own, for tests that need one: started, killed and stopped by its pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Literal

import httpx

from tests.live import pages
from trimtab.clock import Clock, SetClock, SystemClock
from trimtab.config import Settings, Storage
from trimtab.records import KeyKind
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import assemble
from trimtab.server.auth import mint
from trimtab.store.ports import Writes

__all__ = ["ServerProcess"]

_PATIENCE_S = 60.0


class ServerProcess:
    """`trimtab serve` over a directory. `settings` go into its environment; `now` gives it a clock that can be set."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, *, now: datetime | None = None) -> None:
        self.folder = folder
        self.writes_to = folder / "server.log"
        self._now = now
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # a killer may come from another thread; it waits for a start to end
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys = self._mint()

    def start(self, *, until: Literal["/readyz", "/healthz"] = "/readyz") -> None:
        """Start it, unless it runs, and return when it is ready, or answers at all."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start(until)

    def _start(self, until: str) -> None:
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TRIMTAB_STORAGE__PATH": str(self.folder),
            "TRIMTAB_SERVER__PORT": str(self.port),
            "TRIMTAB_SERVER__CLOCK": "set" if self._now else "system",
            **self._settings,
        }
        with self.writes_to.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "serve"],
                env=environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log()[-3000:]}")
            try:
                if httpx.get(self.url + until, timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.02)  # its port is not open yet; nothing can be awaited before that
        raise AssertionError(f"the server was not ready in {_PATIENCE_S} s:\n{self.log()[-3000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Return all it has written."""
        return (self.folder / "server.log").read_text(errors="replace")

    def headers(self, kind: KeyKind = "admin") -> dict[str, str]:
        """Return what a request must carry to be let in with a key of this kind."""
        return {"Authorization": f"Bearer {self.keys[kind]}"}

    def _end(self, how: signal.Signals) -> None:
        with self._lock:
            if self._process is None:
                return
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def _mint(self) -> dict[KeyKind, str]:
        clock: Clock = SetClock(self._now) if self._now else SystemClock()
        kinds: tuple[KeyKind, ...] = ("admin", "ingest", "read", "public")
        storage = Storage(path=str(self.folder), url=self._settings.get("TRIMTAB_STORAGE__URL", ""))
        with assemble(Settings(storage=storage), clock=clock) as engine:
            minted = {kind: mint(kind, "default", "test", clock.now(), origins=pages(kind)) for kind in kinds}
            engine.store.commit(
                {"default": Writes(keys=[seal(engine.redactor.of("default"), key.key) for key in minted.values()])}
            )
        return {kind: key.secret for kind, key in minted.items()}
