"""What an exporter is told: an ExportTraceServiceResponse, or a google.rpc.Status, in the encoding it spoke.

Reference: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP response".
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from trimtab.ingest.decode import Rejection
from trimtab.ingest.otlp.protobuf import number_field, text_field
from trimtab.ingest.otlp.wire import Encoding

__all__ = [
    "CONTENT_TYPES",
    "PartialSuccess",
    "TracesAnswer",
    "TracesResponse",
    "encode_answer",
    "encode_status",
    "rpc_code",
]

CONTENT_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_SHOWN = 5
# HTTP status -> google.rpc.Code: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, ...
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 413: 3, 415: 3, 422: 3, 429: 8, 503: 14}
_INTERNAL = 13


class PartialSuccess(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many spans were refused, as text since it is a 64-bit number in protobuf's JSON, and why."""

    rejected_spans: str
    error_message: str


class TracesResponse(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """OTLP's ExportTraceServiceResponse: empty when every span was taken."""

    partial_success: PartialSuccess | None = None


class TracesAnswer(Struct, frozen=True, kw_only=True):
    """What became of a request's spans. `ignored` ones are no model calls; they are accepted and leave nothing behind.

    `rejected` names a span by its place in the request, from 0.
    """

    spans: int
    accepted: int
    duplicates: int
    ignored: int
    rejected: list[Rejection]

    @property
    def error_message(self) -> str:
        """Say in one text which spans were refused and why; empty when none was."""
        told = [f"span {item.index}: {item.message}" for item in self.rejected[:_SHOWN]]
        if len(self.rejected) > _SHOWN:
            told.append(f"and {len(self.rejected) - _SHOWN} more")
        return "; ".join(told)


def encode_answer(answer: TracesAnswer, encoding: Encoding) -> bytes:
    """Return the body of the 200: `partial_success` is set only when spans were refused, as OTLP asks."""
    count, message = len(answer.rejected), answer.error_message
    if encoding == "json":
        partial = PartialSuccess(rejected_spans=str(count), error_message=message) if count else None
        return msgspec.json.encode(TracesResponse(partial_success=partial))
    return text_field(1, number_field(1, count) + text_field(2, message.encode("utf-8", "replace"))) if count else b""


def encode_status(http_status: int, message: str) -> bytes:
    """Return a refusal's body for one who speaks protobuf: a google.rpc.Status."""
    return number_field(1, rpc_code(http_status)) + text_field(2, message.encode("utf-8", "replace"))


def rpc_code(http_status: int) -> int:
    """Return the google.rpc.Code that says what an HTTP status says."""
    return _CODES.get(http_status, _INTERNAL)
