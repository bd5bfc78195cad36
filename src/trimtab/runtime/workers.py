"""The thread that ticks an engine's stages."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import structlog

from trimtab.errors import TrimtabError, Unavailable, whereabouts
from trimtab.runtime.assemble import Engine, Stage

__all__ = ["Trouble", "Workers"]

_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 30.0
_MAX_WAIT_S = 5.0  # for what comes back by itself: a disk, a database
_ALL_STAGES_S = 0.1


class Trouble(NamedTuple):
    """What keeps one stage from its work, and how often in a row it has failed (0: it runs, and part of it waits)."""

    stage: str
    error: str
    failures: int


class _Turn:
    """One stage, and when it may be ticked again after it failed."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.failures = 0
        self.in_a_row = 0
        self.error: str | None = None
        self.due = 0.0


class Workers:
    """Ticks the stages in a thread of its own: at once when woken, else every `engine.tick_seconds`.

    While events come in, the first stage alone runs as often as it can, so that feedback can be read with its inference
    within milliseconds; the others, which look at many votes at a time, run ten times a second at most.

    A stage that raises is logged and tried again with growing pauses of its own, and the others go on meanwhile; its
    cursor has not moved, so nothing is skipped.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = [_Turn(stage) for stage in engine.stages]
        self._log = structlog.get_logger("trimtab.workers")
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

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

    @property
    def failures(self) -> dict[str, int]:
        """How often each stage has failed since the start."""
        return {turn.stage.name: turn.failures for turn in self._turns}

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps stages from their work now, in the order of the stages."""
        found = []
        for turn in self._turns:
            told = turn.error or getattr(turn.stage, "problem", None)
            if told is not None:
                found.append(Trouble(turn.stage.name, told, turn.in_a_row))
        return found

    def _loop(self) -> None:
        pause = self._engine.settings.engine.tick_seconds
        due = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            everything = time.monotonic() >= due
            handled = sum(self._ticked(turn) for turn in (self._turns if everything else self._turns[:1]))
            if everything:
                due = time.monotonic() + _ALL_STAGES_S
            if handled == 0:
                again = min((turn.due for turn in self._turns if turn.in_a_row), default=float("inf"))
                rest = pause if everything else due - time.monotonic()
                self._wake.wait(max(0.0, min(rest, again - time.monotonic())))

    def _ticked(self, turn: _Turn) -> int:
        """Tick one stage, unless it has failed and its pause is not over; return how many rows it handled."""
        if self._stop.is_set() or time.monotonic() < turn.due:
            return 0
        try:
            handled = turn.stage.tick(self._engine.clock.now())
        except Exception as error:  # noqa: BLE001  the loop outlives any one failure
            self._failed(turn, error)
            return 0
        if turn.in_a_row:
            self._log.info("stage works again", stage=turn.stage.name, failures=turn.in_a_row)
            turn.in_a_row, turn.error = 0, None
        return handled

    def _failed(self, turn: _Turn, error: Exception) -> None:
        longest = _MAX_WAIT_S if isinstance(error, Unavailable) else _MAX_PAUSE_S
        pause = min(_FIRST_PAUSE_S * 2.0 ** min(turn.in_a_row, 10), longest)
        told = error.message if isinstance(error, TrimtabError) else whereabouts(error)
        if told != turn.error or pause < longest:  # a fault that stays is said a few times, not for ever
            self._log.error("stage failed", stage=turn.stage.name, error=told, failures=turn.in_a_row + 1, pause=pause)
        turn.failures += 1
        turn.in_a_row += 1
        turn.error = told
        turn.due = time.monotonic() + pause
