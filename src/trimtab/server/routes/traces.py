"""The way in for other tools: OTLP/HTTP in protobuf or JSON, answered as OTLP says, in the encoding that was sent."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.exceptions import HTTPException

from trimtab.errors import MalformedBody, TrimtabError
from trimtab.ingest.otlp.answer import CONTENT_TYPES, TracesResponse, encode_answer, encode_status, rpc_code
from trimtab.ingest.otlp.wire import Encoding, encoding_of
from trimtab.server.contract import Call, contract, engine_of
from trimtab.server.problems import HANDLERS, Problem

__all__ = ["ROUTES"]


def _encoding(request: Request[Any, Any, Any]) -> Encoding | None:
    try:
        return encoding_of(request.headers.get("content-type", ""))
    except MalformedBody:
        return None


def _refused(kind: type[Exception]) -> Any:
    """Return a handler that tells an exporter in OTLP's way, a google.rpc.Status, what others read in ours."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        told: Response[Problem] = HANDLERS[kind](request, error)
        encoding = _encoding(request)
        if encoding is None:
            return told
        status, problem = told.status_code or 500, told.content.error
        if encoding == "protobuf":
            content = encode_status(status, problem.message)
        else:  # a Status, and beside its fields our own: receivers pass over fields they do not know
            content = msgspec.json.encode({"code": rpc_code(status), "message": problem.message, "error": problem})
        return Response(content, status_code=status, headers=told.headers, media_type=CONTENT_TYPES[encoding])

    return handle


@post(
    "/v1/traces",
    status_code=200,
    exception_handlers={kind: _refused(kind) for kind in (TrimtabError, HTTPException, Exception)},
    opt=contract(
        "ingest",
        "admin",
        body=dict[str, Any],
        answer=TracesResponse,
        body_types=("application/x-protobuf", "application/json"),
        metered=True,
    ),
)
async def add_traces(request: Call) -> Response[bytes]:
    """Take spans, an OTLP ExportTraceServiceRequest; gzip allowed.

    Spans that are calls of a model become inferences, durable when this answers; others are accepted and leave nothing
    behind. A call that makes no inference is counted in `partialSuccess` with its reason. A span sent again is the same
    inference. Errors are a google.rpc.Status in the encoding of the request.
    """
    headers = request.headers
    content_type = headers.get("content-type", "")
    answer = await engine_of(request).intake.accept_traces(
        request.auth.project_id,
        request.stream(),
        content_type=content_type,
        content_encoding=headers.get("content-encoding", ""),
        sender=request.auth.sender,
    )
    encoding = encoding_of(content_type)
    return Response(encode_answer(answer, encoding), media_type=CONTENT_TYPES[encoding])


ROUTES = [add_traces]
