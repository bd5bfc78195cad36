"""What an app is to send to its model: the same messages that the SDKs render, for those whose language has none.

Bit for bit what `trimtab.client` does, which imports nothing of the engine; a test holds the two together.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from trimtab.act.knowledge.facts import nearest_facts
from trimtab.act.render import render
from trimtab.records import Exemplar, Message, Version

__all__ = ["nearest_by_words", "prompt"]

_WORD = re.compile(r"\w+")


def prompt(
    version: Version,
    payload: Any,
    *,
    fallback: Sequence[Message] = (),
    exemplars: int = 3,
    facts: int = 3,
    now: datetime | None = None,
) -> list[Message]:
    """Return the messages for one input: the version's, else those of `fallback`, with rules, facts, worked examples.

    Facts are told as of `now`. `payload` is a text, a conversation (a list of turns), any other JSON, or None for no
    input.
    """
    conversation, text = _read(payload)
    asked = conversation or (None if payload is not None else [])
    template = msgspec.structs.replace(version, messages=version.messages or list(fallback))
    known = nearest_facts(version.knowledge, text, now=now, limit=facts)
    return render(template, text, nearest_by_words(version.exemplars, text, exemplars), known, asked=asked)


def nearest_by_words(exemplars: Sequence[Exemplar], text: str, limit: int) -> list[Exemplar]:
    """Return at most `limit` exemplars whose words are most like those of `text`, the nearest last; newer ones win.

    Cosine over words, each weighing log(1 + exemplars / exemplars with it) (inverse document frequency, Sparck Jones
    1972), but for the norm of `text`, which changes no order.
    """
    if limit <= 0:
        return []
    words = [frozenset(_WORD.findall(item.input.lower())) for item in exemplars]
    seen = Counter(word for each in words for word in each)
    weight = {word: math.log(1 + len(words) / count) ** 2 for word, count in seen.items()}
    asked = set(_WORD.findall(text.lower()))
    # Summed exactly, as sets have no order: two places must rank alike wherever this runs.
    near = [
        math.fsum(weight[word] for word in asked & each) / (math.sqrt(math.fsum(weight[word] for word in each)) or 1.0)
        for each in words
    ]
    ranked = sorted(range(len(near)), key=lambda at: (near[at], at))
    return [exemplars[at] for at in ranked[max(len(ranked) - limit, 0) :]]


def _read(payload: Any) -> tuple[list[Message], str]:
    """Return the conversation that `payload` is (else nothing), and the words a person would read in it."""
    if payload is None or isinstance(payload, str):
        return [], payload or ""
    if isinstance(payload, list) and payload and all(_is_turn(turn) for turn in payload):
        # A role of the app's own goes through: it is not ours to judge.
        turns = [Message(role=cast("Any", str(turn["role"])), content=turn["content"]) for turn in payload]
        asked = [turn for turn in turns if turn.role == "user"]
        return turns, (asked or turns)[-1].content
    return [], json.dumps(payload, ensure_ascii=False, default=str)


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str) and "role" in value
