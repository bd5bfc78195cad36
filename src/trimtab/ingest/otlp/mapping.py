"""Spans into inferences: which spans are calls of a model, what each tells, and the record that makes.

A span is a call when the most particular convention it follows says so. Spans around a call (agents, chains, the outer
span of an SDK) are not; should one say of itself that it is a call and hold another in the same request, the inner one
counts. Documents found earlier in the same trace are the call's context when they come in the same request, and user
and session are taken from the spans around it when it names none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from trimtab.clock import from_micros
from trimtab.errors import BodyTooLarge, InputError, InvalidField
from trimtab.ids import derived_id
from trimtab.ingest.decode import Rejection, decode_one, refusal
from trimtab.ingest.otlp import genai, langfuse, langsmith, openinference, pydantic_ai, vercel
from trimtab.ingest.otlp.attributes import amount, count, first, identifier, name, text, under
from trimtab.ingest.otlp.facts import Facts, Kind
from trimtab.ingest.otlp.span import Span
from trimtab.records import Event

__all__ = ["UNNAMED", "Found", "inferences"]

UNNAMED = "unnamed"
"""The feature of a call of which neither span nor resource tells where it belongs."""

_CONVENTIONS: tuple[ModuleType, ...] = (openinference, langfuse, langsmith, vercel, pydantic_ai, genai)
_USER = ("trimtab.user_id", "user.id", "enduser.id", "langfuse.user.id", "langsmith.metadata.user_id")
_SESSION = ("trimtab.session_id", "session.id", "gen_ai.conversation.id", "langfuse.session.id")
_MOST_TAGS, _TAG_CHARACTERS, _ERROR_CHARACTERS = 32, 1000, 10_000
_MOST_ANCESTORS = 64
_MOST_DOCUMENTS = 100
_LAST_MICROSECOND = 253_402_300_799_999_999  # of the year 9999
_HEX = frozenset("0123456789abcdef")


class Found(NamedTuple):
    """The inferences of a request, each with its span's place in it, the spans refused, and how many meant nothing."""

    events: list[tuple[int, Event]]
    rejected: list[Rejection]
    ignored: int


