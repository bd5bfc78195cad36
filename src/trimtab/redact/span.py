"""A finding in a text, and how findings that overlap become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trimtab.redact.entity import PRIORITY, Entity

__all__ = ["Span", "merge"]


class Span(NamedTuple):
    """`text[start:end]` is an `entity`; its pseudonym stands for `canonical` (empty for plain tags)."""

    start: int
    end: int
    entity: Entity
    canonical: str = ""


def merge(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order of place, those that overlap joined under the entity of highest priority."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            lead = span if PRIORITY[span.entity] < PRIORITY[last.entity] else last
            merged[-1] = Span(last.start, max(last.end, span.end), lead.entity, lead.canonical)
        else:
            merged.append(span)
    return merged
