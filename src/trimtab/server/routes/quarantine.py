"""Corrections that were set aside because they agree too suddenly, and their release by hand."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from trimtab.act.guard.agreement import Agreement
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path
from trimtab.server.query import asked

__all__ = ["ROUTES"]


@get(
    "/v1/quarantine",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Agreement], query=("feature",)),
)
def list_quarantine(request: Call) -> Listing[Agreement]:
    """List the corrections that were set aside: they neither build nor judge a change until they are released."""
    engine = engine_of(request)
    return Listing(engine.quarantine.held(request.auth.project_id, asked(request).feature, engine.clock.now()))


@post(
    "/v1/quarantine/{feedback_id:str}/release",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Agreement),
)
def release_quarantine(request: Call, feedback_id: FromPath[str]) -> Agreement:
    """Let a correction be used, with all that were set aside beside it."""
    engine = engine_of(request)
    named = id_in_path(feedback_id, "correction")
    return engine.quarantine.release(request.auth.project_id, named, engine.clock.now())


ROUTES = [list_quarantine, release_quarantine]
