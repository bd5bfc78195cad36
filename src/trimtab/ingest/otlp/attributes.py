"""Attributes as they are found on spans, made into what a record may hold: names, counts, texts, JSON, lists."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["amount", "count", "first", "from_json", "identifier", "name", "nested", "text", "under"]

_MAX_PARTS = 12
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.:/@-]+")
_BIGGEST = (1 << 63) - 1


def first(attributes: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """Return the value of the first of `keys` that says something (not None, not empty), else None."""
    for key in keys:
        value = attributes.get(key)
        if value is not None and value not in ("", [], {}):
            return value
    return None


def text(value: Any) -> str | None:
    """Return a text, or a number as text; None for anything else and for an empty text."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def identifier(value: Any) -> str | None:
    """Return a value as an id of at most 256 characters; a longer one is no id."""
    told = text(value)
    return told if told is not None and len(told) <= 256 else None


def name(value: Any) -> str | None:
    """Return a value as a name: what its alphabet lacks becomes '-', what is over 128 characters is cut.

    >>> name("Support Bot (EU)")
    'Support-Bot-EU'
    """
    told = _NOT_IN_A_NAME.sub("-", (text(value) or "")[:512]).lstrip("_.:/@-")[:128].rstrip("-")
    return told or None


def count(value: Any) -> int | None:
    """Return a whole number from 0 up, which some senders write as text or as 12.0; None for anything else."""
    number = amount(value)
    return int(number) if number is not None and number <= _BIGGEST and number == int(number) else None


def amount(value: Any) -> float | None:
    """Return a finite number from 0 up; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def from_json(value: Any) -> Any:
    """Return the JSON value in a text that begins like an object or an array; any other value as it is.

    Attributes that hold structure come as JSON text from exporters that have only flat values, else as it is.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return value  # cut short by a length limit, most often: still what the person saw


def under(attributes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the attributes whose key begins with `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in attributes.items() if key.startswith(prefix)}


def nested(attributes: Mapping[str, Any], prefix: str) -> Any:
    """Return flattened attributes as the tree they were: numbers between dots are places in a list.

    >>> nested({"m.0.role": "user", "m.1.role": "assistant"}, "m.")
    [{'role': 'user'}, {'role': 'assistant'}]
    """
    tree: dict[str, Any] = {}
    for key, value in under(attributes, prefix).items():
        at = tree
        *way, last = key.split(".", _MAX_PARTS)
        for part in way:
            inner = at.get(part)
            if not isinstance(inner, dict):
                inner = at[part] = {}
            at = inner
        at.setdefault(last, value)
    return _listed(tree)


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(len(key) <= 6 and key.isascii() and key.isdigit() for key in tree):
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(value) for key, value in tree.items()}
