"""An answer that goes on: server-sent events to one reader, until either side has enough."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from litestar import Response
from litestar.types import Receive, Scope, Send

from trimtab.server.feed import Feed, Reader

__all__ = ["EventStream"]

HEARTBEAT_S = 15.0
SLOW_S = 20.0
_LIFETIME_S = 900.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"private, no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy must not hold events back
]

StillValid = Callable[[], Awaitable[bool]]


class EventStream(Response[None]):
    """Sends what `reader` gets, and a comment every 15 seconds without news.

    It ends when the reader leaves, is dropped (for 20 seconds it took nothing), when its key is no longer valid (asked
    every 15 seconds, however much news there is), when the server stops, and after a quarter of an hour: whoever
    listens connects again, and one that vanished without a word does not keep its place for ever.
    """

    def __init__(self, feed: Feed, reader: Reader, still_valid: StillValid) -> None:
        super().__init__(None, media_type="text/event-stream")
        self._feed, self._reader, self._still_valid = feed, reader, still_valid

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the stream itself as what answers."""
        return self._serve

    async def _serve(self, _: Scope, receive: Receive, send: Send) -> None:
        reader = self._reader
        watch = asyncio.create_task(_left(receive, reader))
        until = time.monotonic() + _LIFETIME_S * random.uniform(0.8, 1.2)  # noqa: S311  spreads load, hides nothing
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._send(send, b": trimtab\nretry: 2000\n\n")
            asked_at = time.monotonic()
            while time.monotonic() < until:
                events = await reader.take(HEARTBEAT_S)
                if reader.ended:
                    break
                if not events or time.monotonic() - asked_at >= HEARTBEAT_S:
                    if not await self._still_valid():
                        break
                    asked_at = time.monotonic()
                await self._send(send, events or b": still here\n\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            structlog.get_logger("trimtab.feed").info("stream dropped: its reader is too slow", key=reader.caller.id)
        finally:
            self._feed.leave(reader)
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(SLOW_S):
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive, reader: Reader) -> None:
    """End the reader's place when its connection has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
