"""A span as the conventions read it, whichever encoding it came in."""

from __future__ import annotations

from typing import Any, NamedTuple

from trimtab.errors import BodyTooLarge

__all__ = ["Span", "SpanEvent", "check_count"]

_MOST_SPANS = 50_000
"""Of one request: an empty span is two bytes on the wire and hundreds in memory."""


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


def check_count(spans: int) -> None:
    """Raise BodyTooLarge for more spans than one request may hold."""
    if spans > _MOST_SPANS:
        raise BodyTooLarge(f"expected at most {_MOST_SPANS} spans in a request, got more; export smaller batches")
