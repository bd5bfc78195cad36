"""Removing a person: one call, a receipt, and where it stands."""

from __future__ import annotations

from typing import Final

from litestar import Response, delete, get
from litestar.params import FromPath

from trimtab.errors import NotFound
from trimtab.records import Erasure
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing
from trimtab.server.query import LIST, asked, query_of
from trimtab.server.routes.users import user_id_in_path

__all__ = ["ROUTES"]

_PATIENCE_S: Final = 2.0


@delete(
    "/v1/users/{user_id:str}",
    status_code=202,
    sync_to_thread=True,
    opt=contract("admin", answer=Erasure, status=202),
)
def erase_user(request: Call, user_id: FromPath[str]) -> Response[Erasure]:
    """Remove a person everywhere, for good. From this answer on nothing of theirs is taken in, whoever sends it.

    202 while it works (`GET /v1/erasures/{id}` follows it), 200 where it was done within two seconds. Asking again is
    harmless. A user nobody has heard of is erased, too: what would come of them later is refused.
    """
    engine, project_id = engine_of(request), request.auth.project_id
    known = engine.redactor.of(project_id).identifier(user_id_in_path(user_id))
    erasure = engine.erasing.ask(project_id, known)
    workers = request.app.state.workers
    if workers is not None:
        workers.wake()
        erasure = engine.erasing.wait(project_id, erasure.id, _PATIENCE_S) or erasure
    return Response(erasure, status_code=200 if erasure.state == "done" else 202)


@get("/v1/erasures", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Erasure], query=LIST))
def list_erasures(request: Call) -> Listing[Erasure]:
    """List the receipts of erasures; times are compared with `asked_at`."""
    return listing(engine_of(request).store.erasures(request.auth.project_id, query_of(asked(request))))


@get("/v1/erasures/{erasure_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Erasure))
def get_erasure(request: Call, erasure_id: FromPath[str]) -> Erasure:
    """Return one erasure: what it removed so far, where nothing is left, and what holds it up."""
    found = engine_of(request).store.erasure(request.auth.project_id, id_in_path(erasure_id, "erasure"))
    if found is None:
        raise NotFound(f"no erasure {erasure_id!r}", param="erasure_id")
    return found


ROUTES = [erase_user, list_erasures, get_erasure]
