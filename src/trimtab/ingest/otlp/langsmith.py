"""LangSmith's attributes: run type, metadata, and LangChain's serialised inputs and outputs.

Reference: docs.langchain.com/langsmith/trace-with-opentelemetry, "Supported OpenTelemetry attribute and event mapping".
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import first, from_json, text, under
from trimtab.ingest.otlp.facts import Facts, Kind, chunk
from trimtab.ingest.otlp.span import Span

__all__ = ["ROOTS", "kind", "read"]

ROOTS = frozenset({"langsmith"})
"""How the attributes begin without which there is nothing to read here."""

_KINDS: dict[str, Kind] = {"llm": "llm", "retriever": "retriever"}
_META = "langsmith.metadata."


def kind(span: Span) -> Kind | None:
    """Say what `langsmith.span.kind` makes of a span."""
    told = text(span.attributes.get("langsmith.span.kind"))
    return None if told is None else _KINDS.get(told.lower(), "other")


def read(span: Span) -> Facts:
    """Return what these attributes tell; messages and tokens stand in the standard ones."""
    attributes = span.attributes
    metadata = under(attributes, _META)
    usage = from_json(first(attributes, ("langsmith.usage_metadata", f"{_META}usage_metadata")))
    usage = usage if isinstance(usage, dict) else {}
    return Facts(
        model=metadata.get("ls_model_name"),
        version=first(metadata, ("prompt_version", "lc_hub_commit_hash", "revision_id")),
        user=first(metadata, ("user_id", "user")),
        # `langsmith.trace.session_id` is LangSmith's project, not a person's session.
        session=first(metadata, ("session_id", "thread_id", "conversation_id")),
        external=attributes.get("langsmith.span.id"),
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cost_usd=usage.get("total_cost"),
        context=_documents(attributes) if kind(span) == "retriever" else [],
        tags={
            **{key: value for key, value in metadata.items() if not key.startswith("ls_")},
            "provider": metadata.get("ls_provider"),
            "tags": attributes.get("langsmith.span.tags"),
        },
    )


def _documents(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    told = from_json(attributes.get("gen_ai.completion"))
    if isinstance(told, dict):
        told = first(told, ("documents", "output"))
    return [made for item in told if (made := chunk(item))] if isinstance(told, list) else []
