"""What is known of people and their conversations: groups they belong to, the turns of a session."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from litestar import get, put
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.enrich.segments import OVERFLOW
from trimtab.errors import InvalidField, NotFound
from trimtab.records import Feedback, Identifier, Inference, Name, Outcome, Text, User
from trimtab.redact.wall import seal
from trimtab.server.contract import Call, Listing, contract, engine_of, name_in_path, read
from trimtab.store.ports import Backfill, Writes

__all__ = ["ROUTES", "Grouping", "SessionTurn", "UserFacts", "user_id_in_path"]

_MOST_ID = 256


class UserFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be known of a user. It replaces what was known before; up to 50 properties."""

    plan: Identifier | None = None
    locale: Identifier | None = None
    tenant: Identifier | None = None
    properties: Annotated[dict[Name, Text], Meta(max_length=50)] = {}


class SessionTurn(Struct, frozen=True, kw_only=True):
    """One answer of a conversation, what people said about it, and what it was judged to be (null: nothing known)."""

    inference: Inference
    feedback: list[Feedback]
    outcome: Outcome | None


class Grouping(Struct, frozen=True, kw_only=True):
    """One way to split a feature's answers: its values so far; `(other)` is what came when it was full."""

    key: str
    values: list[str]
    overflow: bool


@put("/v1/users/{user_id:str}", sync_to_thread=True, opt=contract("ingest", "admin", body=UserFacts, answer=User))
def put_user(request: Call, user_id: FromPath[str], body: RawBody) -> User:
    """Say which groups a user belongs to. Outcomes of what they were served take it up within seconds, old ones too."""
    told, engine, project_id = read(body, UserFacts), engine_of(request), request.auth.project_id
    now = engine.clock.now()
    facts = {name: getattr(told, name) for name in told.__struct_fields__}
    user = User(id=user_id_in_path(user_id), updated_at=now, **facts)
    sealed = seal(engine.redactor.of(project_id), user)
    asked = Backfill(project_id, "user", sealed.record.id, now)
    engine.store.commit({project_id: Writes(users=[sealed], backfills=[asked])})
    if request.app.state.workers is not None:
        request.app.state.workers.wake()
    return sealed.record


@get("/v1/users/{user_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=User))
def show_user(request: Call, user_id: FromPath[str]) -> User:
    """Show what is known of a user."""
    engine = engine_of(request)
    # An id that is an e-mail address or a telephone number is kept under its pseudonym.
    known = engine.redactor.of(request.auth.project_id).identifier(user_id_in_path(user_id))
    user = engine.store.users(request.auth.project_id, [known]).get(known)
    if user is None:
        raise NotFound("nothing is known of this user; PUT /v1/users/{id} says what is", param="user_id")
    return user


@get(
    "/v1/sessions/{session_id:str}",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[SessionTurn]),
)
def show_session(request: Call, session_id: FromPath[str]) -> Listing[SessionTurn]:
    """Show a conversation, turn by turn: what was asked and answered, what people did with it, what it is worth."""
    engine, project_id = engine_of(request), request.auth.project_id
    key = engine.redactor.of(project_id).identifier(unquote(session_id))
    turns = engine.store.turns(project_id, [key]).get(key, [])
    if not turns:
        raise NotFound("no answer of such a session is stored", param="session_id")
    ids = [turn.inference_id for turn in turns]
    inferences = engine.store.inferences(project_id, ids)
    words = engine.store.joined_to(project_id, ids)
    outcomes = engine.store.outcomes(project_id, ids)
    items = [
        SessionTurn(inference=inferences[each], feedback=words.get(each, []), outcome=outcomes.get(each))
        for each in ids
        if each in inferences
    ]
    return Listing(items)


@get(
    "/v1/features/{feature:str}/segments",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Grouping]),
)
def list_segments(request: Call, feature: FromPath[str]) -> Listing[Grouping]:
    """List the groups by which the feature's answers can be split, as `[segments]` in the settings names them."""
    store, project_id, name = engine_of(request).store, request.auth.project_id, name_in_path(feature)
    if all(known.name != name for known in store.features(project_id)):
        raise NotFound(f"no feature {name!r}", param="feature")
    found = store.segments(project_id, name)
    items = [Grouping(key=key, values=values, overflow=OVERFLOW in values) for key, values in found.items()]
    return Listing(items)


def user_id_in_path(segment: str) -> str:
    """Return a user's id that stands, percent-encoded, in one segment of the path. Raises InvalidField."""
    user_id = unquote(segment)
    if len(user_id) > _MOST_ID:
        raise InvalidField(f"expected a user id of at most {_MOST_ID} characters, got {len(user_id)}", param="user_id")
    return user_id


ROUTES = [put_user, show_user, show_session, list_segments]
