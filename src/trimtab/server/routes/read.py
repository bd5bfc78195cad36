"""The read side: what was captured."""

from __future__ import annotations

from litestar import get

from trimtab.records import Feedback, Inference
from trimtab.server.contract import Call, Listing, contract, engine_of, listing
from trimtab.server.query import LIST, asked, query_of

__all__ = ["ROUTES"]


@get("/v1/inferences", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Inference], query=LIST))
def list_inferences(request: Call) -> Listing[Inference]:
    """List inferences, cleaned of personal data as all that is stored."""
    return listing(engine_of(request).store.list_inferences(request.auth.project_id, query_of(asked(request))))


@get("/v1/feedback", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Feedback], query=LIST))
def list_feedback(request: Call) -> Listing[Feedback]:
    """List feedback; `feature` matches its own or that of the inference it is about."""
    return listing(engine_of(request).store.list_feedback(request.auth.project_id, query_of(asked(request))))


@get("/v1/feedback/orphans", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Feedback], query=LIST))
def list_orphans(request: Call) -> Listing[Feedback]:
    """List feedback whose inference has not arrived."""
    return listing(engine_of(request).store.orphans(request.auth.project_id, query_of(asked(request))))


ROUTES = [list_inferences, list_feedback, list_orphans]
