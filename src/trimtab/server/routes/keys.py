"""API keys: listed without their secrets, made, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.errors import Conflict, NotFound
from trimtab.records import ApiKey, KeyKind
from trimtab.redact.wall import seal
from trimtab.server.auth import Keyring, mint
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, read
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "KeyInfo", "NewKey", "ShownKey"]


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key to make: what it may do, a label to know it by, and where pages that use it may be.

    `origins` are origins such as https://app.example, or * for every page. A public key needs one; with an ingest or
    admin key they are where its tokens may be used.
    """

    kind: KeyKind
    label: Annotated[str, Meta(max_length=200)] = ""
    origins: list[str] = []


class KeyInfo(Struct, frozen=True, kw_only=True):
    """What is shown of a key: never its secret, nor the hash of it."""

    id: str
    kind: KeyKind
    label: str
    hint: str
    origins: list[str]
    created_at: datetime
    revoked_at: datetime | None


class ShownKey(KeyInfo, frozen=True, kw_only=True):
    """A key just made, with its secret: shown this once."""

    key: str


def _info(key: ApiKey) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        kind=key.kind,
        label=key.label,
        hint=key.hint,
        origins=key.origins,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


@get("/v1/keys", sync_to_thread=True, opt=contract("admin", answer=Listing[KeyInfo]))
def list_keys(request: Call) -> Listing[KeyInfo]:
    """List the project's keys, revoked ones too, oldest first."""
    return Listing([_info(key) for key in engine_of(request).store.keys(request.auth.project_id)])


@post("/v1/keys", sync_to_thread=True, opt=contract("admin", body=NewKey, answer=ShownKey, status=201))
def create_key(request: Call, body: RawBody) -> ShownKey:
    """Make a key. Its secret is in this answer and nowhere else."""
    told, engine, project_id = read(body, NewKey), engine_of(request), request.auth.project_id
    minted = mint(told.kind, project_id, told.label, engine.clock.now(), origins=told.origins)
    sealed = seal(engine.redactor.of(project_id), minted.key)
    engine.store.commit({project_id: Writes(keys=[sealed])})
    keyring: Keyring = request.app.state.keyring
    keyring.forget(sealed.record)
    return ShownKey(key=minted.secret, **msgspec.structs.asdict(_info(sealed.record)))


@delete("/v1/keys/{key_id:str}", status_code=200, sync_to_thread=True, opt=contract("admin", answer=KeyInfo))
def revoke_key(request: Call, key_id: FromPath[str]) -> KeyInfo:
    """Revoke a key: refused from this moment on. The last admin key cannot be revoked over HTTP."""
    engine, project_id = engine_of(request), request.auth.project_id
    keys = {key.id: key for key in engine.store.keys(project_id)}
    key = keys.get(id_in_path(key_id, "key"))
    if key is None:
        raise NotFound(f"no key {key_id!r}", param="key_id")
    if key.revoked_at is not None:
        return _info(key)
    live = [other for other in keys.values() if other.kind == "admin" and other.revoked_at is None]
    if live == [key]:
        raise Conflict("this is the last admin key; make another first, or use `trimtab key revoke` on the machine")
    revoked = msgspec.structs.replace(key, revoked_at=engine.clock.now())
    engine.store.commit({project_id: Writes(keys=[seal(engine.redactor.of(project_id), revoked)])})
    keyring: Keyring = request.app.state.keyring
    keyring.forget(revoked)
    return _info(revoked)


ROUTES = [list_keys, create_key, revoke_key]
