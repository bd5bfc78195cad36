"""OTLP as JSON: protobuf's JSON mapping with the differences OTLP makes (hex ids), read leniently where senders differ.

Enums may be numbers or names, 64-bit integers text or numbers, any field null.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from trimtab.errors import MalformedBody
from trimtab.ingest.otlp.protobuf import MAX_DEPTH
from trimtab.ingest.otlp.span import Span, SpanEvent, check_count

__all__ = ["decode_json"]

_BIGGEST = (1 << 63) - 1


def decode_json(body: bytes) -> list[Span]:
    """Return the spans of an ExportTraceServiceRequest. Raises MalformedBody."""
    try:
        tree = msgspec.json.decode(body)
    except RecursionError:
        raise _malformed("it is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(str(error).removeprefix("JSON is malformed: ")) from None
    spans: list[Span] = []
    for group in _objects(_object(tree, "the body"), "resourceSpans"):
        resource = _attributes(_part(group, "resource"))
        for inner in _objects(group, "scopeSpans"):
            scope = _text(_part(inner, "scope"), "name")
            found = _objects(inner, "spans")
            check_count(len(spans) + len(found))
            spans.extend(_span(item, scope, resource) for item in found)
    return spans


def _span(item: dict[str, Any], scope: str, resource: dict[str, Any]) -> Span:
    status = _part(item, "status")
    return Span(
        trace_id=_text(item, "traceId").lower(),
        span_id=_text(item, "spanId").lower(),
        parent_id=_text(item, "parentSpanId").lower(),
        name=_text(item, "name"),
        start_ns=_integer(item.get("startTimeUnixNano"), "startTimeUnixNano"),
        end_ns=_integer(item.get("endTimeUnixNano"), "endTimeUnixNano"),
        attributes=_attributes(item),
        events=[
            SpanEvent(_text(event, "name"), _attributes(event))
            for event in _objects(item, "events")
            if event.get("name")  # nobody reads one without
        ],
        failed=status.get("code") in (2, "2", "STATUS_CODE_ERROR"),
        status_message=_text(status, "message"),
        scope=scope,
        resource=resource,
    )


def _attributes(item: dict[str, Any], depth: int = 1, name: str = "attributes") -> dict[str, Any]:
    return {_text(pair, "key"): _any_value(_part(pair, "value"), depth) for pair in _objects(item, name)}


def _any_value(value: dict[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _malformed(f"an attribute nests deeper than {MAX_DEPTH}")
    for kind, told in value.items():
        if told is None:
            continue
        if kind in ("stringValue", "bytesValue"):
            return _text(value, kind)
        if kind == "boolValue":
            return bool(told)
        if kind == "intValue":
            return _integer(told, kind)
        if kind == "doubleValue":
            return _double(told)
        if kind == "arrayValue":
            return [_any_value(item, depth + 1) for item in _objects(_object(told, kind), "values")]
        if kind == "kvlistValue":
            return _attributes(_object(told, kind), depth + 1, "values")
    return None


def _double(told: Any) -> float | None:
    try:
        number = float(told)
    except (TypeError, ValueError, OverflowError):
        raise _malformed(f"doubleValue is {told!r:.40}, not a number") from None
    return number if math.isfinite(number) else None


def _integer(told: Any, name: str) -> int:
    if told is None:
        return 0
    try:
        number = int(told) if isinstance(told, int | str) or float(told).is_integer() else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not -_BIGGEST - 1 <= number <= 2 * _BIGGEST + 1:
        raise _malformed(f"{name} is {told!r:.40}, not a 64-bit integer")
    return number


def _objects(item: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = item.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _malformed(f"{name} is not an array")
    return [_object(part, name) for part in found]


def _part(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    return {} if found is None else _object(found, name)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(f"{name} is not an object")
    return value


def _text(item: dict[str, Any], name: str) -> str:
    found = item.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _malformed(f"{name} is not text")
    return found


def _malformed(what: str) -> MalformedBody:
    return MalformedBody(
        f"expected a JSON ExportTraceServiceRequest, got something else: {what}; check the exporter's protocol and its "
        "content-type"
    )
