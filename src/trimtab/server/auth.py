"""API keys: how one is made, and how a request's key is checked against what its route allows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import threading
import time
from datetime import datetime
from typing import Any, NamedTuple

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from trimtab.errors import AuthError, ForbiddenKey
from trimtab.ids import new_id
from trimtab.records import ApiKey, KeyKind
from trimtab.server.contract import Contract
from trimtab.store.ports import CatalogStore

__all__ = ["Keyring", "Minted", "guard", "mint"]

_SECRET_BYTES = 32
_MAX_SECRET = 200
_REMEMBERED_S = 5.0


class Minted(NamedTuple):
    """A new key: the secret, to be shown once, and what is kept of it."""

    secret: str
    key: ApiKey


def mint(kind: KeyKind, project_id: str, label: str, now: datetime) -> Minted:
    """Make a key of 256 random bits. Only its SHA-256 is kept; a random key needs no slow hash."""
    secret = f"tt_{kind}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key = ApiKey(
        id=new_id(now),
        project_id=project_id,
        kind=kind,
        label=label,
        hint=_hint(kind, secret),
        sha256=_digest(secret),
        created_at=now,
    )
    return Minted(secret, key)


class Keyring:
    """Finds keys by their secret; a found one is remembered for five seconds.

    A key revoked through this process is refused from that moment, one revoked by another process within the five.
    """

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self._lock = threading.Lock()

    def remembered(self, secret: str) -> ApiKey | None:
        """Return the key if it was found lately; never asks the store."""
        held = self._known.get(_digest(secret))
        if held is None or time.monotonic() - held[0] > _REMEMBERED_S:
            return None
        return held[1]

    def find(self, secret: str) -> ApiKey | None:
        """Ask the store for the key with this secret; None when there is none or it is revoked. May block."""
        digest = _digest(secret)
        with self._lock:
            key = self._store.find_key(digest)
            if key is None or key.revoked_at is not None or not hmac.compare_digest(key.sha256, digest):
                self._known.pop(digest, None)
                return None
            self._known[digest] = (time.monotonic(), key)
            return key

    def forget(self, key: ApiKey) -> None:
        """Ask the store again at the key's next use: to be called once its revocation is stored."""
        with self._lock:
            self._known.pop(key.sha256, None)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request through when its key is of a kind its route allows. Raises AuthError or ForbiddenKey."""
    if connection.scope.get("method") == "OPTIONS":  # the framework's own answer: which methods there are
        return
    told = handler.opt.get("contract")
    if not isinstance(told, Contract):
        raise ForbiddenKey("this route has no contract, so nobody may call it")
    if not told.keys:
        return
    secret = _bearer(connection.headers.get("authorization", ""))
    keyring: Keyring = connection.app.state.keyring
    key = keyring.remembered(secret) or await asyncio.to_thread(keyring.find, secret)
    if key is None:
        raise AuthError("expected a valid API key, got one that is unknown or revoked; `trimtab key create` makes one")
    if key.kind not in told.keys:
        allowed = " or ".join(sorted(told.keys))
        raise ForbiddenKey(f"expected a key of kind {allowed}, got one of kind {key.kind}")
    connection.scope["auth"] = key


def _bearer(header: str) -> str:
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if not header:
        raise AuthError("expected an API key, got none; send `Authorization: Bearer <key>`")
    if scheme.lower() != "bearer" or not secret or len(secret) > _MAX_SECRET:
        raise AuthError("expected `Authorization: Bearer <key>`, got a header of another form")
    return secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _hint(kind: KeyKind, secret: str) -> str:
    """Return enough of a key to tell it from others: a hash of its last characters would say less to a person."""
    tail = secret[-4:].replace("-", "0").replace("_", "0")
    return f"tt:{kind}:{tail}"
