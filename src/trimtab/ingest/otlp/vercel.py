"""The AI SDK of Vercel: `ai.*`. Its outer spans (`ai.generateText`) hold the calls (`ai.generateText.doGenerate`).

Reference: ai-sdk.dev/docs/ai-sdk-core/telemetry.
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import first, from_json, text, under
from trimtab.ingest.otlp.facts import Facts, Kind
from trimtab.ingest.otlp.message import conversation, reply
from trimtab.ingest.otlp.span import Span

__all__ = ["ROOTS", "kind", "read"]

ROOTS = frozenset({"ai"})
"""How the attributes begin without which there is nothing to read here."""

_CALLS = frozenset(
    f"ai.{verb}.{call}"
    for verb, call in (
        ("generateText", "doGenerate"),
        ("streamText", "doStream"),
        ("generateObject", "doGenerate"),
        ("streamObject", "doStream"),
    )
)
_META = "ai.telemetry.metadata."


def kind(span: Span) -> Kind | None:
    """Say what `ai.operationId` makes of a span: only the calls of a provider are calls."""
    told = text(span.attributes.get("ai.operationId"))
    return None if told is None else "llm" if told in _CALLS else "other"


def read(span: Span) -> Facts:
    """Return what these attributes tell."""
    attributes = span.attributes
    metadata = under(attributes, _META)
    return Facts(
        input=conversation(first(attributes, ("ai.prompt.messages", "ai.prompt"))),
        output=_output(attributes),
        model=first(attributes, ("ai.response.model", "ai.model.id")),
        feature=attributes.get("ai.telemetry.functionId"),
        version=first(metadata, ("promptVersion", "prompt_version", "versionId")),
        user=first(metadata, ("userId", "user_id", "user")),
        session=first(metadata, ("sessionId", "session_id", "threadId", "chatId", "conversationId")),
        external=attributes.get("ai.response.id"),
        input_tokens=first(attributes, ("ai.usage.inputTokens", "ai.usage.promptTokens")),
        output_tokens=first(attributes, ("ai.usage.outputTokens", "ai.usage.completionTokens")),
        tags={
            **metadata,
            "provider": attributes.get("ai.model.provider"),
            "finish_reason": first(attributes, ("ai.response.finishReason", "ai.finishReason")),
        },
    )


def _output(attributes: dict[str, Any]) -> Any:
    words = first(attributes, ("ai.response.text", "ai.result.text"))
    calls = from_json(first(attributes, ("ai.response.toolCalls", "ai.result.toolCalls")))
    if isinstance(calls, list) and calls:
        return reply([{"role": "assistant", "content": words or "", "tool_calls": calls}])
    return words or from_json(first(attributes, ("ai.response.object", "ai.result.object")))
