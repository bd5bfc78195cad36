"""Group commit: calls that wait at the same time share one transaction, so that durability costs one flush for all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from trimtab.errors import TrimtabError, Unavailable
from trimtab.store.packing import joined
from trimtab.store.ports import EventStore, Packed

__all__ = ["Journal", "Room"]

_IN_FLIGHT_BYTES = 64 << 20
_SMALL_GROUP = 256
_COMPANY_S = 0.0015


class _Waiting(NamedTuple):
    packed: Packed
    done: asyncio.Future[list[bool | None]]


class Room:
    """What may be in flight: each body holds a place in it from its first byte until its events are durable."""

    def __init__(self, in_flight_bytes: int) -> None:
        self._most_bytes = in_flight_bytes
        self._closed = False
        self.in_flight_bytes = 0

    def reserve(self, size: int, *, held: int = 0) -> None:
        """Take `size` bytes of what may be in flight, to be given back with `release`. Raises Unavailable.

        A body that already holds `held` bytes, and is the only one, may grow on: it would never fit otherwise.
        """
        self._require_open()
        if self.in_flight_bytes > held and self.in_flight_bytes + size > self._most_bytes:
            raise Unavailable(
                f"expected at most {self._most_bytes} bytes waiting for the disk, got {self.in_flight_bytes + size}; "
                "send the events again in a moment, or raise ingest.in_flight_bytes"
            )
        self.in_flight_bytes += size

    def release(self, size: int) -> None:
        """Give back what `reserve` took."""
        self.in_flight_bytes -= size

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("this server is shutting down; send the events again in a moment")


class Journal(Room):
    """Writes groups of events one after the other in a thread; while one is written, the next group forms.

    One that is small by then waits a moment for company; a call that comes while nothing is written never waits.

    `append` belongs to one event loop; `append_now` may be called from any thread.
    """

    def __init__(self, store: EventStore, *, group_events: int, in_flight_bytes: int = _IN_FLIGHT_BYTES) -> None:
        super().__init__(in_flight_bytes)
        self._store = store
        self._group_events = group_events
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.groups = 0

    async def append(self, packed: Packed) -> list[bool | None]:
        """Return by position which events were new, once all are durable. Raises Unavailable with none stored."""
        if not packed.order:
            return []
        self._require_open()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(packed, loop.create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write())
        return await waiting.done

    def append_now(self, packed: Packed) -> list[bool | None]:
        """Do what `append` does without an event loop, as a group of its own."""
        return self._store_group(packed) if packed.order else []

    async def drain(self) -> None:
        """Take nothing more, and return when all that was taken is durable. A second call does nothing."""
        self._closed = True
        if self._writer is not None:
            await asyncio.wait([self._writer])
        if self._thread is not None:
            self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trimtab-journal")
        busy = False
        while self._waiting:
            if busy and sum(len(waiting.packed.order) for waiting in self._waiting) < _SMALL_GROUP:
                await asyncio.sleep(_COMPANY_S)
            busy = True
            group = self._next_group()
            packed = joined([waiting.packed for waiting in group])
            try:
                new = await loop.run_in_executor(self._thread, self._store_group, packed)
            except TrimtabError as error:
                _fail(group, error)
            else:
                _answer(group, new)

    def _next_group(self) -> list[_Waiting]:
        """Return whole calls up to the size of a group, at least one."""
        group = [self._waiting.popleft()]
        size = len(group[0].packed.order)
        while self._waiting and size + len(self._waiting[0].packed.order) <= self._group_events:
            size += len(self._waiting[0].packed.order)
            group.append(self._waiting.popleft())
        return group

    def _store_group(self, packed: Packed) -> list[bool | None]:
        try:
            new = self._store.append_packed(packed)
        except TrimtabError:
            raise
        except Exception as error:
            structlog.get_logger("trimtab.ingest").error("append failed", kind=type(error).__name__, exc_info=True)
            raise Unavailable("the events could not be stored and none of them was; send them again") from error
        self.groups += 1
        return new


def _answer(group: Sequence[_Waiting], new: list[bool | None]) -> None:
    start = 0
    for waiting in group:
        end = start + len(waiting.packed.order)
        if not waiting.done.done():  # its caller may have gone away; the rows are stored all the same
            waiting.done.set_result(new[start:end])
        start = end


def _fail(group: Sequence[_Waiting], error: TrimtabError) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(error)
