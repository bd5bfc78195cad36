"""A function of the app answers, in worker processes: it may hang or crash, and the engine goes on."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue

from trimtab.act.answering.patience import Again, patiently
from trimtab.act.answering.question import output_of, question
from trimtab.act.child import Child, ChildError
from trimtab.clock import Clock, SystemClock
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import ConfigError
from trimtab.ids import new_id
from trimtab.records import Payload, Version

__all__ = ["PythonRunner"]

_ENTRY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


class PythonRunner:
    """Calls `entry` with the question that a webhook would get, in at most `parallel` processes started when needed.

    The function returns the answer, or awaits it. One that takes longer than `timeout_s` is killed with its process and
    what that has started. `folder` is where modules are looked for first (the working directory). Raises ConfigError
    for an entry that cannot be imported or an answer that is too long, Unavailable where the function fails.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        *,
        place: str = "runner",
        folder: str | None = None,
        clock: Clock | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        if not _ENTRY.fullmatch(settings.entry):
            raise ConfigError(
                f"{place}.entry: expected a function as 'module:function', got {settings.entry!r}",
                param=f"{place}.entry",
            )
        self._settings = settings
        self._place = place
        self._clock = clock or SystemClock()
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        there = folder or os.getcwd()  # noqa: PTH109  a text for the child's sys.path
        self._children = [
            Child(settings.entry, most_bytes=settings.answer_bytes, folder=there) for _ in range(settings.parallel)
        ]
        self._free: LifoQueue[Child] = LifoQueue()  # the last one used comes first: few questions, few processes
        for child in self._children:
            self._free.put(child)
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="trimtab-python")

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order."""
        return list(self._pool.map(lambda payload: self._ask(version, payload), inputs))

    def close(self) -> None:
        """End the processes, also those under a question."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close()

    def _ask(self, version: Version, payload: Payload) -> str:
        asked = question(version, payload, new_id(self._clock.now()))
        child = self._free.get()
        try:
            return patiently(lambda: self._told(child, asked), self._settings.retries, self._pause)
        finally:
            self._free.put(child)

    def _told(self, child: Child, asked: dict[str, object]) -> str:
        entry = self._settings.entry
        try:
            return output_of(child.ask(asked, self._settings.timeout_s))
        except ChildError as error:
            if error.starting:
                raise ConfigError(
                    f"{self._place}.entry: {entry!r} cannot be imported ({error.kind}); is it on the engine's path?",
                    param=f"{self._place}.entry",
                ) from error
            if error.kind == "size":
                raise ConfigError(
                    f"{entry!r} returned more than {self._settings.answer_bytes} bytes; "
                    f"return less, or raise {self._place}.answer_bytes",
                    param=f"{self._place}.answer_bytes",
                ) from error
            limit = self._settings.timeout_s
            how = {"timeout": f"took longer than {limit:g} s ({self._place}.timeout_s)", "died": "ended its process"}
            raise Again(f"{entry!r} {how.get(error.kind, f'raised {error.kind}')}") from error
