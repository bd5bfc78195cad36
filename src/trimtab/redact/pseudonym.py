"""Stable stand-ins for personal data: the same address gives the same token, so joins and counts survive."""

from __future__ import annotations

import hashlib
from typing import Final

from trimtab.errors import ConfigError
from trimtab.redact.entity import PSEUDONYMISED, Entity, plain_token

__all__ = ["Pseudonymiser"]

_MIN_KEY_BYTES: Final = 16
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_HALF: Final = (1 << 30) - 1
_HEADS: Final = {entity: entity.encode() + b"\0" for entity in PSEUDONYMISED}
_BLOCK_BYTES: Final = 64  # of SHA-256
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


class Pseudonymiser:
    """Turns a finding into its token.

    The token of a pseudonymised entity is the first 60 bits of HMAC-SHA256(key, type NUL canonical value) in
    base32: among a million different values two collide with a chance of about 4e-7 (n^2 / 2^61).
    Raises ConfigError when the key has fewer than 16 bytes.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise ConfigError(
                f"expected a redaction key of at least {_MIN_KEY_BYTES} bytes; got {len(key)}; "
                "make one with `python -c 'import secrets; print(secrets.token_hex(32))'`",
                param="redact.key",
            )
        # RFC 2104 with both paddings hashed once: a key of its own per token costs three times as much.
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def token(self, entity: Entity, canonical: str) -> str:
        """Return `<EMAIL:f4rw3iwq2mal>` for a pseudonymised entity and `<SECRET>` for any other."""
        if entity not in _HEADS:
            return plain_token(entity)
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(_HEADS[entity] + canonical.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        bits = int.from_bytes(outer.digest()[:8]) >> 4
        high, low = bits >> 30, bits & _HALF
        first = f"{_PAIRS[high >> 20]}{_PAIRS[high >> 10 & 1023]}{_PAIRS[high & 1023]}"
        return f"<{entity}:{first}{_PAIRS[low >> 20]}{_PAIRS[low >> 10 & 1023]}{_PAIRS[low & 1023]}>"
