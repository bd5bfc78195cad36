"""API keys: how one is made, and how a request's key or token is checked against what its route allows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeGuard

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from trimtab.errors import AuthError, ForbiddenKey, ForbiddenOrigin
from trimtab.ids import new_id
from trimtab.ingest.sender import Sender
from trimtab.records import ApiKey, KeyKind, Project, ReviewLink
from trimtab.server.address import Addresses
from trimtab.server.caller import Caller
from trimtab.server.contract import Contract
from trimtab.server.limits import Meter
from trimtab.server.origin import allows, checked_origins
from trimtab.server.token import TOKEN, Claims, reference_of, verified
from trimtab.store.ports import Stored

__all__ = ["GUEST", "KeyBook", "Keyring", "Minted", "Roster", "guard", "mint"]

GUEST = "tt_guest_"
"""How the token of a review link begins."""

_SECRET_BYTES = 32
_MAX_SECRET = 4096
_SHOWN = 80
_REMEMBERED_S = 5.0
_SIGNERS: frozenset[KeyKind] = frozenset({"ingest", "admin"})


class Minted(NamedTuple):
    """A new key: the secret, to be shown once, and what is kept of it."""

    secret: str
    key: ApiKey


def mint(kind: KeyKind, project_id: str, label: str, now: datetime, *, origins: Sequence[str] = ()) -> Minted:
    """Make a key of 256 random bits. Only its SHA-256 is kept; a random key needs no slow hash.

    `origins` are the pages that may use it, or its tokens; a public key needs at least one. Raises InvalidField.
    """
    told = checked_origins(kind, origins)
    secret = f"tt_{kind}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key = ApiKey(
        id=new_id(now),
        project_id=project_id,
        kind=kind,
        label=label,
        hint=_hint(kind, secret),
        sha256=_digest(secret),
        created_at=now,
        origins=told,
    )
    return Minted(secret, key)


class Roster(NamedTuple):
    """The live keys of all projects, as they were at `at`: those that may sign tokens, and where pages may be."""

    at: float
    signers: dict[str, ApiKey]
    origins: frozenset[str]


class KeyBook(Protocol):
    """Where keys are kept."""

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key with that hash, revoked or not."""
        ...

    def keys(self, project_id: str) -> list[ApiKey]:
        """Return all keys of the project."""
        ...

    def projects(self) -> list[Project]:
        """Return all projects."""
        ...


class Keyring:
    """Finds keys by their secret, and knows which sign tokens; what was found is remembered for five seconds.

    A key revoked through this process is refused from that moment, one revoked by another process within the five.
    """

    def __init__(self, store: KeyBook) -> None:
        self._store = store
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self._roster: Roster | None = None
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
        """Ask the store again at the key's next use: to be called once the key, or its revocation, is stored."""
        with self._lock:
            self._known.pop(key.sha256, None)
            self._roster = None

    async def roster(self) -> Roster:
        """Return the live keys, at most five seconds old. Raises Unavailable."""
        held = self._roster
        return held if _fresh(held) else await asyncio.to_thread(self._read_roster)

    def _read_roster(self) -> Roster:
        with self._lock:
            if _fresh(self._roster):  # another request asked at the same time
                return self._roster
            keys = [key for project in self._store.projects() for key in self._store.keys(project.id)]
            live = [key for key in keys if key.revoked_at is None]
            self._roster = Roster(
                time.monotonic(),
                {reference_of(key): key for key in live if key.kind in _SIGNERS},
                frozenset(origin for key in live for origin in key.origins),
            )
            return self._roster


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request through when its key is of a kind its route allows. Raises AuthError or RateLimited."""
    if connection.scope.get("method") == "OPTIONS":  # the framework's own answer: which methods there are
        return
    told = handler.opt.get("contract")
    if not isinstance(told, Contract):
        raise ForbiddenKey("this route has no contract, so nobody may call it")
    if told.guest:
        connection.scope["auth"] = await _guest(connection)
        return
    if not told.keys:
        return
    key, claims = await _shown(connection)
    kind: KeyKind = "public" if claims is not None else key.kind
    if kind not in told.keys:
        allowed = " or ".join(sorted(told.keys))
        got = "a token for feedback on one answer" if claims is not None else f"one of kind {key.kind}"
        raise ForbiddenKey(f"expected a key of kind {allowed}, got {got}")
    origin = connection.headers.get("origin")
    if kind == "public" and origin is not None and not allows(key.origins, origin):
        raise ForbiddenOrigin(_not_for(key, claims, origin), param="origin")
    connection.scope["auth"] = Caller(key.id, key.project_id, kind, _sender(connection, told, key, claims))


async def _shown(connection: ASGIConnection[Any, Any, Any, Any]) -> tuple[ApiKey, Claims | None]:
    """Return the key of the request, or the one that made its token, with what the token says."""
    secret = _bearer(connection.headers.get("authorization", ""))
    keyring: Keyring = connection.app.state.keyring
    if secret.startswith(TOKEN):
        roster = await keyring.roster()
        return verified(secret, roster.signers, connection.app.state.engine.clock.now())
    key = keyring.remembered(secret) or await asyncio.to_thread(keyring.find, secret)
    if key is None:
        raise AuthError("expected a valid API key, got one that is unknown or revoked; `trimtab key create` makes one")
    return key, None


async def _guest(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Return who came with the token of a review link. Asks the store each time: a revoked one ends at once."""
    secret = _bearer(connection.headers.get("authorization", ""))
    engine = connection.app.state.engine
    if not secret.startswith(GUEST):
        raise ForbiddenKey("expected the token of a review link, got something else; keys judge at /v1/review")
    found: Stored[ReviewLink] | None = await asyncio.to_thread(engine.store.review_link, _digest(secret))
    now = engine.clock.now()
    if found is None or found.record.revoked_at is not None or found.record.expires_at <= now:
        raise AuthError("expected the token of a review link, got one that is unknown, expired or revoked")
    return Caller(found.record.id, found.project_id, "public", Sender(trusted=False), found.record)


def _sender(
    connection: ASGIConnection[Any, Any, Any, Any], told: Contract, key: ApiKey, claims: Claims | None
) -> Sender:
    """Return what the caller may send, with its limits counted where the route takes events. Raises RateLimited."""
    if not told.metered:
        return Sender(trusted=key.kind != "public")
    meter: Meter = connection.app.state.meter
    addresses: Addresses = connection.app.state.addresses
    if claims is None:
        charge = meter.open(key.kind, key.id, addresses.of(connection.scope))
        return Sender(trusted=key.kind != "public", charge=charge)
    charge = meter.open("public", key.id, addresses.of(connection.scope))
    return Sender(trusted=False, inference_id=claims.inference_id, user_id=claims.user_id, charge=charge)


def _not_for(key: ApiKey, claims: Claims | None, origin: str) -> str:
    what = "this key" if claims is None else "the key that made this token"
    listed = ", ".join(key.origins) or "none"
    return (
        f"expected a page of the origins of {what} ({listed[:400]}), got {origin[:_SHOWN]!r}; "
        "make a key with --origin for it"
    )


def _fresh(held: Roster | None) -> TypeGuard[Roster]:
    return held is not None and time.monotonic() - held.at <= _REMEMBERED_S


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
