"""Which inference an object of a library came from, without writing into the object."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["inference_of", "remember"]

# By identity: models of pydantic are compared by value and cannot be keys. The weak reference takes the entry out
# before the address can belong to another object.
_ORIGINS: dict[int, tuple[weakref.ref[Any], str]] = {}


def remember(made: Any, inference_id: str) -> None:
    """Note that `made` belongs to this inference, as long as it lives; what takes no weak reference is passed over."""
    key = id(made)
    try:
        _ORIGINS[key] = (weakref.ref(made, lambda _: _ORIGINS.pop(key, None)), inference_id)
    except TypeError:
        return


def inference_of(response: object) -> str | None:
    """Return the id of the inference that a wrapped call, its stream or a piece of it was recorded as; else None.

    It knows the very object that the call returned, not a copy of it.
    """
    found = _ORIGINS.get(id(response))
    return found[1] if found and found[0]() is response else None
