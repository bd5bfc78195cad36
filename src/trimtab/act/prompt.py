"""What an app is to send to its model: the same messages that the SDKs render, for those whose language has none.

Bit for bit what `trimtab.client` does, which imports nothing of the engine; a test holds the two together.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from trimtab.act.knowledge.facts import nearest_facts
from trimtab.act.render import render
from trimtab.records import Exemplar, Message, Version

__all__ = ["nearest_by_words", "prompt"]

_WORD = re.compile(r"\w+")
_POOL = 4  # times as many as are wanted are weighed against one another
_LIKENESS = 0.7


def prompt(
    version: Version,
    payload: Any,
    *,
    fallback: Sequence[Message] = (),
    exemplars: int = 3,
    facts: int = 3,
    now: datetime | None = None,
    audiences: Collection[str] = frozenset(),
) -> list[Message]:
    """Return the messages for one input: the version's, else those of `fallback`, with rules, facts, worked examples.

    Facts are told as of `now`; exemplars are those for everyone or for one of `audiences`. `payload` is a text, a
    conversation (a list of turns), any other JSON, or None for no input.
    """
    conversation, text = _read(payload)
    asked = conversation or (None if payload is not None else [])
    template = msgspec.structs.replace(version, messages=version.messages or list(fallback))
    known = nearest_facts(version.knowledge, text, now=now, limit=facts)
    shown = nearest_by_words(version.exemplars, text, exemplars, audiences)
    return render(template, text, shown, known, asked=asked)


def nearest_by_words(
    exemplars: Sequence[Exemplar], text: str, limit: int, audiences: Collection[str] = frozenset()
) -> list[Exemplar]:
    """Return at most `limit` exemplars whose words are most like those of `text`, the nearest last; newer ones win.

    Cosine over words, each weighing log(1 + exemplars / exemplars with it) (inverse document frequency, Sparck Jones
    1972). Each next one is chosen for 0.7 of that less 0.3 of its likeness to one chosen before (maximal marginal
    relevance, Carbonell and Goldstein 1998). Those for somebody who is not among `audiences` are passed over.
    """
    if limit <= 0:
        return []
    words = [frozenset(_WORD.findall(item.input.lower())) for item in exemplars]
    seen = Counter(word for each in words for word in each)
    weight = {word: math.log(1 + len(words) / count) ** 2 for word, count in seen.items()}
    asked = frozenset(word for word in _WORD.findall(text.lower()) if word in weight)
    # Summed exactly, as sets have no order: two places must rank alike wherever this runs.
    norms = {each: math.sqrt(math.fsum(weight[word] for word in each)) or 1.0 for each in {*words, asked}}

    def likeness(one: frozenset[str], other: frozenset[str]) -> float:
        return math.fsum(weight[word] for word in one & other) / (norms[one] * norms[other])

    near = [likeness(each, asked) for each in words]
    shown = [at for at, item in enumerate(exemplars) if item.audience in ("", *audiences)]
    pool = sorted(shown, key=lambda at: (near[at], at))[-_POOL * limit :]
    chosen: list[int] = []
    while pool and len(chosen) < limit:
        worth = {
            at: _LIKENESS * near[at]
            - (1 - _LIKENESS) * max((likeness(words[at], words[other]) for other in chosen), default=0.0)
            for at in pool
        }
        best = max(pool, key=lambda at: (worth[at], at))
        pool.remove(best)
        chosen.append(best)
    return [exemplars[at] for at in sorted(chosen, key=lambda at: (near[at], at))]


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
