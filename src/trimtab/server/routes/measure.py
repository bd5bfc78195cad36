"""How fast the loop learns, what changed, and what it costs people."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from litestar import get, post
from litestar.params import RawBody
from msgspec import Meta, Struct

from trimtab.errors import InvalidField
from trimtab.ids import new_id
from trimtab.measure.digest import Digest
from trimtab.measure.velocity import Velocity, velocity
from trimtab.records import Name, Time, Uuid, WorkKind, WorkLog, WorkSource
from trimtab.runtime.acting import digest_of
from trimtab.server.contract import Call, Listing, contract, engine_of, listing, read
from trimtab.server.query import asked, query_of, span_of
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "NewWork"]

_WEEK = timedelta(days=7)


class NewWork(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Minutes that a person worked: measured by a clock, or `assumed`; `at` is now unless told.

    Sent again under the same `id` it counts once, as it was told last.
    """

    kind: WorkKind
    minutes: Annotated[float, Meta(ge=0, le=10_000)]
    source: WorkSource
    at: Time | None = None
    feature: Name | None = None
    incident_id: Uuid | None = None
    id: Uuid | None = None


@get(
    "/v1/velocity",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Velocity, query=("feature", "since", "until")),
)
def measure(request: Call) -> Velocity:
    """Measure how fast the loop learns: medians from first signal to verified fix, what it yields, what it costs.

    From the beginning until now unless told. What each number means: docs/velocity.md.
    """
    told, engine = asked(request), engine_of(request)
    project = next(item for item in engine.store.projects() if item.id == request.auth.project_id)
    since, until = told.since or project.created_at, told.until or engine.clock.now()
    if since > until:
        raise InvalidField(f"since: expected it before {until.isoformat()}, got {since.isoformat()}", param="since")
    return velocity(engine.store, project.id, since=since, until=until, feature=told.feature)


@get(
    "/v1/digest",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Digest, query=("feature", "since", "until")),
)
def show_digest(request: Call) -> Digest:
    """Show what changed: versions, topics and segments that got worse or better, the surest change first.

    The last 7 days, against the `digest.reference_weeks` before, unless told. At most 31 days.
    """
    told, engine = asked(request), engine_of(request)
    since, until = span_of(told, engine.clock.now(), _WEEK)
    if until - since > timedelta(days=31):
        raise InvalidField(f"since: expected at most 31 days, got {(until - since).days}", param="since")
    only = None if told.feature is None else (told.feature,)
    return digest_of(engine.settings, engine.store, request.auth.project_id, since, until, only)


@get(
    "/v1/work",
    sync_to_thread=True,
    opt=contract(
        "read", "admin", answer=Listing[WorkLog], query=("feature", "since", "until", "after", "limit", "order")
    ),
)
def list_work(request: Call) -> Listing[WorkLog]:
    """List what people worked; times are compared with `at`."""
    return listing(engine_of(request).store.work_log(request.auth.project_id, query_of(asked(request))))


@post("/v1/work", sync_to_thread=True, status_code=201, opt=contract("admin", body=NewWork, answer=WorkLog, status=201))
def log_work(request: Call, body: RawBody) -> WorkLog:
    """Write down what somebody worked; velocity tells measured hours apart from assumed ones."""
    told, engine = read(body, NewWork), engine_of(request)
    now = engine.clock.now()
    made = WorkLog(
        id=told.id or new_id(now),
        at=told.at or now,
        kind=told.kind,
        minutes=told.minutes,
        source=told.source,
        feature=told.feature,
        incident_id=told.incident_id,
    )
    engine.store.commit({request.auth.project_id: Writes(work=[made])})
    return made


ROUTES = [measure, show_digest, list_work, log_work]
