"""What a convention can tell about a model call, before it is a record."""

from __future__ import annotations

import math
from typing import Any, Literal

from msgspec import Struct

from trimtab.ids import content_id
from trimtab.ingest.otlp.attributes import from_json, identifier

__all__ = ["Facts", "Kind", "chunk"]

Kind = Literal["llm", "retriever", "other"]
"""What a span stands for: one call of a model, a search for documents, or anything else."""


class Facts(Struct, kw_only=True):
    """Everything that may be known of a call. Conventions fill what they find; the first to know something is heard."""

    input: Any = None
    output: Any = None
    model: Any = None
    feature: Any = None
    version: Any = None
    user: Any = None
    session: Any = None
    external: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    cost_usd: Any = None
    latency_ms: float | None = None
    error: Any = None
    context: list[dict[str, Any]] = []
    tags: dict[str, Any] = {}

    def add(self, other: Facts) -> None:
        """Take from `other` what is not known yet."""
        for key, value in other.tags.items():
            if value is not None and self.tags.get(key) is None:
                self.tags[key] = value
        for field in _FIELDS:
            known = getattr(self, field)
            if known is None or known in ("", []):
                setattr(self, field, getattr(other, field))


_FIELDS = [field for field in Facts.__struct_fields__ if field != "tags"]


def chunk(value: Any) -> dict[str, Any] | None:
    """Return a retrieved document, a text or an object of any of the common shapes, as a chunk; None if it is none."""
    value = from_json(value)
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        return None
    value = value["document"] if isinstance(value.get("document"), dict) else value
    kwargs = value["kwargs"] if isinstance(value.get("kwargs"), dict) else value
    words = next(
        (kwargs[k] for k in ("content", "text", "page_content", "document") if isinstance(kwargs.get(k), str)), None
    )
    metadata = kwargs.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    found_id = identifier(kwargs.get("id") if kwargs is value or "id" in kwargs else None)
    found_id = found_id or identifier(metadata.get("id")) or identifier(metadata.get("source"))
    if found_id is None and words is None:
        return None
    made: dict[str, Any] = {"id": found_id or content_id("d", (words or "").encode("utf-8", "replace"))}
    if words is not None:
        made["text"] = words
    score = kwargs.get("score")
    if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
        made["score"] = float(score)
    return made
