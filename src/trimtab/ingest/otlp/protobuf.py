"""The few messages of OTLP traces, read straight from protobuf's wire format and written back for the answer.

Field numbers: opentelemetry/proto/{collector/trace/v1/trace_service, trace/v1/trace, common/v1/common}.proto. Why there
is no protobuf library here: docs/decisions/0007-otlp-without-a-protobuf-library.md.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

from trimtab.errors import MalformedBody
from trimtab.ingest.otlp.span import Span, SpanEvent, check_count

__all__ = ["MAX_DEPTH", "decode_protobuf", "number_field", "text_field"]

MAX_DEPTH = 32
"""How deep an attribute value may nest; payloads nest at most 64, and JSON inside a value counts anew."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY_TEXT, _VALUE, _STRING = 0x0A, b"\x12", b"\x0a"  # field 1, 2 and 1 of KeyValue, KeyValue and AnyValue, as bytes
_double = struct.Struct("<d").unpack
_fixed64 = struct.Struct("<Q").unpack


def decode_protobuf(body: bytes) -> list[Span]:
    """Return the spans of an ExportTraceServiceRequest. Raises MalformedBody."""
    spans: list[Span] = []
    for field, value in _fields(body):
        if field == 1:
            _resource_spans(_bytes(value, "resource_spans"), spans)
    return spans


def number_field(field: int, value: int) -> bytes:
    """Return a field of an int32 or int64 >= 0; nothing for 0, which is the default."""
    return _varint(field << 3 | _VARINT) + _varint(value) if value else b""


def text_field(field: int, value: bytes) -> bytes:
    """Return a field of text or of a message; nothing when it is empty."""
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value if value else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value): an int for a varint, 8 or 4 raw bytes for a fixed number, bytes for the rest."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _read_varint(data, at - 1)
        kind = key & 7
        if kind == _BYTES:
            size, at = _read_varint(data, at)
            start, at = at, at + size
            if at > end:
                raise _malformed(f"a field of {size} bytes ends after the {end} bytes of its message")
            yield key >> 3, data[start:at]
        elif kind == _VARINT:
            number, at = _read_varint(data, at)
            yield key >> 3, number
        elif kind in (_FIXED64, _FIXED32):
            start, at = at, at + (8 if kind == _FIXED64 else 4)
            if at > end:
                raise _malformed("a fixed-size number is cut off")
            yield key >> 3, data[start:at]
        else:
            raise _malformed(f"wire type {kind} stands for nothing OTLP uses")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    try:
        if data[at] < 0x80:
            return data[at], at + 1
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise _malformed("a number is longer than 10 bytes")
    except IndexError:
        raise _malformed("the data ends inside a number") from None


def _resource_spans(data: bytes, spans: list[Span]) -> None:
    resource: dict[str, Any] = {}
    scopes = []
    for field, value in _fields(data):
        if field == 1:
            for part, item in _fields(_bytes(value, "resource")):
                if part == 1:
                    _key_value(_bytes(item, "attributes"), resource, 1)
        elif field == 2:
            scopes.append(_bytes(value, "scope_spans"))
    # The resource may stand after its spans, so they are read once it is known.
    for scope in scopes:
        _scope_spans(scope, resource, spans)


def _scope_spans(data: bytes, resource: dict[str, Any], spans: list[Span]) -> None:
    name = ""
    found = []
    for field, value in _fields(data):
        if field == 1:
            for part, item in _fields(_bytes(value, "scope")):
                if part == 1:
                    name = _text(item, "scope.name")
        elif field == 2:
            found.append(_bytes(value, "spans"))
    check_count(len(spans) + len(found))
    spans.extend(_span(item, name, resource) for item in found)


