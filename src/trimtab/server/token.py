"""Signed tokens: feedback on one answer, allowed by the app's own server, with no public key and without asking us.

    token     = "tt_token_" body "." signature              both in base64url without padding
    body      = JSON {"k": key reference, "i": inference id, "e": expiry in seconds since 1970, "u": user (optional)}
    signature = HMAC-SHA-256(secret, body)                over the encoded body
    secret    = HMAC-SHA-256(sha256(key), "trimtab feedback token v1")
    reference = the first 9 bytes of HMAC-SHA-256(sha256(key), "trimtab key reference v1")

Both sides can derive the secret, the app from its key and the server from the hash it keeps. The price: whoever reads
the hashes in the database can sign tokens. They could still not send inferences or read anything.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from trimtab.errors import AuthError
from trimtab.records import ApiKey, Identifier, Uuid

__all__ = ["TOKEN", "Claims", "reference_of", "verified"]

TOKEN = "tt_token_"  # noqa: S105  how tokens begin
_SIGNS = b"trimtab feedback token v1"
_REFERS = b"trimtab key reference v1"
_WRONG = (
    "expected a token made by feedback_token() with a key that is not revoked, got one that is damaged, "
    "forged, or of another key; make it again"
)


class Claims(Struct, frozen=True, forbid_unknown_fields=True, rename={"reference": "k", "inference_id": "i",
             "expires": "e", "user_id": "u"}):  # fmt: skip
    """What a token says: whose key made it, on which inference, until when, and who speaks."""

    reference: str
    inference_id: Uuid
    expires: int
    user_id: Identifier | None = None


def reference_of(key: ApiKey) -> str:
    """Return the name by which tokens call the key that made them."""
    return urlsafe_b64encode(_derived(key, _REFERS)[:9]).decode()


def verified(token: str, signers: Mapping[str, ApiKey], now: datetime) -> tuple[ApiKey, Claims]:
    """Return the key that signed the token and what the token says; `signers` are live keys by their reference.

    Raises AuthError for one that is damaged, forged, expired, or of a key that is not among the signers.
    """
    body, _, signature = token.removeprefix(TOKEN).partition(".")
    claims = _claims(body)
    key = signers.get(claims.reference)
    if key is None:
        raise AuthError(_WRONG)
    expected = hmac.digest(_derived(key, _SIGNS), body.encode(), hashlib.sha256)
    if not hmac.compare_digest(_encoded(expected), signature.encode("utf-8", "replace")):
        raise AuthError(_WRONG)
    if now.timestamp() >= claims.expires:
        raise AuthError("expected a token that is still valid, got one that has expired; ask the app for a new one")
    return key, claims


def _claims(body: str) -> Claims:
    try:
        return msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Claims)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise AuthError(_WRONG) from None


def _derived(key: ApiKey, purpose: bytes) -> bytes:
    return hmac.digest(bytes.fromhex(key.sha256), purpose, hashlib.sha256)


def _encoded(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
