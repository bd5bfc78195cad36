"""The one shape of every error: `{"error": {"code", "message", "param", "doc"}}`. Nothing of the inside is shown."""

from __future__ import annotations

import traceback
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

from trimtab.errors import RateLimited, TrimtabError, Unavailable

__all__ = ["CODES", "HANDLERS", "Problem", "ProblemBody", "problem"]

_DOC = "docs/http-api.md#{}"
_RETRY_AFTER_S = "1"
CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 503: "unavailable"}
"""The codes of what the framework itself refuses; every other 4xx of its is `invalid_input`."""


class ProblemBody(Struct, frozen=True, kw_only=True):
    """What went wrong: a stable code, what to do about it, the field or parameter at fault, where it is explained."""

    code: str
    message: str
    param: str | None
    doc: str


class Problem(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    error: ProblemBody


def problem(
    status: int, code: str, message: str, *, param: str | None = None, headers: dict[str, str] | None = None
) -> Response[Problem]:
    """Return the answer for one error."""
    body = Problem(error=ProblemBody(code=code, message=message, param=param, doc=_DOC.format(code)))
    return Response(body, status_code=status, headers=headers or {}, media_type="application/json")


def _ours(_: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if not isinstance(error, TrimtabError) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    return _told(error)


def _told(error: TrimtabError) -> Response[Problem]:
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = _RETRY_AFTER_S
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.status, error.code, error.message, param=error.param, headers=headers)


def _unexpected(error: Exception) -> Response[Problem]:
    """Answer an error nobody foresaw. Its message may quote what a user wrote, so only its place is logged."""
    if isinstance(error, Unavailable):
        return _told(error)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    structlog.get_logger("trimtab.server").error("unexpected error", kind=type(error).__name__, frames=frames[-12:])
    code = error.code if isinstance(error, TrimtabError) else "internal"
    message = "something went wrong inside; the log has it under this answer's X-Request-Id"
    return problem(500, code, message)


def _framework(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if isinstance(error, HTTPException) and error.detail == "client disconnected prematurely":
        return problem(HTTPStatus.BAD_REQUEST, "malformed_body", "the body ended before it was whole")
    if not isinstance(error, HTTPException) or error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    status = error.status_code
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    where = f"{request.method} {request.scope['path']}"[:200]
    if status == HTTPStatus.NOT_FOUND:
        message = f"expected a path of the API (GET /schema lists them), got {where!r}"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"expected one of the methods {headers.get('Allow', '')} here, got {where!r}"
    elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = "expected a smaller body; send smaller batches, or raise server.body_bytes"
    else:
        message = f"this request cannot be read ({HTTPStatus(status).phrase}); see GET /schema"
    return problem(status, CODES.get(status, "invalid_input"), message, headers=headers)


HANDLERS: dict[int | type[Exception], Any] = {
    TrimtabError: _ours,
    HTTPException: _framework,
    Exception: lambda _, error: _unexpected(error),
}
