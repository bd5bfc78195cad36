"""What people said: what is to be read of it, and one answer with all that was said of it."""

from __future__ import annotations

from litestar import get
from litestar.params import FromPath

from trimtab.errors import InvalidField, NotFound
from trimtab.measure.inbox import InboxPage, Told, inbox, told
from trimtab.server.contract import Call, contract, engine_of, id_in_path
from trimtab.server.query import LIST, asked, query_of

__all__ = ["ROUTES"]

_MOST_CHARS = 1000


@get(
    "/v1/inbox",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=InboxPage, query=(*LIST, "feedback_kind", "negative", "q")),
)
def show_inbox(request: Call) -> InboxPage:
    """List feedback that a person should read, newest first, with the answer it is about and its author's other words.

    That has words (edits apart) or calls the answer bad, and still stands. `negative` true: what calls it bad. `q` are
    words that must all occur in the feedback, or phrases in quotes. A page may be short of `limit`, and even empty, and
    have a `next` all the same: of what seldom matches, so many rows are looked at for one page.
    """
    asks, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    if len(asks.q) > _MOST_CHARS:
        raise InvalidField(f"q: expected at most {_MOST_CHARS} characters, got {len(asks.q)}", param="q")
    return inbox(
        engine.store,
        project_id,
        query_of(asks),
        kind=asks.feedback_kind,
        negative=asks.negative,
        q=engine.redactor.of(project_id).text(asks.q) if asks.q else "",
    )


@get("/v1/inferences/{inference_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Told))
def show_inference(request: Call, inference_id: FromPath[str]) -> Told:
    """Show one answer with all that was said of it, each person's latest opinions, and what it was judged to be."""
    found = told(engine_of(request).store, request.auth.project_id, id_in_path(inference_id, "inference"))
    if found is None:
        raise NotFound(f"no inference {inference_id!r} is kept", param="inference_id")
    return found


ROUTES = [show_inbox, show_inference]
