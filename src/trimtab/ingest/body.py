"""Bodies as they arrive: unpacked, and reserved in the journal before they are held, however slowly they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Self

from trimtab.ingest.inflate import Inflater
from trimtab.ingest.journal import Room

__all__ = ["Body", "Incoming"]

Body = bytes | AsyncIterable[bytes]
"""A body, whole or in the chunks in which the network brings it."""


class Incoming:
    """One body on its way in. Inside its `with` block it holds a place in the journal for every unpacked byte."""

    def __init__(self, room: Room, body: Body, encoding: str, limit: int) -> None:
        self._room = room
        self._body = body
        self._encoding = encoding
        self._limit = limit
        self._held = 0

    def __enter__(self) -> Self:
        self._room.reserve(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.release(self._held)

    @property
    def size(self) -> int:
        """How many unpacked bytes have come so far."""
        return self._held

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the unpacked body piece by piece. Raises Unavailable, MalformedBody and BodyTooLarge."""
        inflater = Inflater(self._encoding, self._limit)
        async for chunk in _chunks(self._body):
            for piece in inflater.feed(chunk):
                self._room.reserve(len(piece), held=self._held)
                self._held += len(piece)
                yield piece
        inflater.end()

    async def whole(self) -> bytes | bytearray:
        """Return the unpacked body; one that came in one piece is not copied."""
        first: bytes | bytearray | None = None
        async for piece in self.pieces():
            if not first:
                first = piece
            elif isinstance(first, bytearray):
                first += piece
            elif piece:
                first = bytearray(first)
                first += piece
        return first or b""


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        if chunk:
            yield chunk
