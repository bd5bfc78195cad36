"""Which pieces of a Version's knowledge answer an input: chosen as the SDK chooses them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from trimtab.act.knowledge.words import content_words
from trimtab.records import Knowledge

__all__ = ["nearest_facts"]

_ALIKE = 0.3


def nearest_facts(
    knowledge: Sequence[Knowledge],
    text: str,
    *,
    now: datetime | None = None,
    limit: int = 3,
    found: Collection[str] = (),
) -> list[Knowledge]:
    """Return at most `limit` pieces whose question is like the text, the nearest first; a newer one wins a tie.

    Likeness is the cosine over content words, each weighing ln(1 + pieces / pieces with it) (inverse document
    frequency, Sparck Jones 1972), a word of none as one of a single piece; at least 0.3. A piece that has expired by
    `now` is passed over. Behind them come at most `limit` others that correct a chunk of `found`, the newest first:
    what corrects a document is wanted wherever that document is found, however the question is put. The SDK's
    `client/facts.py` does the same, bit for bit.
    """
    living = [item for item in knowledge if now is None or item.expires_at is None or now < item.expires_at]
    keys = [content_words(item.question or item.text) for item in living]
    seen = Counter(word for key in keys for word in key)
    weight = {word: math.log(1 + len(keys) / count) for word, count in seen.items()}
    asked = content_words(text)
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
