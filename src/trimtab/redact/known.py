"""What the event itself says about its user: literals to take out of its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from trimtab.redact.entity import Entity
from trimtab.redact.span import Span

__all__ = ["KnownValue", "find"]

_ENTITY: Final[dict[str, Entity]] = {"name": "NAME", "email": "EMAIL", "phone": "PHONE", "user": "USER"}
_MIN_CHARS: Final = 3


class KnownValue(msgspec.Struct, frozen=True):
    """One fact about the person an event is about, such as `KnownValue("name", "Maria Okafor")`."""

    kind: Literal["name", "email", "phone", "user"]
    value: str


def find(text: str, known: Sequence[KnownValue]) -> list[Span]:
    """Return where the known values stand in `text`, in any case, as whole words of 3 characters or more."""
    return [span for one in known for span in _one(text, one)]


def _one(text: str, known: KnownValue) -> Iterator[Span]:
    value = known.value.strip()
    if len(value) < _MIN_CHARS:
        return
    entity = _ENTITY[known.kind]
    if known.kind == "phone":
        digits = re.sub(r"\D", "", value)
        if len(digits) < 6:
            return
        pattern = r"(?<!\d)\+?" + r"[\s().\-/]{0,3}".join(digits) + r"(?!\d)"
        canonical = digits
    else:
        pattern = r"(?<!\w)" + r"\s{1,3}".join(re.escape(word) for word in value.split()) + r"(?!\w)"
        canonical = value.lower()
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield Span(found.start(), found.end(), entity, canonical)
