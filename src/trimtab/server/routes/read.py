"""The read side: what was captured and what it was judged to be."""

from __future__ import annotations

from datetime import timedelta

from litestar import get
from msgspec import Struct

from trimtab.errors import InvalidField
from trimtab.measure.velocity import Velocity, velocity
from trimtab.records import Feedback, Inference, Outcome
from trimtab.server.contract import Call, Listing, contract, engine_of, listing
from trimtab.server.query import LIST, asked, query_of
from trimtab.stats.interval import wilson

__all__ = ["ROUTES", "VersionRate"]

_SPAN = timedelta(days=28)


class VersionRate(Struct, frozen=True, kw_only=True):
    """How one version fared: `rate` is negatives of judged, with its 95% Wilson interval (null when none is judged)."""

    version_id: str | None
    inferences: int
    judged: int
    negatives: int
    voters: int
    rate: float | None
    low: float
    high: float


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


@get("/v1/outcomes", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Outcome], query=LIST))
def list_outcomes(request: Call) -> Listing[Outcome]:
    """List the fused judgements of inferences, with the signals behind them."""
    return listing(engine_of(request).store.list_outcomes(request.auth.project_id, query_of(asked(request))))


@get(
    "/v1/outcomes/summary",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[VersionRate], query=("feature", "since", "until")),
)
def summarise(request: Call) -> Listing[VersionRate]:
    """Count inferences, judgements and negatives per version of a feature; the last 28 days unless told."""
    told, engine = asked(request), engine_of(request)
    if told.feature is None:
        raise InvalidField("expected the parameter 'feature', got none; add ?feature=NAME", param="feature")
    until = told.until or engine.clock.now()
    rows = engine.store.summary(request.auth.project_id, told.feature, told.since or until - _SPAN, until)
    items = []
    for row in rows:
        rate = wilson(row.negatives, row.judged)
        items.append(VersionRate(**row._asdict(), rate=rate.value, low=rate.low, high=rate.high))
    return Listing(items)


@get(
    "/v1/velocity",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Velocity, query=("feature", "since", "until")),
)
def measure(request: Call) -> Velocity:
    """Measure how fast the loop learns: medians from first signal to detection, to change, to verified fix."""
    told, engine = asked(request), engine_of(request)
    project = next(item for item in engine.store.projects() if item.id == request.auth.project_id)
    return velocity(
        engine.store,
        project.id,
        since=told.since or project.created_at,
        until=told.until or engine.clock.now(),
        feature=told.feature,
    )


ROUTES = [list_inferences, list_feedback, list_orphans, list_outcomes, summarise, measure]
