"""Rows that a stage could not handle and went on without: which they are, and trying them again after a repair."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from litestar import get, post
from litestar.params import RawBody
from msgspec import Struct

from trimtab.server.contract import Call, Listing, contract, engine_of, read
from trimtab.server.query import asked
from trimtab.store.ports import AsideKind, Writes

__all__ = ["ROUTES", "Again", "AsideStage", "SetAside", "TriedAgain"]

AsideStage = Literal["enrich", "rescan", "detect", "vectorise"]
_MOST = 1_000_000


class SetAside(Struct, frozen=True, kw_only=True):
    """One row that a stage went on without. `error` is a class and places in the code, never what the row says."""

    stage: str
    kind: AsideKind
    id: str
    error: str
    at: datetime
    again: bool


class Again(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be tried again: what one stage set aside, or all of it."""

    stage: AsideStage | None = None


class TriedAgain(Struct, frozen=True, kw_only=True):
    """How many rows the stages will try again, within seconds. What fails anew is set aside anew."""

    rows: int


@get(
    "/v1/set-aside",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[SetAside], query=("limit",)),
)
def list_set_aside(request: Call) -> Listing[SetAside]:
    """List rows that a stage could not handle, the oldest first; `/metrics` counts all of them."""
    told = asked(request)
    rows = engine_of(request).store.asides(request.auth.project_id, limit=told.limit)
    return Listing(
        [
            SetAside(stage=row.stage, kind=row.kind, id=row.record_id, error=row.error, at=row.at, again=row.again)
            for row in rows
        ]
    )


@post("/v1/set-aside/retry", sync_to_thread=True, status_code=200, opt=contract("admin", body=Again, answer=TriedAgain))
def try_again(request: Call, body: RawBody) -> TriedAgain:
    """Have the stages try again what they set aside: after an upgrade, or once what broke a row is mended."""
    told, engine = read(body, Again), engine_of(request)
    project_id = request.auth.project_id
    rows = engine.store.asides(project_id, stage=told.stage, again=False, limit=_MOST)
    if rows:
        engine.store.commit({project_id: Writes(aside=[row._replace(again=True) for row in rows])})
    return TriedAgain(rows=len(rows))


ROUTES = [list_set_aside, try_again]
