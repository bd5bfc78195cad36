"""What a browser needs besides the API: the script at /sdk.js, preflights answered, and a way in for a closing page."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.errors import TrimtabError
from trimtab.server.auth import Roster
from trimtab.server.origin import allows
from trimtab.server.token import TOKEN

__all__ = ["BrowserDoor", "built_script"]

_EVENT_PATHS = frozenset({"/v1/events", "/v1/feedback"})
_IN_ADDRESS = ("tt_public_", TOKEN)
_PREFLIGHT = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"7200"),
]
_UNBUILT = (
    b"The browser script was not built when Trimtab was installed.\n"
    b"Install Node.js 18 or newer, then install Trimtab again.\n"
)


def built_script() -> bytes | None:
    """Return the browser SDK as it was built at installation; None where it was not."""
    script = files("trimtab.server") / "static/sdk.js"
    return script.read_bytes() if script.is_file() else None


class BrowserDoor:
    """Stands around the application, for the two ways events come in from pages of other origins.

    A page that closes cannot wait for a preflight, so it can send neither an Authorization header nor JSON: it sends
    `text/plain` and its key in the address, as `?key=`. Only a public key or a token is looked for there, because
    addresses end up in logs.

    A preflight comes without its key: it is answered for the origins of any live key, and so that refusals can be read
    so is every request; whether its own key is for that origin is decided by the guard. No cookie is ever looked at.
    """

    def __init__(self, app: ASGIApp, script: bytes | None, roster: Callable[[], Awaitable[Roster]]) -> None:
        self._app = app
        self._roster = roster
        self._script = script
        self._tag = b'"' + hashlib.sha256(script or b"").hexdigest()[:16].encode() + b'"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
        elif scope["path"] == "/sdk.js" and scope["method"] in ("GET", "HEAD"):
            await self._serve_script(scope, send)
        elif scope["path"] not in _EVENT_PATHS:
            await self._app(scope, receive, send)
        else:
            await self._serve_events(scope, receive, send)

    async def _serve_events(self, scope: Any, receive: Receive, send: Send) -> None:
        origin = _header(scope, b"origin")
        allowed = await self._allows(origin)
        if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method"):
            granted = [(b"access-control-allow-origin", origin), *_PREFLIGHT] if allowed else []
            await _answer(send, HTTPStatus.NO_CONTENT, [*granted, (b"vary", b"Origin")])
            return
        _move_key(scope)
        await self._app(scope, receive, _readable_from(origin if allowed else b"", send))

    async def _allows(self, origin: bytes) -> bool:
        if not origin:
            return False
        try:
            return allows((await self._roster()).origins, origin.decode("latin-1"))
        except TrimtabError:  # the store cannot say; the request itself is told so
            return False

    async def _serve_script(self, scope: Any, send: Send) -> None:
        headers = [
            (b"content-type", b"text/javascript; charset=utf-8" if self._script else b"text/plain"),
            (b"cache-control", b"public, max-age=3600" if self._script else b"no-store"),
            (b"etag", self._tag),
            (b"access-control-allow-origin", b"*"),
            (b"cross-origin-resource-policy", b"cross-origin"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._script is None:
            await _answer(send, HTTPStatus.NOT_FOUND, headers, _UNBUILT)
        elif _header(scope, b"if-none-match") == self._tag:
            await _answer(send, HTTPStatus.NOT_MODIFIED, headers)
        else:
            body = b"" if scope["method"] == "HEAD" else self._script
            await _answer(send, HTTPStatus.OK, headers, body, length=len(self._script))


def _header(scope: Any, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _move_key(scope: Any) -> None:
    """Put a public key or token from the address where every other key stands, and take it out of the address."""
    if _header(scope, b"authorization"):
        return
    key = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
    if key.startswith(_IN_ADDRESS) and key.isascii():
        scope["headers"] = [*scope["headers"], (b"authorization", b"Bearer " + key.encode())]
        scope["query_string"] = b""


def _readable_from(origin: bytes, send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            headers["Vary"] = "Origin"
            if origin:
                headers["Access-Control-Allow-Origin"] = origin.decode("latin-1")
                headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
        await send(message)

    return answer


async def _answer(
    send: Callable[[Any], Any],
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes = b"",
    *,
    length: int | None = None,
) -> None:
    size = [] if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) else [str(length or len(body)).encode()]
    lengths = [(b"content-length", one) for one in size]
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, *lengths]})
    await send({"type": "http.response.body", "body": body})
