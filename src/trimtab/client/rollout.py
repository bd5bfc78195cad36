"""What features serve now: asked for in the background, answered from memory, kept while the server is away.

Switches are heard of on a stream; polling finds what the stream missed, and everything while there is none.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from trimtab.client.listen import Listener
from trimtab.client.transport import Unreachable
from trimtab.client.version import Served, served_from

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.client.ledger import Ledger
    from trimtab.client.transport import Transport

__all__ = ["Rollouts"]

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_SLOWEST_S = 60.0
_CALM_S = 30.0  # between looks while the stream tells of every switch
_AGAIN_S = 0.5
_CACHES: weakref.WeakSet[Rollouts] = weakref.WeakSet()


class _Entry:
    """What is known of one feature. `tried` is set once the server was asked, whatever it said."""

    __slots__ = ("etag", "served", "tried")

    def __init__(self) -> None:
        self.served: Served | None = None
        self.etag = ""
        self.tried = threading.Event()


class Rollouts:
    """A cache of rollouts with its own thread and connection; a feature is polled from the first call that names it."""

    def __init__(
        self,
        transport: Transport,
        ledger: Ledger,
        *,
        refresh_s: float,
        keep: Path | None,
        stream: Transport | None = None,
    ) -> None:
        self._transport, self._ledger, self._refresh_s, self._keep = transport, ledger, refresh_s, keep
        self._listener = Listener(stream, ledger, self._heard) if stream is not None else None
        self.known: dict[str, _Entry] = {}
        """What was asked for, by feature."""
        self._fresh()
        _CACHES.add(self)

    def _fresh(self) -> None:
        self._lock = threading.RLock()
        self._more = threading.Event()
        self._closed = threading.Event()
        self._failures = 0
        self._due: set[str] = set()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def peek(self, feature: str) -> Served | None:
        """Return what is known without asking anyone."""
        entry = self.known.get(feature)
        return entry.served if entry else None

    def get(self, feature: str, wait_s: float) -> Served | None:
        """Return what `feature` serves. Only before the first answer does it wait, `wait_s` at most."""
        entry = self.watch(feature)
        if entry.served is None and not entry.tried.is_set():
            # Whoever waited in vain once is not made to wait again: the next calls take the fallback at once.
            entry.tried.wait(wait_s)
            entry.tried.set()
        if entry.served is None:
            entry.served = self._recall(feature)
        return entry.served

    def watch(self, feature: str) -> _Entry:
        """Begin to follow `feature` without waiting for anything."""
        if self._pid != os.getpid():
            self.forget()
        entry = self.known.get(feature)
        if entry is None or self._thread is None:
            with self._lock:
                entry = self.known.setdefault(feature, _Entry())
                self._due.add(feature)
                self._start()
            self._more.set()
        return entry

    def close(self) -> None:
        """Stop following; what is known stays known."""
        self._closed.set()
        self._more.set()
        if self._listener is not None:
            self._listener.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.2)

    def forget(self) -> None:
        """Start over in a forked child, with what the parent knew."""
        closed = self._closed.is_set()
        self._fresh()
        if closed:
            self._closed.set()
        self._transport.abandon()
        if self._listener is not None:
            self._listener.forget()

    def _start(self) -> None:
        if self._thread is not None or self._closed.is_set():
            return
        thread = threading.Thread(target=self._run, name="trimtab-rollouts", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            return
        self._thread = thread

    def _heard(self, revisions: dict[str, int]) -> None:
        """Ask for the features whose revision is another than the one known; called by the listener's thread."""
        with self._lock:
            for feature, revision in revisions.items():
                entry = self.known.get(feature)
                if entry is not None and (entry.served is None or entry.served.rollout.revision != revision):
                    self._due.add(feature)
        self._more.set()

    def _run(self) -> None:
        looked_at, jitter = float("-inf"), 1.0
        while not self._closed.is_set():
            self._more.clear()
            now = time.monotonic()
            everything = now >= looked_at + self._pause() * jitter
            if everything:
                looked_at, jitter = now, _jitter()
            with self._lock:
                due, self._due = self._due, set()
                asked = [(name, entry) for name, entry in self.known.items() if everything or name in due]
            unanswered = {feature for feature, entry in asked if not self._look(feature, entry)}
            if self._listener is not None:
                self._listener.start()
            wait = looked_at + self._pause() * jitter - time.monotonic()
            if again := due & unanswered:
                with self._lock:
                    self._due |= again
                wait = min(wait, _AGAIN_S * 2.0 ** min(self._failures, 10))
            self._more.wait(max(wait, 0.0))
        self._transport.close()

    def _pause(self) -> float:
        """Return how long to wait from one look at all features to the next."""
        if self._failures:
            return max(self._refresh_s, min(self._refresh_s * 2.0 ** min(self._failures, 5), _SLOWEST_S))
        return max(self._refresh_s, _CALM_S) if self._listener and self._listener.alive else self._refresh_s

    def _look(self, feature: str, entry: _Entry) -> bool:
        """Ask for a feature; say whether the server answered."""
        if self._closed.is_set():
            return False
        try:
            return self._ask(feature, entry)
        except Exception as error:  # noqa: BLE001 the thread must outlive any bug of ours
            self._ledger.warn("bug", f"refresh failed with {type(error).__name__}; please report it")
            return False
        finally:
            entry.tried.set()

    def _ask(self, feature: str, entry: _Entry) -> bool:
        from urllib.parse import quote  # noqa: PLC0415 the app's own imports stay light

        headers = {"If-None-Match": entry.etag} if entry.etag else {}
        try:
            answer = self._transport.request("GET", f"/v1/features/{quote(feature, safe='')}/rollout", headers=headers)
        except Unreachable as error:
            return self._trouble(error.cause)
        if answer.status == 200:
            try:
                entry.served = served_from(json.loads(answer.body))
            except _UNREADABLE:
                return self._trouble("unreadable_answer")
            entry.etag = answer.headers.get("etag", "")
            self._remember(feature, answer.body)
        elif answer.status not in (304, 404):  # 404: the feature has not been seen yet
            return self._trouble(f"http_{answer.status}")
        self._failures = 0
        return True

    def _trouble(self, cause: str) -> bool:
        self._failures += 1
        self._ledger.warn(f"rollout:{cause}", f"cannot refresh rollouts ({cause}); the last known Version stays")
        return False

    def _path(self, feature: str) -> Path | None:
        return self._keep / f"rollout-{sha256(feature.encode()).hexdigest()[:24]}.json" if self._keep else None

    def _remember(self, feature: str, body: bytes) -> None:
        """Keep the answer for a process that starts while the server is away."""
        path = self._path(feature)
        if path is None:
            return
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            draft.replace(path)
        except OSError as error:
            self._ledger.warn(f"keep:{error.errno}", f"cannot keep the last Version on disk ({type(error).__name__})")

    def _recall(self, feature: str) -> Served | None:
        path = self._path(feature)
        try:
            told: Any = json.loads(path.read_bytes()) if path else None
            return served_from(told) if told else None
        except (OSError, *_UNREADABLE):
            return None


def _jitter() -> float:
    """Return a random factor from 0.75 to 1.25, so that a thousand clients do not ask at once."""
    return 0.75 + int.from_bytes(os.urandom(2), "big") / 131072


def _after_fork_in_child() -> None:
    for cache in list(_CACHES):
        cache.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
