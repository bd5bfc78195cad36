"""Langfuse's own attributes, which its SDKs set beside or instead of the standard ones.

Reference: langfuse.com/integrations/native/opentelemetry, "Property mapping".
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import first, from_json, text, under
from trimtab.ingest.otlp.facts import Facts, Kind, chunk
from trimtab.ingest.otlp.message import conversation, reply
from trimtab.ingest.otlp.span import Span

__all__ = ["ROOTS", "kind", "read"]

ROOTS = frozenset({"langfuse"})
"""How the attributes begin without which there is nothing to read here."""

_KINDS: dict[str, Kind] = {"generation": "llm", "retriever": "retriever"}
_ONE = "langfuse.observation."
_TRACE = "langfuse.trace."


def kind(span: Span) -> Kind | None:
    """Say what `langfuse.observation.type` makes of a span; a plain span of an old SDK with a model is a call."""
    told = text(span.attributes.get(f"{_ONE}type"))
    if told is None:
        return None
    if told == "span" and f"{_ONE}model.name" in span.attributes:
        return "llm"
    return _KINDS.get(told.lower(), "other")


def read(span: Span) -> Facts:
    """Return what these attributes tell."""
    attributes = span.attributes
    usage = _object(attributes, "usage_details")
    cost = _object(attributes, "cost_details")
    output = attributes.get(f"{_ONE}output")
    return Facts(
        input=conversation(attributes.get(f"{_ONE}input")),
        output=reply(output),
        model=attributes.get(f"{_ONE}model.name"),
        feature=attributes.get(f"{_TRACE}name"),
        version=_version(attributes),
        user=first(attributes, ("user.id", "langfuse.user.id")),
        session=first(attributes, ("session.id", "langfuse.session.id")),
        input_tokens=first(usage, ("input", "input_tokens", "prompt_tokens", "promptTokens")),
        output_tokens=first(usage, ("output", "output_tokens", "completion_tokens", "completionTokens")),
        cost_usd=cost.get("total", _sum(cost)),
        error=_error(attributes),
        context=_documents(output) if kind(span) == "retriever" else [],
        tags={
            **under(attributes, f"{_TRACE}metadata."),
            **under(attributes, f"{_ONE}metadata."),
            "environment": attributes.get("langfuse.environment"),
            "tags": attributes.get(f"{_TRACE}tags"),
        },
    )


def _version(attributes: dict[str, Any]) -> Any:
    prompt, version = text(attributes.get(f"{_ONE}prompt.name")), text(attributes.get(f"{_ONE}prompt.version"))
    return f"{prompt}@{version}" if prompt and version else version or attributes.get("langfuse.version")


def _object(attributes: dict[str, Any], name: str) -> dict[str, Any]:
    told = from_json(attributes.get(f"{_ONE}{name}"))
    return told if isinstance(told, dict) else {}


def _sum(cost: dict[str, Any]) -> float | None:
    parts = [value for value in cost.values() if isinstance(value, int | float)]
    return sum(parts) if parts else None


def _error(attributes: dict[str, Any]) -> Any:
    if attributes.get(f"{_ONE}level") != "ERROR":
        return None
    return attributes.get(f"{_ONE}status_message") or "error"


def _documents(output: Any) -> list[dict[str, Any]]:
    told = from_json(output)
    if isinstance(told, dict):
        told = told.get("documents")
    return [made for item in told if (made := chunk(item))] if isinstance(told, list) else []
