"""What settings are made of: a table, and the ranges their values may lie in."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = [
    "Count",
    "Days",
    "Guardrail",
    "Language",
    "Positive",
    "Rate",
    "Section",
    "Seen",
    "Share",
    "Some",
]

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Days = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Some = Annotated[int, Meta(ge=1)]
Seen = tuple[Rate, Rate]
Guardrail = Literal["error", "latency", "cost", "refusal", "length"]
Language = Literal["en", "de", "fr", "es", "pt", "it"]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of trimtab.toml."""
