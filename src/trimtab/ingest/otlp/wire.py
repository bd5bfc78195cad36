"""Bytes of an ExportTraceServiceRequest into spans: which encoding it is, and what both have in common."""

from __future__ import annotations

from typing import Literal

from trimtab.errors import MalformedBody
from trimtab.ingest.otlp.json_wire import decode_json
from trimtab.ingest.otlp.protobuf import decode_protobuf
from trimtab.ingest.otlp.span import Span

__all__ = ["Encoding", "decode_spans", "encoding_of"]

Encoding = Literal["protobuf", "json"]

_ENCODINGS: dict[str, Encoding] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}


def encoding_of(content_type: str) -> Encoding:
    """Return the encoding a content type stands for. Raises MalformedBody for one that OTLP does not have."""
    mime = content_type.partition(";")[0].strip().lower()
    encoding = _ENCODINGS.get(mime)
    if encoding is None:
        raise MalformedBody(
            f"expected content-type 'application/x-protobuf' or 'application/json', got {mime[:60]!r}; "
            "set the exporter's protocol to http/protobuf or http/json",
            param="content-type",
        )
    return encoding


def decode_spans(body: bytes, encoding: Encoding) -> list[Span]:
    """Return the spans of a request in the order they stand in it. Raises MalformedBody.

    Fields that are not known are passed over, as both encodings ask for.
    """
    return decode_protobuf(body) if encoding == "protobuf" else decode_json(body)
