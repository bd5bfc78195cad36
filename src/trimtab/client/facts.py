"""What the Version knows that the app's documents do not say yet, or say wrongly."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

__all__ = ["Fact", "fact_from", "nearest_facts"]

_ALIKE = 0.3
_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_FUNCTION_WORDS = """
a an and any are as at be been but by can could did do does for from get had has have how i if in into is it its just
may me my of on one or our please shall should so than that the their them there these they this those to too up us
was we were what when where which who whom why will with would you your yours
"""
_EMPTY = frozenset(_FUNCTION_WORDS.split())
_STEM = 6


class Fact(NamedTuple):
    """One piece of knowledge: the right answer to a question, or a passage.

    `source_id` is the chunk of the app's own that it corrects: leave that one out of the prompt.
    """

    id: str
    text: str
    question: str = ""
    source_id: str | None = None
    expires_at: int | None = None
    """Microseconds since the epoch; None: it stays."""


def fact_from(told: Mapping[str, Any]) -> Fact:
    """Read a piece of knowledge as the server tells it."""
    expires = told.get("expires_at")
    return Fact(
        id=str(told["id"]),
        text=str(told["text"]),
        question=str(told.get("question", "")),
        source_id=told.get("source_id"),
        expires_at=round(datetime.fromisoformat(expires).timestamp() * 1_000_000) if expires else None,
    )


def nearest_facts(
    facts: Sequence[Fact], text: str, *, now: int | None = None, limit: int = 3, found: Collection[str] = ()
) -> list[Fact]:
    """Return at most `limit` facts whose question is like the text, the nearest first; a newer one wins a tie.

    Likeness is the cosine over content words, each weighing ln(1 + facts / facts with it), at least 0.3. Behind them
    come at most `limit` others that correct a chunk of `found`, the newest first.
    """
    living = [item for item in facts if now is None or item.expires_at is None or now < item.expires_at]
    keys = [_content_words(item.question or item.text) for item in living]
    seen = Counter(word for key in keys for word in key)
    weight = {word: math.log(1 + len(keys) / count) for word, count in seen.items()}
    asked = _content_words(text)
    rare = math.log(1 + len(keys))
    length = math.sqrt(sum(weight.get(word, rare) ** 2 for word in sorted(asked)))
    ranked: list[tuple[float, int]] = []
    for at, key in enumerate(keys):
        common = sum(weight[word] ** 2 for word in sorted(asked & key))
        norm = length * math.sqrt(sum(weight[word] ** 2 for word in sorted(key)))
        if norm and common / norm >= _ALIKE:
            ranked.append((common / norm, at))
    near = [at for _, at in sorted(ranked, reverse=True)[:limit]]
    about = [at for at in reversed(range(len(living))) if at not in near and living[at].source_id in found]
    return [living[at] for at in (*near, *about[:limit])]


def _content_words(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(text.casefold()) if word not in _EMPTY)


def _stem(word: str) -> str:
    if any(character.isdigit() for character in word):
        return word.replace(",", ".")
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:_STEM]
