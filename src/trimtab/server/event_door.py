"""The short way for the app's own events: what the routes of `routes/events.py` promise, without the framework's share.

Of a single event's 480 microseconds the framework took about 200. Only what needs nothing of it goes this way: a POST
to one of the three routes with a key of the app's own, from no page. All else, and every request that this door cannot
decide, goes on to the application untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, Protocol

import msgspec
from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send

from trimtab.errors import MalformedBody, TrimtabError
from trimtab.ingest.intake import Intake, Receipt
from trimtab.ingest.sender import Sender
from trimtab.records import ApiKey
from trimtab.server.address import Addresses
from trimtab.server.auth import Keyring
from trimtab.server.caller import Caller
from trimtab.server.limits import Meter
from trimtab.server.problems import HANDLERS, Problem

__all__ = ["OWN_KEYS", "EventDoor"]

OWN_KEYS: Final = (b"Bearer tt_ingest_", b"Bearer tt_admin_")
_KINDS: Final[dict[str, Literal["inference", "feedback"] | None]] = {
    "/v1/events": None,
    "/v1/inferences": "inference",
    "/v1/feedback": "feedback",
}
_MAY_SEND: Final = frozenset({"ingest", "admin"})
_MOST_KEY_BYTES: Final = 4096
_JSON: Final = (b"content-type", b"application/json")

_encode = msgspec.json.Encoder().encode


class Losses(Protocol):
    """Who counts what SDKs say they gave up."""

    def lost(self, told: str) -> None:
        """Count what one says."""
        ...


class EventDoor:
    """Stands around the application; `intake` is asked at each request, so that it may be opened later."""

    def __init__(
        self,
        app: ASGIApp,
        intake: Callable[[], Intake],
        *,
        keyring: Keyring,
        meter: Meter,
        addresses: Addresses,
        losses: Losses,
        body_bytes: int,
    ) -> None:
        self._app = app
        self._intake = intake
        self._keyring = keyring
        self._meter = meter
        self._addresses = addresses
        self._losses = losses
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        told: Any = scope
        headers = self._own(told)
        key = await self._key(headers) if headers is not None else None
        if headers is None or key is None:
            await self._app(scope, receive, send)
            return
        told["path_template"] = told["path"]
        try:
            sender = Sender(charge=self._meter.open(key.kind, key.id, self._addresses.of(scope)))
            told["auth"] = Caller(key.id, key.project_id, key.kind, sender)
            answer: Receipt | Response[Problem] = await self._taken(told["path"], headers, key, sender, receive)
        except TrimtabError as error:
            answer = HANDLERS[TrimtabError](None, error)
        except Exception as error:  # noqa: BLE001  whatever nobody foresaw is answered, and logged without its words
            answer = HANDLERS[Exception](None, error)
        await _answer(send, answer)

    async def _taken(
        self, path: str, headers: dict[bytes, bytes], key: ApiKey, sender: Sender, receive: Receive
    ) -> Receipt:
        kind = _KINDS[path]
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        if kind is not None:
            return await self._intake().accept_one(
                key.project_id, _body(receive), kind, content_encoding=encoding, sender=sender
            )
        receipt = await self._intake().accept(
            key.project_id,
            _body(receive),
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            content_encoding=encoding,
            sender=sender,
        )
        lost = headers.get(b"trimtab-lost")
        if lost:
            self._losses.lost(lost.decode("latin-1"))
        return receipt

    def _own(self, scope: Any) -> dict[bytes, bytes] | None:
        """Return the headers of a request that goes this way, else None."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _KINDS:
            return None
        headers = dict(scope["headers"])
        if not headers.get(b"authorization", b"").startswith(OWN_KEYS) or b"origin" in headers:
            return None
        length = headers.get(b"content-length", b"0")
        return headers if length.isdigit() and int(length) <= self._body_bytes else None

    async def _key(self, headers: dict[bytes, bytes]) -> ApiKey | None:
        """Return the key where it may send; the application says what is wrong with any other."""
        secret = headers[b"authorization"].removeprefix(b"Bearer ").strip()
        if len(secret) > _MOST_KEY_BYTES or not secret.isascii():
            return None
        text = secret.decode()
        try:
            key = self._keyring.remembered(text) or await asyncio.to_thread(self._keyring.find, text)
        except TrimtabError:
            return None
        return key if key is not None and key.kind in _MAY_SEND else None


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedBody("the body ended before it was whole")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def _answer(send: Send, answer: Receipt | Response[Problem]) -> None:
    if isinstance(answer, Receipt):
        body, status, more = _encode(answer), 200, []
    else:
        body, status = _encode(answer.content), answer.status_code or 500
        more = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    headers = [_JSON, (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
