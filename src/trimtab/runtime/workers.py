"""The thread that ticks an engine's stages."""

from __future__ import annotations

import threading
import time

import structlog

from trimtab.errors import TrimtabError
from trimtab.runtime.assemble import Engine

__all__ = ["Workers"]

_MAX_PAUSE_S = 30.0
_ALL_STAGES_S = 0.1


class Workers:
    """Ticks the stages in a thread of its own: at once when woken, else every `engine.tick_seconds`.

    While events come in, the first stage alone runs as often as it can, so that feedback can be read with its inference
    within milliseconds; the others, which look at many votes at a time, run ten times a second at most.

    A stage that raises is logged and tried again with growing pauses; its cursor has not moved, so nothing is skipped.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = structlog.get_logger("trimtab.workers")
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.last_error: str | None = None

    def start(self) -> None:
        """Start the thread. A second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="trimtab-stages", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Say that there is work now. Safe from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Let the tick under way end, and stop. A second call does nothing."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _loop(self) -> None:
        pause = self._engine.settings.engine.tick_seconds
        due = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            everything = time.monotonic() >= due
            try:
                handled = self._engine.tick(first=None if everything else 1)
            except Exception as error:  # noqa: BLE001  the loop outlives any one failure
                self._failed(error)
                pause = min(max(pause, 0.1) * 2, _MAX_PAUSE_S)
                self._stop.wait(pause)
                continue
            pause = self._engine.settings.engine.tick_seconds
            self.last_error = None
            if everything:
                due = time.monotonic() + _ALL_STAGES_S
            if handled == 0:
                self._wake.wait(pause if everything else max(0.0, due - time.monotonic()))

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = error.message if isinstance(error, TrimtabError) else type(error).__name__
        self._log.error(
            "stage failed",
            error=self.last_error,
            kind=type(error).__name__,
            exc_info=not isinstance(error, TrimtabError),
        )
