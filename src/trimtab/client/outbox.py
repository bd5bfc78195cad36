"""The bounded queue between the app's threads and the one that delivers.

An event is handed over as bytes, or as a `Draft`: values that nobody can change any more, and the function that writes
them as bytes. Drafts are written by the delivery thread, so that the app does not wait for it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from trimtab.client.ledger import Ledger

    Draft = tuple[int, Callable[[Any], bytes], Any]
    """About how many bytes it will have, what writes it, and what that is called with."""
    Item = bytes | Draft

__all__ = ["Limits", "Outbox"]

_HELD_S = 0.0005
_PAUSE_S = 0.00005


class Limits(NamedTuple):
    """How much is kept and sent at once, and how long an event may wait for company."""

    queue_events: int = 20_000
    queue_bytes: int = 32 << 20
    event_bytes: int = 1 << 20
    batch_events: int = 500
    batch_bytes: int = 1_000_000
    linger_s: float = 0.1
    exit_s: float = 2.0


class Outbox:
    """Events that wait, and the batch in flight, which counts as waiting until it is settled.

    `lock` guards all of it. It is the owner's, who may hold it around several calls.
    """

    def __init__(self, lock: threading.RLock, ledger: Ledger, limits: Limits) -> None:
        self._lock, self._ledger, self._limits = lock, ledger, limits
        self._queue: deque[Item] = deque()
        self._in_flight: list[bytes] | list[Item] = []
        self._bytes = 0
        self._most_events, self._most_bytes = limits.queue_events, limits.queue_bytes

    def __len__(self) -> int:
        return len(self._queue) + len(self._in_flight)

    def waiting(self) -> int:
        """Return how many events are not in flight yet."""
        return len(self._queue)

    def add(self, item: Item, size: int) -> int:
        """Take one event of `size` bytes and return how many wait now; 0 when there was no room."""
        with self._lock:
            self._ledger.recorded += 1
            queue, room = self._queue, self._bytes + size
            if room > self._most_bytes or len(queue) + len(self._in_flight) >= self._most_events:
                return 0
            self._bytes = room
            queue.append(item)
            return len(queue)

    def take(self) -> list[bytes]:
        """Move one batch into flight; empty when nothing waits, or when another thread took this batch back."""
        while drafts := self._pop():
            batch = self._written(drafts)
            with self._lock:
                if self._in_flight is not drafts:
                    return []
                self._bytes += sum(map(len, batch)) - sum(map(_size, drafts))
                self._in_flight = batch
            if batch:
                return batch
        return []

    def settle(self) -> None:
        """Forget the batch in flight."""
        with self._lock:
            self._bytes -= sum(map(_size, self._in_flight))
            self._in_flight = []

    def put_back(self, settled: int = 0) -> int:
        """Let the batch in flight wait again, but for its first `settled` events; return how many wait again."""
        with self._lock:
            left = self._in_flight[settled:]
            self._in_flight = self._in_flight[:settled]
            self.settle()
            self._queue.extendleft(reversed(left))
            return len(left)

    def clear(self) -> int:
        """Give up everything that is not in flight; return how many events that were."""
        with self._lock:
            count = len(self._queue)
            self._queue.clear()
            self._bytes = sum(map(_size, self._in_flight))
            return count

    def _pop(self) -> list[Item]:
        items: list[Item] = []
        size = 0
        with self._lock:
            while self._queue and len(items) < self._limits.batch_events:
                size += _size(self._queue[0])
                if items and size > self._limits.batch_bytes:
                    break
                items.append(self._queue.popleft())
            self._in_flight = items
        return items

    def _written(self, items: list[Item]) -> list[bytes]:
        """Write what is not written yet. What cannot be, or is too large, is counted and left out.

        Python runs one thread at a time; so after half a millisecond the app's threads are given their turn.
        """
        written: list[bytes] = []
        since = time.perf_counter()
        for item in items:
            if isinstance(item, bytes):
                written.append(item)
                continue
            _, write, told = item
            try:
                event = write(told)
            except Exception as error:  # noqa: BLE001 one event that cannot be written must not hold up the others
                cure = f"a call failed with {type(error).__name__}; Client(strict=True) shows where"
                self._ledger.lose("invalid", 1, cure)
                continue
            if len(event) > self._limits.event_bytes:
                self._ledger.lose("too_large", 1, f"an event may have {self._limits.event_bytes} bytes")
                continue
            written.append(event)
            if time.perf_counter() - since > _HELD_S:
                time.sleep(_PAUSE_S)
                since = time.perf_counter()
        return written


def _size(item: Item) -> int:
    return len(item) if isinstance(item, bytes) else item[0]