def _span(data: bytes, scope: str, resource: dict[str, Any]) -> Span:
    ids = {1: "", 2: "", 4: ""}
    times = {7: 0, 8: 0}
    name, failed, message = "", False, ""
    attributes: dict[str, Any] = {}
    events: list[SpanEvent] = []
    for field, value in _fields(data):
        if field == 9:
            _key_value(_bytes(value, "attributes"), attributes, 1)
        elif field in ids:
            ids[field] = _bytes(value, "trace_id, span_id or parent_span_id").hex()
        elif field == 5:
            name = _text(value, "name")
        elif field in times:
            times[field] = _fixed64(_sized(value, 8, "start_time_unix_nano or end_time_unix_nano"))[0]
        elif field == 11:
            event = _event(_bytes(value, "events"))
            if event.name:  # nobody reads one without
                events.append(event)
        elif field == 15:
            failed, message = _status(_bytes(value, "status"))
    return Span(ids[1], ids[2], ids[4], name, times[7], times[8], attributes, events, failed, message, scope, resource)


def _event(data: bytes) -> SpanEvent:
    name = ""
    attributes: dict[str, Any] = {}
    for field, value in _fields(data):
        if field == 2:
            name = _text(value, "events.name")
        elif field == 3:
            _key_value(_bytes(value, "events.attributes"), attributes, 1)
    return SpanEvent(name, attributes)


def _status(data: bytes) -> tuple[bool, str]:
    code, message = 0, ""
    for field, value in _fields(data):
        if field == 2:
            message = _text(value, "status.message")
        elif field == 3:
            code = _int(value, "status.code")
    return code == 2, message


def _key_value(data: bytes, into: dict[str, Any], depth: int) -> None:
    # Nearly every attribute is a short key and a text, in this order; looking for just that halves the time of a span.
    size = data[1] if len(data) > 3 and data[0] == _KEY_TEXT else 0x80
    if size < 0x80 and data[size + 2 : size + 3] == _VALUE:
        length, at = _read_varint(data, size + 3)
        if at + length == len(data) and data[at : at + 1] == _STRING:
            told, start = _read_varint(data, at + 1)
            if start + told == len(data):
                into[data[2 : size + 2].decode("utf-8", "replace")] = data[start:].decode("utf-8", "replace")
                return
    key, found = "", None
    for field, value in _fields(data):
        if field == 1:
            key = _text(value, "key")
        elif field == 2:
            found = _any_value(_bytes(value, "value"), depth)
    into[key] = found


def _any_value(data: bytes, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _malformed(f"an attribute nests deeper than {MAX_DEPTH}")
    found: Any = None
    for field, value in _fields(data):
        if field == 1:
            found = _text(value, "string_value")
        elif field == 2:
            found = bool(_int(value, "bool_value"))
        elif field == 3:
            number = _int(value, "int_value")
            found = number - (1 << 64) if number >> 63 else number
        elif field == 4:
            number = _double(_sized(value, 8, "double_value"))[0]
            found = number if math.isfinite(number) else None
        elif field == 5:
            array = _fields(_bytes(value, "array_value"))
            found = [_any_value(_bytes(item, "values"), depth + 1) for part, item in array if part == 1]
        elif field == 6:
            found = {}
            for part, item in _fields(_bytes(value, "kvlist_value")):
                if part == 1:
                    _key_value(_bytes(item, "values"), found, depth + 1)
        elif field == 7:
            found = base64.b64encode(_bytes(value, "bytes_value")).decode()
    return found


def _bytes(value: int | bytes, name: str) -> bytes:
    if isinstance(value, int):
        raise _malformed(f"{name} came as a number")
    return value


def _sized(value: int | bytes, size: int, name: str) -> bytes:
    if isinstance(value, int) or len(value) != size:
        raise _malformed(f"{name} did not come as {size} bytes")
    return value


def _int(value: int | bytes, name: str) -> int:
    if not isinstance(value, int):
        raise _malformed(f"{name} did not come as a varint")
    return value


def _text(value: int | bytes, name: str) -> str:
    # An exporter that cuts a long value may cut inside a character; that is no reason to lose the batch.
    return _bytes(value, name).decode("utf-8", "replace")


def _malformed(what: str) -> MalformedBody:
    return MalformedBody(
        f"expected a protobuf ExportTraceServiceRequest, got bytes that are not: {what}; check the exporter's protocol "
        "and its content-type"
    )
