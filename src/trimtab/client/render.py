"""From a Version and an input to the messages a model is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.client.version import Version

__all__ = ["render"]

_SLOT = "{input}"
_LEADING = ("system", "developer")


def render(
    version: Version | None,
    payload: str | Sequence[Any] | Mapping[str, Any] | None,
    *,
    fallback: str | Sequence[Mapping[str, str]] | None = None,
    exemplars: int = 20,
) -> list[dict[str, str]]:
    """Return the messages: instructions, rules, worked examples, then the input.

    The template is the Version's messages; a Version without any (and no Version at all) leaves the app's own
    `fallback` in force. Rules go to the end of the last leading system message. Each exemplar becomes a user and an
    assistant turn after the system messages; of more than `exemplars` those are taken that share most words with the
    input. `{input}` is replaced as it stands (no other braces are touched); a template without it gets the input as its
    last turn, and a conversation (a list of messages) takes the place of the turn that holds it.
    """
    template = list(version.messages) if version and version.messages else _messages(fallback)
    head_length = next((at for at, turn in enumerate(template) if turn["role"] not in _LEADING), len(template))
    text = _text(payload)
    head, rest = template[:head_length], template[head_length:]
    if version and version.rules:
        head = _with_rules(head, version.rules)
    shots = _nearest(version.exemplars, text, exemplars) if version else []
    examples = [
        {"role": role, "content": content} for pair in shots for role, content in zip(("user", "assistant"), pair)
    ]
    return [_filled(turn, text) for turn in head] + examples + _turns(rest, head, payload, text)


def _messages(fallback: str | Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
    if fallback is None:
        return []
    if isinstance(fallback, str):
        return [{"role": "system", "content": fallback}]
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in fallback]


def _text(payload: Any) -> str:
    """Return the words a person would read in `payload`: of a conversation, the last turn of the user."""
    if payload is None or isinstance(payload, str):
        return payload or ""
    turns = _conversation(payload)
    if turns:
        asked = [turn for turn in turns if turn["role"] == "user"]
        return (asked or turns)[-1]["content"]
    return json.dumps(payload, ensure_ascii=False, default=str)


def _conversation(payload: Any) -> list[dict[str, str]]:
    """Return `payload` as turns if it is a list of messages, else nothing."""
    if not isinstance(payload, (list, tuple)) or not payload:
        return []
    if all(isinstance(turn, dict) and isinstance(turn.get("content"), str) and "role" in turn for turn in payload):
        return [{"role": str(turn["role"]), "content": turn["content"]} for turn in payload]
    return []


def _with_rules(head: list[dict[str, str]], rules: Sequence[str]) -> list[dict[str, str]]:
    lines = "\n".join(["Rules:", *(f"- {rule}" for rule in rules)])
    if not head:
        return [{"role": "system", "content": lines}]
    return [*head[:-1], {"role": head[-1]["role"], "content": f"{head[-1]['content']}\n\n{lines}"}]


def _filled(turn: Mapping[str, str], text: str) -> dict[str, str]:
    return {"role": turn["role"], "content": turn["content"].replace(_SLOT, text)}


def _turns(rest: list[dict[str, str]], head: list[dict[str, str]], payload: Any, text: str) -> list[dict[str, str]]:
    conversation = _conversation(payload)
    if not any(_SLOT in turn["content"] for turn in [*rest, *head]):
        if payload is None:
            return rest
        return [*rest, *(conversation or [{"role": "user", "content": text}])]
    turns: list[dict[str, str]] = []
    for turn in rest:
        if conversation and turn["content"].strip() == _SLOT:
            turns.extend(conversation)
        else:
            turns.append(_filled(turn, text))
    return turns


def _nearest(exemplars: Sequence[tuple[str, str]], text: str, limit: int) -> list[tuple[str, str]]:
    """Return at most `limit` exemplars, nearest last (a model minds the last ones most); newer ones win a tie."""
    if len(exemplars) <= limit:
        return list(exemplars)
    words = set(text.lower().split())

    def nearness(at: int) -> tuple[float, int]:
        theirs = set(exemplars[at][0].lower().split())
        union = len(words | theirs)
        return (len(words & theirs) / union if union else 0.0, at)

    chosen = sorted(range(len(exemplars)), key=nearness)[len(exemplars) - max(limit, 0) :]
    return [exemplars[at] for at in chosen]
