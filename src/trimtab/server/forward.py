"""Hands a request on, as it came, to the engine's own HTTP server behind a Unix socket, and its answer back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, cast

import httpx
import msgspec
from litestar.types import Receive, Scope, Send

from trimtab.server.problems import Problem, ProblemBody

__all__ = ["Forward"]

_ENGINE = httpx.URL("http://engine")
_PER_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"date"})
_GONE = Problem(
    error=ProblemBody(
        code="unavailable",
        message="the engine is starting or stopping; try again in a moment",
        param=None,
        doc="docs/http-api.md#unavailable",
    )
)


class _Body(httpx.AsyncByteStream):
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                raise httpx.ReadError("the sender went away")
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return


class Forward:
    """An ASGI application over the Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self._transport = httpx.AsyncHTTPTransport(uds=path, limits=httpx.Limits(max_keepalive_connections=32))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        told: Any = scope
        target = told.get("raw_path") or told["path"].encode()
        if told["query_string"]:
            target += b"?" + told["query_string"]
        headers = [(name, value) for name, value in told["headers"] if name not in _PER_HOP]
        request = httpx.Request(
            told["method"], _ENGINE, headers=headers, stream=_Body(receive), extensions={"target": target}
        )
        try:
            answer = await self._transport.handle_async_request(request)
        except httpx.TransportError:
            await _say_gone(send)
            return
        back = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _PER_HOP]
        try:
            await send({"type": "http.response.start", "status": answer.status_code, "headers": back})
            parts = cast("httpx.AsyncByteStream", answer.stream).__aiter__()
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                parts = _until_gone(parts, receive)  # it would go on for a reader that has left
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._transport.aclose()


async def _until_gone(parts: AsyncIterator[bytes], receive: Receive) -> AsyncIterator[bytes]:
    gone = asyncio.create_task(_left(receive))
    try:
        while True:
            part = asyncio.ensure_future(anext(parts, None))
            await asyncio.wait({part, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not part.done():
                part.cancel()
                await asyncio.wait({part})
                return
            told = part.result()
            if told is None:
                return
            yield told
    finally:
        gone.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say_gone(send: Send) -> None:
    body = msgspec.json.encode(_GONE)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": int(HTTPStatus.SERVICE_UNAVAILABLE), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
