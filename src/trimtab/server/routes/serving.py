"""What apps are served: the stream of switches, prompts for those whose language has no SDK, and who is held back."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.act.prompt import prompt
from trimtab.act.rollout import served_to
from trimtab.errors import NotFound, Unavailable
from trimtab.measure.holdback import Holdback, holdback
from trimtab.records import Arm, Identifier, Message, Payload, Rollout, Text
from trimtab.runtime.assemble import Engine
from trimtab.server.auth import Keyring
from trimtab.server.contract import Call, contract, engine_of, name_in_path, read
from trimtab.server.feed import Feed
from trimtab.server.stream import EventStream
from trimtab.stats.bucket import audience

__all__ = ["ROUTES", "Rendered", "ToRender"]

_MOST_DIGITS = 18


class ToRender(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to render for whom.

    `fallback` is the app's own prompt, in force while the version has no messages of its own; `exemplars` bounds the
    worked examples, of those for everyone, for this user or for their `tenant`. Without a user (else a session) the
    stable version is rendered.
    """

    input: Payload | None = None
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    tenant: Identifier | None = None
    fallback: Text | list[Message] | None = None
    exemplars: Annotated[int, Meta(ge=0, le=50)] = 3


class Rendered(Struct, frozen=True, kw_only=True):
    """What to send to the model, and what to record the answer with: `version_id` and `arm`."""

    messages: list[Message]
    version_id: str
    arm: Arm
    rollout_id: str
    revision: int
    model: str | None
    parameters: dict[str, Any]


@get(
    "/v1/rollouts/stream",
    opt=contract("ingest", "read", "admin", answer=str, answer_type="text/event-stream"),
)
async def stream_rollouts(request: Call) -> EventStream:
    """Tell, as server-sent events, whenever what a feature serves changes.

    The first event is `hello` with the `revisions` of all features; then a `rollout` with `feature`, `revision` and
    `etag` within a second of each switch. A comment comes every 15 seconds. `Last-Event-ID` asks for what was missed.
    A stream ends after about a quarter of an hour: connect again. 429 when too many are open.
    """
    feed: Feed = request.app.state.feed
    keyring: Keyring = request.app.state.keyring
    secret = request.headers.get("authorization", "").partition(" ")[2].strip()

    async def still_valid() -> bool:
        if keyring.remembered(secret) is not None:
            return True
        try:
            return await asyncio.to_thread(keyring.find, secret) is not None
        except Unavailable:
            return True

    last = request.headers.get("last-event-id", "").strip()
    last_id = int(last) if last.isascii() and last.isdigit() and len(last) <= _MOST_DIGITS else None
    return EventStream(feed, await feed.open(request.auth, last_id), still_valid)


@post(
    "/v1/features/{feature:str}/render",
    sync_to_thread=True,
    status_code=200,
    opt=contract("ingest", "admin", body=ToRender, answer=Rendered, body_required=False),
)
def render_prompt(request: Call, feature: FromPath[str], body: RawBody) -> Rendered:
    """Return the messages of the version this user is served, as an SDK would render them.

    The same user gets the same version as from an SDK. Nothing of the request is stored.
    """
    told, engine, project_id = read(body, ToRender), engine_of(request), request.auth.project_id
    rollout = _rollout(engine, project_id, name_in_path(feature))
    version_id, arm = served_to(rollout, told.user_id or told.session_id)
    version = engine.store.version(project_id, rollout.feature, version_id)
    if version is None:
        raise NotFound(f"no version {version_id!r} of {rollout.feature!r}; restore another one", param="feature")
    fallback = told.fallback or []
    own = [Message(role="system", content=fallback)] if isinstance(fallback, str) else fallback
    units: list[tuple[Literal["user", "tenant"], str | None]] = [("user", told.user_id), ("tenant", told.tenant)]
    audiences = frozenset(audience(kind, unit) for kind, unit in units if unit)
    now = engine.clock.now()
    return Rendered(
        messages=prompt(version, told.input, fallback=own, exemplars=told.exemplars, now=now, audiences=audiences),
        version_id=version_id,
        arm=arm,
        rollout_id=rollout.id,
        revision=rollout.revision,
        model=version.model,
        parameters=version.parameters,
    )


@get("/v1/features/{feature:str}/holdback", sync_to_thread=True, opt=contract("read", "admin", answer=Holdback))
def show_holdback(request: Call, feature: FromPath[str]) -> Holdback:
    """Compare the people on the stable version with those who are held back on an earlier one.

    With `canary.holdback` above 0 that share of users keeps the version that was stable when it began.
    """
    engine, project_id = engine_of(request), request.auth.project_id
    return holdback(engine.store, project_id, _rollout(engine, project_id, name_in_path(feature)))


@post(
    "/v1/features/{feature:str}/holdback/reset",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Rollout),
)
def reset_holdback(request: Call, feature: FromPath[str]) -> Rollout:
    """Move those who are held back to the version that is stable now; the comparison starts over."""
    engine, project_id = engine_of(request), request.auth.project_id
    return engine.decisions.reset_holdback(project_id, name_in_path(feature), engine.clock.now())


def _rollout(engine: Engine, project_id: str, feature: str) -> Rollout:
    rollout = engine.store.rollout(project_id, feature)
    if rollout is None:
        raise NotFound(f"no feature {feature!r}; PUT /v1/features/{{feature}} declares it", param="feature")
    return rollout


ROUTES = [stream_rollouts, render_prompt, show_holdback, reset_holdback]
