"""Spans for tests as exporters write them, in OTLP's JSON; `as_protobuf` is what the official library makes of it."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from trimtab.ingest.otlp.mapping import Found, inferences
from trimtab.ingest.otlp.wire import decode_spans
from trimtab.records import Inference

TRACE = "5b8efff798038103d269b633813fc60c"
START_NS = 1_772_366_340_000_000_000  # 2026-03-01T11:59:00Z, a minute before the clock of tests/intake.py


def value(told: Any) -> dict[str, Any]:
    """Return an AnyValue."""
    if isinstance(told, bool):
        return {"boolValue": told}
    if isinstance(told, int):
        return {"intValue": str(told)}
    if isinstance(told, float):
        return {"doubleValue": told}
    if isinstance(told, list):
        return {"arrayValue": {"values": [value(item) for item in told]}}
    if isinstance(told, dict):
        return {"kvlistValue": {"values": attributes(told)}}
    return {} if told is None else {"stringValue": told}


def attributes(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a list of KeyValue."""
    return [{"key": key, "value": value(item)} for key, item in told.items()]


def span(told: dict[str, Any], number: int = 1, *, parent: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a span with these attributes; `number` makes its id and its start, which takes 250 ms."""
    start = START_NS + number * 1_000_000_000
    made = {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": "a span",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 250_000_000),
        "attributes": attributes(told),
    }
    return {**made, **changes}


def event(name: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return a span event."""
    return {"name": name, "timeUnixNano": str(START_NS), "attributes": attributes(told)}


def request(*spans: dict[str, Any], resource: dict[str, Any] | None = None, scope: str = "test") -> bytes:
    """Return an ExportTraceServiceRequest in JSON."""
    group = {"scope": {"name": scope, "version": "1"}, "spans": list(spans)}
    told = attributes({"service.name": "shop"} if resource is None else resource)
    return json.dumps({"resourceSpans": [{"resource": {"attributes": told}, "scopeSpans": [group]}]}).encode()


def as_protobuf(body: bytes) -> bytes:
    """Return a request in JSON as the official library writes it in protobuf, which wants its ids in base64."""
    tree = json.loads(body)
    for group in tree["resourceSpans"]:
        for inner in group["scopeSpans"]:
            for item in inner["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    item[key] = base64.b64encode(bytes.fromhex(item.get(key, ""))).decode()
    return bytes(json_format.ParseDict(tree, ExportTraceServiceRequest()).SerializeToString())


def found(body: bytes, *, event_bytes: int = 1 << 20) -> Found:
    """Return what a request in JSON means."""
    return inferences("default", decode_spans(body, "json"), event_bytes=event_bytes)


def the_one(*spans: dict[str, Any], resource: dict[str, Any] | None = None, scope: str = "test") -> Inference:
    """Return the only inference that these spans make."""
    got = found(request(*spans, resource=resource, scope=scope))
    assert got.rejected == []
    ((_, inference),) = got.events
    assert isinstance(inference, Inference)
    return inference
