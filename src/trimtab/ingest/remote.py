"""Packed events on their way from a worker process to the one that writes: frames over a socket, and both its ends.

A frame is four bytes of length, little endian, and a message in MessagePack. Both ends are the same installation (a
worker of another generation is turned away before it sends anything), so the form may change with every release.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, TypeVar

import msgspec
import structlog
from msgspec import Struct

from trimtab import errors
from trimtab.errors import TrimtabError, Unavailable
from trimtab.ingest.journal import Room
from trimtab.store.ports import Packed

__all__ = ["Failed", "News", "RemoteJournal", "Rows", "Stored", "framed", "raised", "read_frame", "serve_rows"]

T = TypeVar("T")

_LENGTH: Final = struct.Struct("<I")
_FLAGS: Final[tuple[bool | None, ...]] = (False, True, None)
_GONE: Final = "the process that writes has gone away; send the events again in a moment"
_KINDS: Final[dict[str, type[TrimtabError]]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Unavailable)
}


class Rows(Struct, frozen=True, array_like=True, tag=1):
    """Events to make durable, under a number that the answer repeats."""

    number: int
    packed: Packed


class News(Struct, frozen=True, array_like=True, tag=2):
    """What a worker counted since it last said so: for the metrics, which one process shows for all."""

    rejected: dict[str, int]
    withheld: int
    lost: list[str]
    requests: list[tuple[str, str, int, float]]


class Stored(Struct, frozen=True, array_like=True, tag=1):
    """The events of that number are durable: by position 1 for a new one, 0 for a duplicate, 2 for one erased."""

    number: int
    new: bytes


class Failed(Struct, frozen=True, array_like=True, tag=2):
    """None of the events of that number is stored."""

    number: int
    code: str
    message: str


_encode = msgspec.msgpack.Encoder().encode
_to_writer = msgspec.msgpack.Decoder(Rows | News)
_to_worker = msgspec.msgpack.Decoder(Stored | Failed)


def framed(message: Struct) -> bytes:
    """Return a message as it goes over the socket."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next message, None when the other side has gone."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        return await reader.readexactly(_LENGTH.unpack(head)[0])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def raised(code: str, message: str) -> TrimtabError:
    """Return the error of the other side; what is not known here is something to try again."""
    return _KINDS.get(code, Unavailable)(message)


class RemoteJournal(Room):
    """Stands where a `Journal` does in a worker: hands packed events over and answers once they are durable.

    Belongs to one event loop; `listen` must run there. When the writer goes away, all that waits fails: it may be
    stored or not, and sending it again is safe.
    """

    groups = 0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, in_flight_bytes: int) -> None:
        super().__init__(in_flight_bytes)
        self._reader = reader
        self._writer = writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[list[bool | None]]] = {}

    async def append(self, packed: Packed) -> list[bool | None]:
        """Return by position which events were new, once all are durable. Raises Unavailable."""
        if not packed.order:
            return []
        self._require_open()
        number = next(self._numbers)
        if not self._sent(Rows(number, packed)):
            raise Unavailable(_GONE)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        new: list[bool | None] = await waiting
        return new

    def append_now(self, packed: Packed) -> list[bool | None]:
        """Refuse: a worker has no store of its own. Raises Unavailable."""
        raise Unavailable(
            f"expected events over HTTP, got {len(packed.order)} to store at once; a worker only hands on"
        )

    def tell(self, news: News) -> None:
        """Hand on what was counted; it is lost with a writer that has gone."""
        self._sent(news)

    def _sent(self, message: Rows | News) -> bool:
        try:
            self._writer.write(framed(message))
        except RuntimeError:  # uvloop says so of a transport that broke before `listen` was told
            return False
        return True

    async def listen(self) -> None:
        """Hand answers to those who wait for them, until the writer has gone."""
        while (body := await read_frame(self._reader)) is not None:
            answer = _to_worker.decode(body)
            waiting = self._waiting.pop(answer.number, None)
            if waiting is None or waiting.done():  # its caller has gone away; the rows are stored all the same
                continue
            if isinstance(answer, Stored):
                waiting.set_result([_FLAGS[each] for each in answer.new])
            else:
                waiting.set_exception(raised(answer.code, answer.message))
        self._closed = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unavailable(_GONE))
        await self.close()

    async def drain(self) -> None:
        """Take nothing more, and return when all that was taken is answered. A second call does nothing."""
        self._closed = True
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()))

    async def close(self) -> None:
        """Send what is not sent yet, and hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def serve_rows(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    store: Callable[[Packed], Awaitable[list[bool | None]]],
    hear: Callable[[News], None],
) -> None:
    """Be the writer's end for one worker until that has gone: store what it hands over, hear its news.

    What one worker sends is written in any order and answered each by its number; packs that wait at the same time
    share a commit.
    """
    busy: set[asyncio.Task[None]] = set()

    async def answer(rows: Rows) -> None:
        try:
            reply: Struct = Stored(rows.number, bytes(_FLAGS.index(flag) for flag in await store(rows.packed)))
        except TrimtabError as error:
            reply = Failed(rows.number, error.code, error.message)
        if not writer.is_closing():
            writer.write(framed(reply))

    while (body := await read_frame(reader)) is not None:
        try:
            message = _to_writer.decode(body)
        except msgspec.DecodeError as error:
            structlog.get_logger("trimtab.ingest").error("a worker sent what cannot be read", kind=type(error).__name__)
            break
        if isinstance(message, News):
            hear(message)
            continue
        task = asyncio.get_running_loop().create_task(answer(message))
        busy.add(task)
        task.add_done_callback(busy.discard)
    if busy:  # the worker died: what it had handed over is stored all the same
        await asyncio.wait(busy)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
