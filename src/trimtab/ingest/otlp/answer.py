"""What an exporter is told: an ExportTraceServiceResponse, or a google.rpc.Status, in the encoding it spoke.

Reference: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP response".
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from trimtab.errors import TrimtabError
from trimtab.ingest.decode import Rejection
from trimtab.ingest.otlp.protobuf import number_field, text_field
from trimtab.ingest.otlp.wire import Encoding

__all__ = ["CONTENT_TYPES", "TracesAnswer", "encode_answer", "encode_error"]

CONTENT_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_SHOWN = 5
# HTTP status -> google.rpc.Code: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, ...
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 413: 3, 415: 3, 422: 3, 429: 8, 503: 14}
_INTERNAL = 13


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
        # protobuf's JSON mapping writes 64-bit numbers as text
        partial = {"partialSuccess": {"rejectedSpans": str(count), "errorMessage": message}} if count else {}
        return msgspec.json.encode(partial)
    return text_field(1, number_field(1, count) + text_field(2, message.encode())) if count else b""


def encode_error(error: TrimtabError, encoding: Encoding) -> bytes:
    """Return the body of a refusal, a google.rpc.Status."""
    code = _CODES.get(error.status, _INTERNAL)
    if encoding == "json":
        return msgspec.json.encode({"code": code, "message": error.message})
    return number_field(1, code) + text_field(2, error.message.encode("utf-8", "replace"))
