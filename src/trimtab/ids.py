"""Identifiers: time-ordered UUIDs made by the sender, derived ids for repeatable steps, hashes of content."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from datetime import datetime

from trimtab.clock import to_micros

__all__ = ["content_id", "derived_id", "is_uuid", "new_id"]

_lock = threading.Lock()
_last = 0


def new_id(now: datetime) -> str:
    """Return a UUIDv7 (RFC 9562, 5.7) for `now`, in its canonical text form.

    Ids made in one process rise strictly while the clock does not run backwards: the 12 bits after the millisecond hold
    the microseconds, and a tie takes the next step (method 3 of section 6.2).
    """
    global _last  # noqa: PLW0603 the last id given out is the state that keeps order
    micros = to_micros(now)
    millis, rest = divmod(micros, 1000)
    stamp = (millis << 12) | (rest << 2)
    with _lock:
        # A clock set to another age (a study) starts a new order; a tie or a small step back keeps rising.
        if _last - (1000 << 12) < stamp <= _last:
            stamp = _last + 1
        _last = stamp
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | random
    return str(uuid.UUID(int=value))


def derived_id(*parts: str) -> str:
    """Return the UUID that always belongs to `parts` (a v8, RFC 9562 5.8): a step that runs again makes the same id."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    value = (value & ~(0b11 << 62)) | (0b10 << 62)
    return str(uuid.UUID(int=value))


def content_id(prefix: str, content: bytes) -> str:
    """Return `prefix` and 24 hex digits (96 bits) of the SHA-256 of `content`: equal content, equal id."""
    return f"{prefix}_{hashlib.sha256(content).hexdigest()[:24]}"


def is_uuid(text: str) -> bool:
    """Say whether `text` is a UUID in canonical form (36 characters, lower-case)."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
