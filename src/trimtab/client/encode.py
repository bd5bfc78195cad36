"""From what an app hands over to the bytes of one event. Nothing an app can pass makes it fail."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["encode", "payload_of"]

_DEPTH = 64
_REPR_CHARS = 10_000


def encode(event: dict[str, Any]) -> bytes:
    """Return `event` as one line of JSON in UTF-8.

    It is written while the app waits, some microseconds, so that what the app does to its own lists afterwards does
    not change what is reported, and so that the size of the queue is known.
    """
    try:
        text = _ENCODER.encode(event)
    except (ValueError, TypeError, RecursionError):  # NaN, a circular list, keys that are not text
        text = _ENCODER.encode(_cleaned(event, ()))
    return text.encode("utf-8", "replace")


def payload_of(value: Any) -> Any:
    """Return `value` as what the wire takes for an input or output: a text, a list or an object (None stays None)."""
    if value is None or isinstance(value, (str, list, dict)):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    plain = list(value) if isinstance(value, tuple) else _plain(value)
    return plain if isinstance(plain, (str, list, dict)) else str(plain)


def _plain(value: Any) -> Any:
    """Return a form of `value` that JSON knows: models and dataclasses as objects, the rest as text."""
    try:
        if isinstance(value, (set, frozenset)):
            return list(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        if isinstance(value, type):
            return value.__qualname__
        for method, options in (("model_dump", {"mode": "json"}), ("to_dict", {}), ("isoformat", {})):
            call = getattr(value, method, None)
            if callable(call):
                return call(**options)
        if hasattr(value, "__dataclass_fields__"):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
        return str(value)[:_REPR_CHARS]
    except Exception:  # noqa: BLE001 foreign code: whatever it does, the event goes on without it
        return f"<{type(value).__qualname__}>"


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def _cleaned(value: Any, path: tuple[int, ...]) -> Any:
    """Return `value` rebuilt from what JSON knows; what is not a number becomes null, a circle is cut."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if id(value) in path or len(path) > _DEPTH:
        return "<...>"
    path = (*path, id(value))
    if isinstance(value, dict):
        return {str(key): _cleaned(item, path) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cleaned(item, path) for item in value]
    return _cleaned(_plain(value), path)
