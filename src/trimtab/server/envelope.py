"""What stands around every request: its id, its line in the log, its headers; and names with a slash in the path."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.clock import Clock
from trimtab.ids import new_id

__all__ = ["Envelope"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNCACHED = (b"cache-control", b"no-store")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

Observe = Callable[[str, str, int, float], None]


class Envelope:
    """Wraps the application. Logs method, path, status and time; never a body, a query string or a key."""

    def __init__(self, app: ASGIApp, clock: Clock, observe: Observe) -> None:
        self._app = app
        self._clock = clock
        self._observe = observe
        self._log = structlog.get_logger("trimtab.http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        # A name may contain a slash, which must not part the path: it is matched as it came, still encoded.
        raw_path = scope.get("raw_path")
        if raw_path:
            scope["path"] = raw_path.decode("latin-1")
        started = time.perf_counter()
        request_id = _asked_id(scope) or new_id(self._clock.now())
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._told(scope, status, request_id, time.perf_counter() - started)

    def _told(self, scope: Any, status: int, request_id: str, seconds: float) -> None:
        route = scope.get("path_template") or "unmatched"
        self._observe(scope["method"], route, status, seconds)
        key = scope.get("auth")
        self._log.log(
            10 if scope["path"] in _QUIET else 20,
            "request",
            method=scope["method"],
            # What names a person is nothing for a log.
            path=route if "{user_id" in route or "{session_id" in route else scope["path"][:300],
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
            **({"key_id": key.id, "project_id": key.project_id} if key is not None else {}),
        )


def _asked_id(scope: Any) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _REQUEST_ID.fullmatch(text) else None
    return None


def _add_headers(message: Any, request_id: str) -> None:
    headers = list(message["headers"])
    headers += _SECURITY
    headers.append((b"x-request-id", request_id.encode()))
    if not any(name.lower() == b"cache-control" for name, _ in headers):
        headers.append(_UNCACHED)
    message["headers"] = headers
