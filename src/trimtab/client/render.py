"""From a Version and an input to the messages a model is sent; the same ones on which the engine judged the Version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trimtab.client.facts import nearest_facts
from trimtab.client.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from trimtab.client.facts import Fact
    from trimtab.client.version import Version

__all__ = ["render"]

_SLOT = "{input}"
_INSTRUCTING = ("system", "developer")


def render(
    version: Version | None,
    payload: str | Sequence[Any] | Mapping[str, Any] | None,
    *,
    fallback: str | Sequence[Mapping[str, str]] | None = None,
    exemplars: int = 3,
    facts: int = 3,
    now: int | None = None,
    audiences: Collection[str] = frozenset(),
) -> list[dict[str, str]]:
    """Return the messages: template with rules, worked examples, then the input.

    The template is the Version's messages; a Version without any (and no Version at all) leaves the app's own
    `fallback` in force. Rules stand at the end of the first system message; behind it stand at most `facts` pieces
    of the Version's knowledge about the input, as of `now` (microseconds). The `exemplars` nearest to the input, of
    those for everyone or for one of `audiences`, become user and assistant turns before the turn that holds `{input}`.
    Only that placeholder is replaced, in the first turn that has it; a template without it is followed by the input. A
    conversation (a list of messages) takes the place of a turn that is nothing but the placeholder; elsewhere its last
    user turn is the input.
    """
    template = [dict(turn) for turn in version.messages] if version and version.messages else _messages(fallback)
    if version and version.rules:
        _add_rules(template, version.rules)
    conversation, text = _read(payload)
    known = _facts(nearest_facts(version.knowledge, text, now=now, limit=facts)) if version else None
    if known:
        first = next((place for place, turn in enumerate(template) if turn["role"] in _INSTRUCTING), -1)
        template.insert(first + 1, known)
    shown = [
        {"role": role, "content": content}
        for pair in (nearest(version, text, exemplars, audiences) if version else ())
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    holding = (place for place, turn in enumerate(template) if turn is not known and _SLOT in turn["content"])
    slot = next(holding, None)  # what people wrote is no template
    if slot is None:
        asked = conversation or ([{"role": "user", "content": text}] if payload is not None else [])
        return [*template, *shown, *asked]
    turn = template[slot]
    if conversation and turn["content"].strip() == _SLOT:
        asked = conversation
    else:
        asked = [{"role": turn["role"], "content": turn["content"].replace(_SLOT, text)}]
    return [*template[:slot], *shown, *asked, *template[slot + 1 :]]


def _messages(fallback: str | Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
    if fallback is None:
        return []
    if isinstance(fallback, str):
        return [{"role": "system", "content": fallback}]
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in fallback]


def _add_rules(template: list[dict[str, str]], rules: Sequence[str]) -> None:
    block = "\n".join(["Follow these rules:", *(f"- {rule}" for rule in rules)])
    for turn in template:
        if turn["role"] in _INSTRUCTING:
            turn["content"] = f"{turn['content']}\n\n{block}"
            return
    template.insert(0, {"role": "system", "content": block})


def _facts(facts: Sequence[Fact]) -> dict[str, str] | None:
    if not facts:
        return None
    lines = [
        f"[{fact.id}] {fact.question}\n{fact.text}" if fact.question else f"[{fact.id}] {fact.text}" for fact in facts
    ]
    block = "\n".join(["Known facts, which hold where other sources say otherwise:", *lines])
    return {"role": "system", "content": block}


def _read(payload: Any) -> tuple[list[dict[str, str]], str]:
    """Return the conversation that `payload` is (else nothing), and the words a person would read in it."""
    if payload is None or isinstance(payload, str):
        return [], payload or ""
    if isinstance(payload, (list, tuple)) and payload and all(map(_is_turn, payload)):
        turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in payload]
        asked = [turn for turn in turns if turn["role"] == "user"]
        return turns, (asked or turns)[-1]["content"]
    return [], json.dumps(payload, ensure_ascii=False, default=str)


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str) and "role" in value
