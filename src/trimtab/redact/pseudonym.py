"""Stable stand-ins for personal data: the same address gives the same token, so joins and counts survive."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from trimtab.errors import ConfigError
from trimtab.redact.entity import PSEUDONYMISED, Entity, plain_token

__all__ = ["Pseudonymiser"]

_MIN_KEY_BYTES: Final = 16


class Pseudonymiser:
    """Turns a finding into its token.

    The token of a pseudonymised entity is the first 60 bits of HMAC-SHA256(key, type NUL canonical value) in
    base32: among a million different values two collide with a chance of about 4e-7 (n^2 / 2^61).
    Raises ConfigError when the key has fewer than 16 bytes.
    """

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise ConfigError(
                f"expected a redaction key of at least {_MIN_KEY_BYTES} bytes; got {len(key)}; "
                "make one with `python -c 'import secrets; print(secrets.token_hex(32))'`",
                param="redact.key",
            )
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)

    def token(self, entity: Entity, canonical: str) -> str:
        """Return `<EMAIL:f4rw3iwq2mal>` for a pseudonymised entity and `<SECRET>` for any other."""
        if entity not in PSEUDONYMISED:
            return plain_token(entity)
        mac = self._keyed.copy()
        mac.update(entity.encode() + b"\0" + canonical.encode("utf-8", "surrogatepass"))
        return f"<{entity}:{base64.b32encode(mac.digest()[:10])[:12].decode().lower()}>"