class _Request:
    """The spans of one request as a forest."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.kinds = [_kind(span) for span in spans]
        self.places = {(span.trace_id, span.span_id): place for place, span in enumerate(spans)}
        self.documents: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        searches = [span for span, kind in zip(spans, self.kinds, strict=True) if kind == "retriever"]
        for span in sorted(searches, key=lambda span: span.end_ns):
            found = [(span.end_ns, item) for item in _facts(span).context]
            self.documents.setdefault(span.trace_id, []).extend(found)

    def parent(self, place: int) -> int | None:
        """Return the place of the span around this one, if it is in the request."""
        span = self.spans[place]
        return self.places.get((span.trace_id, span.parent_id)) if span.parent_id else None

    def calls(self) -> list[int]:
        """Return the places of the spans that are calls and hold no other call."""
        calls = [place for place, kind in enumerate(self.kinds) if kind == "llm"]
        around: set[int] = set()
        for place in calls:
            at = self.parent(place)
            while at is not None and at not in around:  # what lies around a span seen before is known
                around.add(at)
                at = self.parent(at)
        return [place for place in calls if place not in around]

    def inherited(self, place: int, keys: Sequence[str]) -> Any:
        """Return what the nearest span around this one says under one of `keys`."""
        at = self.parent(place)
        for _ in range(_MOST_ANCESTORS):
            if at is None:
                break
            value = first(self.spans[at].attributes, keys)
            if value is not None:
                return value
            at = self.parent(at)
        return None

    def context(self, call: Span) -> list[dict[str, Any]]:
        """Return the documents found in this trace when the call began, each once, the last ones if they are many."""
        told = self.documents.get(call.trace_id, [])
        end = bisect_right(told, call.start_ns, key=lambda one: one[0])
        latest: dict[str, dict[str, Any]] = {}
        for _, item in reversed(told[max(end - _MOST_DOCUMENTS, 0) : end]):
            latest.setdefault(item["id"], item)
        return list(reversed(latest.values()))


def inferences(project_id: str, spans: Sequence[Span], *, event_bytes: int) -> Found:
    """Return what the spans of one request mean. A call that makes no valid inference is refused by its place."""
    request = _Request(spans)
    events: list[tuple[int, Event]] = []
    rejected = []
    calls = request.calls()
    for place in calls:
        try:
            events.append((place, _inference(project_id, request, place, event_bytes)))
        except InputError as error:
            rejected.append(refusal(place, error))
    return Found(events, rejected, len(spans) - len(calls))


def _kind(span: Span) -> Kind:
    for convention in _CONVENTIONS:
        kind: Kind | None = convention.kind(span)
        if kind is not None:
            return kind
    return "other"


def _facts(span: Span) -> Facts:
    facts = _own(span.attributes)
    roots = {key.partition(".")[0] for key in span.attributes}
    for convention in _CONVENTIONS:
        if convention.ROOTS is None or not roots.isdisjoint(convention.ROOTS):
            read: Callable[[Span], Facts] = convention.read
            facts.add(read(span))
    return facts


def _own(attributes: dict[str, Any]) -> Facts:
    return Facts(
        feature=attributes.get("trimtab.feature"),
        version=attributes.get("trimtab.version_id"),
        user=attributes.get("trimtab.user_id"),
        session=attributes.get("trimtab.session_id"),
        external=attributes.get("trimtab.external_id"),
        tags=under(attributes, "trimtab.tags."),
    )


def _inference(project_id: str, request: _Request, place: int, event_bytes: int) -> Event:
    """Make the record, and put it through the door that every event comes through."""
    span = request.spans[place]
    _check_ids(span)
    facts = _facts(span)
    arm = span.attributes.get("trimtab.arm")
    made = {
        "id": derived_id("otlp", project_id, span.trace_id, span.span_id),
        "feature": _feature(facts, span),
        "created_at": _time(span.start_ns),
        "input": "" if facts.input is None else facts.input,
        "output": facts.output,
        "version_id": name(facts.version),
        "arm": arm if arm in ("stable", "candidate", "holdback") else None,
        "model": name(facts.model),
        "session_id": identifier(facts.session) or identifier(request.inherited(place, _SESSION)),
        "user_id": identifier(facts.user) or identifier(request.inherited(place, _USER)),
        "external_id": identifier(facts.external),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "context": facts.context or request.context(span),
        "tags": _tags(facts.tags, span.resource),
        "latency_ms": facts.latency_ms if facts.latency_ms is not None else _latency(span),
        "input_tokens": count(facts.input_tokens),
        "output_tokens": count(facts.output_tokens),
        "cost_usd": amount(facts.cost_usd),
        "error": _error(facts, span),
    }
    for field in ("input", "output"):
        if not isinstance(made[field], str | list | dict | None):
            made[field] = str(made[field])
    return _through_the_door({key: value for key, value in made.items() if value is not None}, event_bytes)


def _through_the_door(made: dict[str, Any], event_bytes: int) -> Event:
    try:
        body = msgspec.json.encode(made)
    except (ValueError, OverflowError, RecursionError, TypeError) as error:
        raise InvalidField(
            f"expected input and output that can be written as JSON, got one that cannot: {error}"
        ) from None
    if len(body) > event_bytes:
        raise BodyTooLarge(
            f"expected a model call of at most {event_bytes} bytes, got {len(body)}; shorten its messages, "
            "or raise ingest.event_bytes"
        )
    return decode_one(body, "inference", event_bytes=event_bytes)


def _check_ids(span: Span) -> None:
    for value, digits, field in ((span.trace_id, 32, "trace_id"), (span.span_id, 16, "span_id")):
        if len(value) != digits or not _HEX.issuperset(value) or not value.strip("0"):
            raise InvalidField(
                f"expected a {field} of {digits} hexadecimal digits, not all zero, got {value[:40]!r}", param=field
            )


def _feature(facts: Facts, span: Span) -> str:
    """Return the first name that is told: the app's own, its agent's or workflow's, its service's.

    Never from spans around the call: they may come in another request, and a feature must not depend on that.
    """
    told = span.attributes.get("trimtab.feature") or span.resource.get("trimtab.feature") or facts.feature
    service = text(span.resource.get("service.name"))
    if service is not None and service.startswith("unknown_service"):  # what SDKs say when nobody gave a name
        service = None
    return name(told) or name(service) or UNNAMED


def _time(nanoseconds: int) -> Any:
    micros = nanoseconds // 1000
    if not 0 < micros <= _LAST_MICROSECOND:
        raise InvalidField(
            f"expected start_time_unix_nano, nanoseconds since 1970, got {nanoseconds}", param="start_time_unix_nano"
        )
    return from_micros(micros)


def _latency(span: Span) -> float | None:
    return (span.end_ns - span.start_ns) / 1e6 if span.end_ns > span.start_ns else None


def _error(facts: Facts, span: Span) -> str | None:
    said = text(facts.error)
    if said is None and span.failed:
        raised = next((event.attributes for event in span.events if event.name == "exception"), {})
        parts = (text(raised.get("exception.type")), text(raised.get("exception.message")))
        said = span.status_message or ": ".join(part for part in parts if part)
        said = said or text(span.attributes.get("error.type")) or "error"
    return said[:_ERROR_CHARACTERS] if said is not None else None


def _tags(told: dict[str, Any], resource: dict[str, Any]) -> dict[str, str]:
    environment = first(resource, ("deployment.environment.name", "deployment.environment"))
    tags = {"service": resource.get("service.name"), "environment": environment}
    tags.update({key: value for key, value in told.items() if value is not None})
    made: dict[str, str] = {}
    for key, value in tags.items():
        label = name(key)
        words = ",".join(filter(None, map(text, value))) if isinstance(value, list) else text(value)
        words = str(value).lower() if isinstance(value, bool) else words
        if label is not None and words and len(made) < _MOST_TAGS:
            made[label] = words[:_TAG_CHARACTERS]
    return made
