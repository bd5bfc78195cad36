"""Who listens for switches: one place per reader, filled by one look at the store for all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from trimtab.errors import RateLimited, Unavailable
from trimtab.records import Rollout
from trimtab.server.caller import Caller
from trimtab.store.ports import CatalogStore, LoopStore, Stored

__all__ = ["Feed", "Hello", "Reader", "Switched"]

_LOOK_S = 1.0
_LOOK_AGAIN_S = (0.02, 0.05, 0.1, 0.2)  # a row is readable a moment after its commit while older ones are under way
_MOST_ROWS = 1000
_RETRY_S = 60


class Switched(Struct, frozen=True, kw_only=True):
    """What a `rollout` event says: the feature whose rollout changed, its revision, and the ETag that goes with it."""

    feature: str
    revision: int
    etag: str


class Hello(Struct, frozen=True, kw_only=True):
    """What the first event of a stream says: the revision of each feature's rollout now."""

    revisions: dict[str, int]


class FeedStore(CatalogStore, LoopStore, Protocol):
    """What the feed reads."""


class Reader:
    """What one stream has still to send: of each feature the newest word alone, so that a slow one costs no memory."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.ended = False
        self._waiting: dict[str, bytes] = {}
        self._ready = asyncio.Event()

    def put(self, feature: str, event: bytes) -> None:
        """Have `event` sent next, in place of an older one about the feature."""
        self._waiting.pop(feature, None)
        self._waiting[feature] = event
        self._ready.set()

    def end(self) -> None:
        """Let the stream end once it looks."""
        self.ended = True
        self._ready.set()

    async def take(self, patience_s: float) -> bytes:
        """Return what there is to send; nothing after `patience_s` seconds without news, or at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ready.wait()
        self._ready.clear()
        events, self._waiting = b"".join(self._waiting.values()), {}
        return events


class Feed:
    """The streams of one application. Looks at the store once a second while somebody listens, at once when woken.

    What the store says is the truth, whichever process wrote it; the wake only makes it quick. Belongs to one event
    loop, but for `wake`.
    """

    def __init__(self, store: FeedStore, *, most: int, most_per_key: int) -> None:
        self._store = store
        self._most = most
        self._most_per_key = most_per_key
        self._readers: set[Reader] = set()
        self._per_key: Counter[str] = Counter()
        self._seq = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._log = structlog.get_logger("trimtab.feed")

    def __len__(self) -> int:
        return len(self._readers)

    def wake(self) -> None:
        """Say that a rollout was switched. Safe from any thread."""
        loop = self._loop
        if loop is not None and self._readers:
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(self._woken.set)

    async def open(self, caller: Caller, last_id: int | None) -> Reader:
        """Return a place to read from, with a hello and what came after `last_id` in it.

        Raises RateLimited when there are as many streams as may be, Unavailable when closing or without the store.
        """
        if self._closed:
            raise Unavailable("the server is stopping; connect again in a moment")
        self._require_room(caller)
        reader = Reader(caller)
        self._readers.add(reader)
        self._per_key[caller.id] += 1
        try:
            async with self._opening:
                if self._looking is None or self._looking.done():
                    self._loop = asyncio.get_running_loop()
                    self._seq = await asyncio.to_thread(self._store.last_rollout)
                    self._looking = asyncio.create_task(self._look())
            # Read after the look has begun: what is switched in between is told twice rather than never.
            events = await asyncio.to_thread(self._first_words, caller.project_id, last_id)
        except BaseException:
            self.leave(reader)
            raise
        for name, event in events:
            reader.put(name, event)
        return reader

    def leave(self, reader: Reader) -> None:
        """Give a place up. A second call does nothing."""
        if reader in self._readers:
            self._readers.discard(reader)
            self._per_key[reader.caller.id] -= 1
            self._per_key += Counter()  # forgets keys without a stream

    def close(self) -> None:
        """End every stream, and take no more."""
        self._closed = True
        for reader in self._readers:
            reader.end()
        self._woken.set()

    def _require_room(self, caller: Caller) -> None:
        told = None
        if len(self._readers) >= self._most:
            told = f"expected at most {self._most} open streams (server.streams)"
        elif self._per_key[caller.id] >= self._most_per_key:
            told = f"expected at most {self._most_per_key} open streams of one key (server.streams_per_key)"
        if told is not None:
            raise RateLimited(
                f"{told}, got one more; poll GET /v1/features/{{feature}}/rollout meanwhile", retry_after_s=_RETRY_S
            )

    def _first_words(self, project_id: str, last_id: int | None) -> list[tuple[str, bytes]]:
        seq = self._store.last_rollout()
        missed: Iterable[Stored[Rollout]] = []
        if last_id is not None and last_id < seq:
            missed = [row for row in self._store.rollouts_after(last_id, _MOST_ROWS) if row.project_id == project_id]
        rollouts = self._store.rollouts(project_id)
        hello = Hello(revisions={feature: one.revision for feature, one in rollouts.items()})
        return [("", _event("hello", seq, hello)), *((row.record.feature, _switched(row)) for row in missed)]

    async def _look(self) -> None:
        """Hand out what is new until nobody listens any more."""
        empty = 0
        while self._readers and not self._closed:
            woken = self._woken.is_set()
            self._woken.clear()
            found = await self._news()
            empty = 0 if woken or found else empty + 1
            pause = _LOOK_AGAIN_S[empty] if empty < len(_LOOK_AGAIN_S) else _LOOK_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _news(self) -> int:
        try:
            rows = await asyncio.to_thread(self._store.rollouts_after, self._seq, _MOST_ROWS)
        except Exception as error:  # noqa: BLE001  readers are told later; they poll besides
            self._log.warning("cannot look for switches", kind=type(error).__name__)
            return 0
        for row in rows:
            for reader in self._readers:
                if reader.caller.project_id == row.project_id:
                    reader.put(row.record.feature, _switched(row))
            self._seq = row.seq
        return len(rows)


def _switched(row: Stored[Rollout]) -> bytes:
    revision = row.record.revision
    return _event("rollout", row.seq, Switched(feature=row.record.feature, revision=revision, etag=f'"{revision}"'))


def _event(name: str, seq: int, told: Struct) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), seq, msgspec.json.encode(told))
