"""Tokens for pages: feedback on one response, allowed by the app's own server, without asking ours.

The server derives the same secret from the hash of the key that it keeps: the key never leaves the app, and revoking
it ends its tokens. Whoever reads the server's table of hashes could sign tokens too, and send feedback, nothing more.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from trimtab.client.context import SCOPE
from trimtab.client.uuid7 import is_uuid
from trimtab.client.wire import identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.client.inference import Handle

__all__ = ["Tokens", "signed"]

_SIGNS = b"trimtab feedback token v1"
_REFERS = b"trimtab key reference v1"
_LONGEST_ID = 256
_WEEK_S = 7 * 86_400


class Tokens(ABC):
    """What makes tokens, given `_key`, `_now` and what becomes of mistakes."""

    _key: str
    _now: Callable[[], int]

    @abstractmethod
    def _refuse(self, wrong: str) -> None:
        """Count a mistake of the caller's; raise it where the client is strict."""

    def feedback_token(self, inference: str | Handle, *, user: str | None = None, ttl_s: float = _WEEK_S) -> str:
        """Return a token with which a page may send feedback on this inference, for `ttl_s` seconds; a week by default.

        It is made here, without asking the server, and ends when the client's key is revoked. `user` (by default that
        of `session`) is who speaks, whatever the page says, and the page can read it. The key must have been made with
        the origins of the pages. "" where none can be made, which is said once; with `strict` ValueError is raised.
        """
        expires = self._now() // 1_000_000 + int(ttl_s)
        if not self._key:
            self._refuse("expected an ingest key to sign tokens with, got none; set TRIMTAB_KEY")
            return ""
        try:
            return signed(self._key, inference, expires=expires, user=identifier(user) or SCOPE.get().user)
        except ValueError as error:
            self._refuse(str(error))
            return ""


def signed(key: str, inference: str | Handle, *, expires: int, user: str | None = None) -> str:
    """Return a token for feedback on `inference` until `expires` (whole seconds since 1970), signed with an ingest key.

    Raises ValueError for what is not an inference id, or a user longer than 256 characters.
    """
    import hashlib  # noqa: PLC0415 only servers that make tokens pay for these
    import hmac  # noqa: PLC0415
    from binascii import b2a_base64  # noqa: PLC0415

    inference_id = str(getattr(inference, "id", inference)).lower()
    if not is_uuid(inference_id):
        raise ValueError(f"expected the id of an inference, a UUID, got {inference_id[:80]!r}")
    if user is not None and not 0 < len(user) <= _LONGEST_ID:
        raise ValueError(f"expected a user of 1 to {_LONGEST_ID} characters, got {len(user)}")

    def encoded(raw: bytes) -> str:
        return b2a_base64(raw, newline=False).decode().translate({43: "-", 47: "_", 61: None})

    hashed = hashlib.sha256(key.encode()).digest()
    reference = encoded(hmac.digest(hashed, _REFERS, "sha256")[:9])
    told = {"k": reference, "i": inference_id, "e": expires, **({"u": user} if user is not None else {})}
    body = encoded(json.dumps(told, separators=(",", ":")).encode())
    secret = hmac.digest(hashed, _SIGNS, "sha256")
    return f"tt_token_{body}.{encoded(hmac.digest(secret, body.encode(), 'sha256'))}"
