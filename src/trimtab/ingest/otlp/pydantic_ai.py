"""Pydantic AI and Logfire, where they go their own way: cost, older events, and streamed calls told in two spans.

Their spans follow OpenTelemetry's conventions otherwise. Logfire ends the span of a streamed call when the stream opens
and tells the answer in a log-like span of its own afterwards, in another trace when there is no span around both; the
latter alone knows input and output, so the call is made from it, and the span that says nothing of an answer is passed.
Reference: ai.pydantic.dev/logfire, logfire.pydantic.dev/docs/integrations/llms.
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import amount, from_json, text
from trimtab.ingest.otlp.facts import Facts, Kind
from trimtab.ingest.otlp.genai import event_messages
from trimtab.ingest.otlp.message import conversation, reply
from trimtab.ingest.otlp.span import Span, SpanEvent

__all__ = ["ROOTS", "kind", "read"]

ROOTS = frozenset({"operation", "events", "request_data", "response_data", "logfire"})
"""How the attributes begin without which there is nothing to read here."""

_CLIENTS = ("logfire.openai", "logfire.anthropic")
_ANSWERS = ("gen_ai.output.messages", "response_data", "events")


def kind(span: Span) -> Kind | None:
    """Say which spans only look like a call: agent runs, and a stream's beginning."""
    attributes = span.attributes
    if "pydantic_ai.all_messages" in attributes or "all_messages_events" in attributes:
        return "other"
    if span.scope in _CLIENTS and "request_data" in attributes:
        if not span.failed and not any(key in attributes for key in _ANSWERS):
            return "other"
        if "gen_ai.operation.name" not in attributes and "gen_ai.request.model" in attributes:
            return "llm"
    return None


def read(span: Span) -> Facts:
    """Return what is found only here."""
    attributes = span.attributes
    facts = Facts(cost_usd=attributes.get("operation.cost"))
    told = from_json(attributes.get("events"))
    if isinstance(told, list):
        facts.input, facts.output = _from_events(told)
    request, response = from_json(attributes.get("request_data")), from_json(attributes.get("response_data"))
    if span.scope in _CLIENTS and isinstance(request, dict):
        if isinstance(request.get("messages"), list):
            facts.input = facts.input or conversation(request)
        if "gen_ai.response.model" not in attributes:
            facts.model = request.get("model")
    if span.scope in _CLIENTS and isinstance(response, dict):
        facts.output = facts.output or reply(
            response.get("combined_chunk_content") or [response.get("message") or response]
        )
    if attributes.get("logfire.span_type") == "log":
        seconds = amount(attributes.get("duration"))
        facts.latency_ms = None if seconds is None else seconds * 1000
    return facts


def _from_events(told: list[Any]) -> tuple[Any, Any]:
    """Return input and output of the `events` attribute: OpenTelemetry's older events, as a JSON list."""
    events = [
        SpanEvent(text(item.get("event.name")) or "", {key: value for key, value in item.items() if "." not in key})
        for item in told
        if isinstance(item, dict)
    ]
    messages = event_messages(events)
    said = [message for message, is_choice in messages if not is_choice]
    chosen = [message for message, is_choice in messages if is_choice]
    return conversation(said) or None, reply(chosen) or None
