"""A span as the conventions read it, whichever encoding it came in."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Span", "SpanEvent"]


class SpanEvent(NamedTuple):
    """Something that happened during a span."""

    name: str
    attributes: dict[str, Any]


class Span(NamedTuple):
    """One span. Ids are lower-case hex ("" for none), times nanoseconds since 1970, `failed` says its status is error.

    Attribute values are JSON values: bytes have become base64 text, what is not finite None.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[SpanEvent]
    failed: bool
    status_message: str
    scope: str
    resource: dict[str, Any]
