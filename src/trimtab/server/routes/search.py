"""Search over feedback and answers."""

from __future__ import annotations

from litestar import get

from trimtab.errors import InvalidField
from trimtab.measure.search import Asked, Found
from trimtab.server.contract import Call, contract, engine_of
from trimtab.server.query import asked

__all__ = ["ROUTES"]

_MOST = 100
_UNLESS_TOLD = 20


@get(
    "/v1/search",
    sync_to_thread=True,
    opt=contract(
        "read",
        "admin",
        answer=Found,
        query=("q", "mode", "kind", "feature", "version_id", "negative", "since", "until", "limit"),
    ),
)
def search(request: Call) -> Found:
    """Search feedback and answers by meaning, by words, or by both; each match says why it was found.

    By meaning, feedback in words and the inputs of answers judged bad are looked at; by words, all feedback and answers
    of the newest 20,000 of each. The query is cleaned like all text before it is compared. At most 100 are returned, 20
    unless told.
    """
    told, engine = asked(request), engine_of(request)
    limit = told.limit if "limit" in request.query_params else _UNLESS_TOLD
    if limit > _MOST:
        raise InvalidField(f"limit: expected 1 to {_MOST}, got {limit}", param="limit")
    return engine.search.find(
        request.auth.project_id,
        Asked(
            q=engine.redactor.of(request.auth.project_id).text(told.q),
            mode=told.mode,
            feature=told.feature,
            version_id=told.version_id,
            kind=told.kind,
            since=told.since,
            until=told.until,
            negative=told.negative,
            limit=limit,
        ),
    )


ROUTES = [search]
