"""Payloads as conversations of plain texts, and rows in the exact keys that trainers read.

TRL (1.16): `prompt` and answers are lists of messages; SFT has prompt/completion, so that loss falls on the answer
alone, DPO prompt/chosen/rejected, KTO prompt/completion/label. OpenAI: SFT `messages`, DPO input/preferred_output/
non_preferred_output with one assistant message a side, which Together and Fireworks read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trimtab.records import DatasetFormat, Payload
from trimtab.redact.entity import FAILED

__all__ = ["Turn", "answer_of", "prompt_of", "shaped"]

Turn = dict[str, str]

_ROLES = frozenset({"system", "developer", "user", "assistant"})


def prompt_of(payload: Payload | None) -> list[Turn] | None:
    """Return what was asked as messages that end with the person's; None where it is not plain text alone."""
    if isinstance(payload, str):
        return [_turn("user", payload)] if _is_usable(payload) else None
    if isinstance(payload, Mapping):
        inner = payload.get("messages")
        if isinstance(inner, list):
            return prompt_of(inner)
        values = list(payload.values())
        if len(values) == 1 and isinstance(values[0], str):
            return prompt_of(values[0])
        return prompt_of(msgspec.json.encode(payload, order="deterministic").decode()) if payload else None
    if not isinstance(payload, Sequence) or not payload:
        return None
    turns = [_read(item) for item in payload]
    if turns[-1] is None or turns[-1]["role"] != "user":
        return None
    return [turn for turn in turns if turn is not None] if all(turns) else None


def answer_of(payload: Payload | None) -> str | None:
    """Return what was answered as one text; None where there is none, or not in words alone."""
    if isinstance(payload, str):
        return payload if _is_usable(payload) else None
    if isinstance(payload, Sequence) and len(payload) == 1:
        payload = payload[0]
    if isinstance(payload, Mapping):
        if "role" in payload:
            turn = _read(payload)
            return turn["content"] if turn is not None and turn["role"] == "assistant" else None
        return msgspec.json.encode(payload, order="deterministic").decode() if payload else None
    return None


def shaped(
    kind: str,
    style: DatasetFormat,
    prompt: Sequence[Turn],
    chosen: str,
    *,
    rejected: str | None = None,
    label: bool | None = None,
) -> dict[str, Any]:
    """Return one row of a file in the keys of its kind and format."""
    right = [_turn("assistant", chosen)]
    if style == "openai":
        if kind == "sft":
            return {"messages": _weighted([*prompt, *right])}
        asked = {"messages": list(prompt), "tools": [], "parallel_tool_calls": True}
        wrong = [_turn("assistant", rejected or "")]
        return {"input": asked, "preferred_output": right, "non_preferred_output": wrong}
    # Chat templates know a system message; "developer" is its name with one provider.
    told = [{**turn, "role": "system"} if turn["role"] == "developer" else turn for turn in prompt]
    if kind == "dpo":
        return {"prompt": told, "chosen": right, "rejected": [_turn("assistant", rejected or "")]}
    row: dict[str, Any] = {"prompt": told, "completion": right}
    return {**row, "label": label} if kind == "kto" else row


def _weighted(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the messages so that of several answers in a conversation only the last is learned."""
    if sum(turn["role"] == "assistant" for turn in turns) == 1:
        return list(turns)
    earlier = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns[:-1]]
    return [*earlier, {**turns[-1], "weight": 1}]


def _read(item: Any) -> Turn | None:
    """Return one message, or None for what is no plain text: calls of tools, pictures, words that were withheld."""
    if not isinstance(item, Mapping) or item.get("role") not in _ROLES or item.get("tool_calls"):
        return None
    content = item.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if not parts or not all(isinstance(part, str) for part in parts):
            return None
        content = "\n".join(str(part) for part in parts)
    return _turn(str(item["role"]), content) if isinstance(content, str) and _is_usable(content) else None


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def _is_usable(text: str) -> bool:
    return bool(text.strip()) and FAILED not in text
