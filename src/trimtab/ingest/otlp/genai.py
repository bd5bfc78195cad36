"""OpenTelemetry's own conventions for generative AI, new and old, and OpenLLMetry's, which grew into them.

Messages: attributes `gen_ai.input.messages` and `gen_ai.output.messages` (since 1.37, JSON text or structure); span
events `gen_ai.user.message` ... `gen_ai.choice` (1.28 to 1.36) and `gen_ai.content.prompt` (before); OpenLLMetry's
`gen_ai.prompt.N.*` and `gen_ai.completion.N.*`. Reference: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans.
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import first, from_json, nested, text
from trimtab.ingest.otlp.facts import Facts, Kind, chunk
from trimtab.ingest.otlp.message import conversation, reply
from trimtab.ingest.otlp.span import Span, SpanEvent

__all__ = ["ROOTS", "event_messages", "kind", "read"]

ROOTS: frozenset[str] | None = None
"""Events and attributes of several beginnings are read here, so every span is."""

_CALLS = frozenset(
    {"chat", "text_completion", "generate_content", "completion", "completions", "generate", "response", "responses"}
)
_SEARCHES = frozenset({"retrieval", "retrieve", "rerank"})
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.response.model", "llm.request.model")
_PROPERTIES = "traceloop.association.properties."


def kind(span: Span) -> Kind | None:
    """Say what the operation's name makes of a span; without one, a model makes it a call and found rows a search."""
    attributes = span.attributes
    operation = text(attributes.get("gen_ai.operation.name"))
    if operation is not None:
        operation = operation.lower()
        return "llm" if operation in _CALLS else "retriever" if operation in _SEARCHES else "other"
    asked = text(attributes.get("llm.request.type"))
    if asked is not None:
        return "llm" if asked in ("chat", "completion") else "retriever" if asked == "rerank" else "other"
    if "traceloop.span.kind" in attributes or "gen_ai.tool.name" in attributes:
        return "other"
    if "db.system" in attributes and any(event.name == "db.query.result" for event in span.events):
        return "retriever"
    return "llm" if first(attributes, _MODELS) is not None else None


def read(span: Span) -> Facts:
    """Return what these attributes and events tell."""
    attributes = span.attributes
    return Facts(
        input=_input(span),
        output=_output(span),
        model=first(attributes, _MODELS),
        feature=first(attributes, ("gen_ai.agent.name", "traceloop.workflow.name", "gen_ai.workflow.name")),
        version=_version(attributes),
        user=first(
            attributes, ("user.id", "enduser.id", "gen_ai.user", "gen_ai.request.user", f"{_PROPERTIES}user_id")
        ),
        session=first(
            attributes,
            (
                "session.id",
                "gen_ai.conversation.id",
                f"{_PROPERTIES}session_id",
                f"{_PROPERTIES}thread_id",
                f"{_PROPERTIES}conversation_id",
                f"{_PROPERTIES}chat_id",
            ),
        ),
        external=attributes.get("gen_ai.response.id"),
        input_tokens=first(
            attributes, ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
        ),
        output_tokens=first(
            attributes, ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
        ),
        cost_usd=first(attributes, ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.cost.total")),
        context=_context(span),
        tags={
            "provider": first(attributes, ("gen_ai.provider.name", "gen_ai.system")),
            "finish_reason": _finish_reason(attributes),
        },
    )


def _input(span: Span) -> Any:
    attributes = span.attributes
    said = first(attributes, ("gen_ai.input.messages",))
    if said is None:
        said = _detail(span, "gen_ai.input.messages")
    if said is not None:
        messages = conversation(said)
        return _instructed(span, messages)
    flat = nested(attributes, "gen_ai.prompt.")
    if isinstance(flat, list):
        return conversation(flat)
    told = first(attributes, ("gen_ai.prompt",)) or _event_attribute(span, "gen_ai.content.prompt", "gen_ai.prompt")
    if told is not None:
        return conversation(told)
    return conversation([message for message, is_choice in event_messages(span.events) if not is_choice]) or None


def _output(span: Span) -> Any:
    attributes = span.attributes
    said = first(attributes, ("gen_ai.output.messages",))
    if said is None:
        said = _detail(span, "gen_ai.output.messages")
    if said is not None:
        return reply(said)
    flat = nested(attributes, "gen_ai.completion.")
    if isinstance(flat, list):
        return reply(flat)
    told = first(attributes, ("gen_ai.completion",))
    told = told or _event_attribute(span, "gen_ai.content.completion", "gen_ai.completion")
    if told is not None:
        return reply(told)
    return reply([message for message, is_choice in event_messages(span.events) if is_choice]) or None


def event_messages(events: list[SpanEvent]) -> list[tuple[dict[str, Any], bool]]:
    """Return the messages that events carry, each with whether it is a choice of the model."""
    found = []
    for event in events:
        if event.name == "gen_ai.choice":
            told = from_json(event.attributes.get("message"))
            message = dict(told) if isinstance(told, dict) else {**event.attributes}
            if isinstance(told, str):
                message["content"] = told
            found.append(({"role": "assistant", **message}, True))
        elif event.name.startswith("gen_ai.") and event.name.endswith(".message"):
            role = event.name.removeprefix("gen_ai.").removesuffix(".message")
            message = {key: from_json(value) for key, value in event.attributes.items()}
            found.append(({"role": role, **message}, False))
    return found


def _instructed(span: Span, messages: Any) -> Any:
    """Put instructions that came apart from the messages in front of them."""
    told = first(span.attributes, ("gen_ai.system_instructions",)) or _detail(span, "gen_ai.system_instructions")
    if told is None or not isinstance(messages, list):
        return messages
    parts = from_json(told)
    return conversation([{"role": "system", "parts": parts if isinstance(parts, list) else [parts]}]) + messages


def _detail(span: Span, key: str) -> Any:
    return _event_attribute(span, "gen_ai.client.inference.operation.details", key)


def _event_attribute(span: Span, event_name: str, key: str) -> Any:
    return next(
        (event.attributes[key] for event in span.events if event.name == event_name and key in event.attributes), None
    )


def _version(attributes: dict[str, Any]) -> Any:
    prompt = text(first(attributes, ("gen_ai.prompt.name", "traceloop.prompt.key")))
    version = text(first(attributes, ("gen_ai.prompt.version", "traceloop.prompt.version")))
    return f"{prompt}@{version}" if prompt and version else version


def _finish_reason(attributes: dict[str, Any]) -> Any:
    reasons = from_json(attributes.get("gen_ai.response.finish_reasons"))
    if isinstance(reasons, list):
        return ",".join(str(reason) for reason in reasons)
    return reasons or attributes.get("gen_ai.completion.0.finish_reason")


def _context(span: Span) -> list[dict[str, Any]]:
    documents = from_json(span.attributes.get("gen_ai.retrieval.documents"))
    found = [chunk(item) for item in documents] if isinstance(documents, list) else []
    for event in span.events:
        if event.name == "db.query.result":
            row = {key.removeprefix("db.query.result."): value for key, value in event.attributes.items()}
            found.append(chunk(row))
    return [item for item in found if item is not None]
