"""Time-ordered ids made by the sender, so that an event sent twice is still one event."""

from __future__ import annotations

import os

__all__ = ["is_uuid", "new_id"]

_RANDOM, _VARIANT = (1 << 62) - 1, 0b10 << 62
_HEX = frozenset("0123456789abcdef")


def new_id(micros: int) -> str:
    """Return a UUIDv7 (RFC 9562, 5.7) for the time `micros`; the same layout as the engine's own ids.

    48 bits of milliseconds, then the microseconds in the 12 bits after the version (method 3 of section 6.2), then 62
    random bits. It keeps no state, so it needs no lock that a fork or a signal handler could find held.
    """
    millis, rest = divmod(micros, 1000)
    high = f"{millis:012x}"
    low = f"{int.from_bytes(os.urandom(8), 'big') & _RANDOM | _VARIANT:016x}"
    return f"{high[:8]}-{high[8:]}-7{rest << 2:03x}-{low[:4]}-{low[4:]}"


def is_uuid(text: str) -> bool:
    """Say whether `text` is a UUID in canonical form (36 characters, lower-case)."""
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and _HEX.issuperset("".join(parts))
