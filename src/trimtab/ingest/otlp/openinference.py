"""OpenInference, the conventions of Phoenix and Arize: flattened `llm.*`, `input.*`, `retrieval.*` attributes.

Reference: arize-ai.github.io/openinference/spec.
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import first, from_json, nested, text
from trimtab.ingest.otlp.facts import Facts, Kind, chunk
from trimtab.ingest.otlp.message import conversation, reply
from trimtab.ingest.otlp.span import Span

__all__ = ["ROOTS", "kind", "read"]

ROOTS = frozenset({"openinference", "llm", "input", "output", "retrieval", "reranker", "tag", "metadata"})
"""How the attributes begin without which there is nothing to read here."""

_KINDS: dict[str, Kind] = {"LLM": "llm", "RETRIEVER": "retriever", "RERANKER": "retriever"}


def kind(span: Span) -> Kind | None:
    """Say what `openinference.span.kind` makes of a span."""
    told = text(span.attributes.get("openinference.span.kind"))
    return None if told is None else _KINDS.get(told.upper(), "other")


def read(span: Span) -> Facts:
    """Return what these attributes tell."""
    attributes = span.attributes
    metadata = from_json(attributes.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    return Facts(
        input=_said(attributes, "llm.input_messages.", "llm.prompts.", "input.value", answered=False),
        output=_said(attributes, "llm.output_messages.", "llm.choices.", "output.value", answered=True),
        model=attributes.get("llm.model_name"),
        feature=attributes.get("agent.name"),
        version=_version(attributes, metadata),
        user=attributes.get("user.id"),
        session=attributes.get("session.id"),
        input_tokens=attributes.get("llm.token_count.prompt"),
        output_tokens=attributes.get("llm.token_count.completion"),
        cost_usd=attributes.get("llm.cost.total"),
        context=_context(attributes),
        tags={
            **metadata,
            "provider": first(attributes, ("llm.provider", "llm.system")),
            "finish_reason": attributes.get("llm.finish_reason"),
            "tags": attributes.get("tag.tags"),
        },
    )


def _said(attributes: dict[str, Any], messages: str, texts: str, whole: str, *, answered: bool) -> Any:
    shape = reply if answered else conversation
    for prefix in (messages, texts):
        found = nested(attributes, prefix)
        if isinstance(found, list) and found:
            return shape([item["prompt"] if isinstance(item, dict) and "prompt" in item else item for item in found])
    return shape(attributes.get(whole))


def _version(attributes: dict[str, Any], metadata: dict[str, Any]) -> Any:
    version = text(first(attributes, ("llm.prompt_template.version", "prompt.version")))
    version = version or text(first(metadata, ("prompt_version", "version_id")))
    prompt = text(attributes.get("prompt.name"))
    return f"{prompt}@{version}" if prompt and version else version or text(attributes.get("prompt.id"))


def _context(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    for prefix in ("reranker.output_documents.", "retrieval.documents."):
        documents = nested(attributes, prefix)
        if isinstance(documents, list):
            found = [chunk(item.get("document") if isinstance(item, dict) else None) for item in documents]
            return [item for item in found if item is not None]
    return []
