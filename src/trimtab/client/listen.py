"""Hears of switches at once: a thread that reads the server's stream of them, and says which features to ask for.

Nothing depends on it: while the stream is refused or broken, rollouts are polled as often as if there were none.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from trimtab.client.transport import Refused, Transport, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.client.ledger import Ledger

__all__ = ["Listener"]

_QUIET_S = 40.0  # the server says something every 15 seconds
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_REFUSED_PAUSE_S = 300.0  # a server that has no stream, or a key that may not read it
_LINE_BYTES = 4 << 20


class Listener:
    """Reads the stream and calls `heard` with the revision of every feature at a hello, of one at a switch.

    `alive` is true from a hello until the stream ends: then, and only then, silence means that nothing has changed.
    """

    def __init__(self, transport: Transport, ledger: Ledger, heard: Callable[[dict[str, int]], None]) -> None:
        self._transport, self._ledger, self._heard = transport, ledger, heard
        self._fresh()

    def _fresh(self) -> None:
        self.alive = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._last_id = ""

    def start(self) -> None:
        """Begin to listen. A second call does nothing."""
        if self._thread is not None or self._closed.is_set():
            return
        thread = threading.Thread(target=self._run, name="trimtab-stream", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            return
        self._thread = thread

    def close(self) -> None:
        """Stop listening, in the middle of a read if need be."""
        self._closed.set()
        self._transport.interrupt()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.2)

    def forget(self) -> None:
        """Start over in a forked child; what the parent listens to stays open for the parent."""
        closed = self._closed.is_set()
        self._fresh()
        if closed:
            self._closed.set()
        self._transport.abandon()

    def _run(self) -> None:
        while not self._closed.is_set():
            began = time.monotonic()
            least = 0.0
            try:
                self._listen()
                cause = "ended"
            except Refused as refusal:
                cause, least = f"http_{refusal.status}", _least_pause(refusal)
            except Unreachable as error:
                cause = error.cause
            except Exception as error:  # noqa: BLE001 the thread must outlive any bug of ours
                cause = type(error).__name__
            was_alive, self.alive = self.alive, False
            self._transport.close()
            if self._closed.is_set():
                return
            if was_alive:
                self._heard({})  # polling takes over at once
            else:
                self._ledger.warn(f"stream:{cause}", f"cannot listen for switches ({cause}); polling for them")
            steady = was_alive and time.monotonic() - began > _LONGEST_PAUSE_S
            self._failures = 0 if steady else self._failures + 1
            grown = _FIRST_PAUSE_S * 2.0 ** min(max(self._failures - 1, 0), 10)
            self._closed.wait(max(min(grown, _LONGEST_PAUSE_S), least) * _jitter())

    def _listen(self) -> None:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        lines = self._transport.lines("/v1/rollouts/stream", headers=headers, quiet_s=_QUIET_S, line_bytes=_LINE_BYTES)
        for name, event_id, data in _events(lines):
            if self._closed.is_set():
                return
            self._last_id = event_id or self._last_id
            told: Any = json.loads(data)
            if name == "hello":
                revisions = {str(feature): int(revision) for feature, revision in told["revisions"].items()}
                self.alive = True
                self._heard(revisions)
            elif name == "rollout":
                self._heard({str(told["feature"]): int(told["revision"])})


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, id and data of each event (WHATWG HTML, server-sent events); comments and unknown fields pass."""
    name, event_id = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield name, event_id, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            event_id = value


def _least_pause(refusal: Refused) -> float:
    if refusal.status in (408, 425, 429) or refusal.status >= 500:
        return refusal.retry_after_s
    return max(_REFUSED_PAUSE_S, refusal.retry_after_s)


def _jitter() -> float:
    """Return a random factor from 0.75 to 1.25, so that a thousand clients do not come back at once."""
    return 0.75 + int.from_bytes(os.urandom(2), "big") / 131072
