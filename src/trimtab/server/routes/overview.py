"""How features fare: all of them at a glance, and one number of one of them over time."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from litestar import get
from litestar.params import FromPath

from trimtab.detect.watching import Watched, watched
from trimtab.errors import InvalidField, NotFound
from trimtab.measure.overview import Overview, overview
from trimtab.measure.series import Series, SeriesStep, series
from trimtab.server.contract import Call, contract, engine_of, name_in_path
from trimtab.server.query import asked, span_of

__all__ = ["ROUTES", "Fares"]

_WEEK = timedelta(days=7)
_SPANS: dict[SeriesStep, timedelta] = {
    "minute": timedelta(hours=2),
    "hour": timedelta(days=1),
    "day": timedelta(days=30),
}


class Fares(Overview, frozen=True, kw_only=True):
    """The overview, and of each feature whether its votes can open an incident yet."""

    watching: list[Watched]


@get("/v1/overview", sync_to_thread=True, opt=contract("read", "admin", answer=Fares, query=("since", "until")))
def show_overview(request: Call) -> Fares:
    """Show how every feature fares, against the span of equal length before; the last 7 days unless told.

    Every rate stands with its n and its 95% interval. What the answers of a span were judged to be may still change.
    """
    engine = engine_of(request)
    since, until = span_of(asked(request), engine.clock.now(), _WEEK)
    found = overview(engine.store, request.auth.project_id, since, until)
    seen = watched(engine.store, engine.settings, request.auth.project_id)
    return Fares(**msgspec.structs.asdict(found), watching=seen)


@get(
    "/v1/features/{feature:str}/series",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Series, query=("metric", "step", "group_by", "since", "until")),
)
def show_series(request: Call, feature: FromPath[str]) -> Series:
    """Show one number of a feature over time, by version or by group where asked; at most 1,500 points a line.

    `negative_rate` is of the answers that users voted on, `errors` and `judged` (by words or by hints) of all answers;
    `inferences` counts, `latency_ms` is the mean, `cost_usd` the sum. The last 2 hours, day or 30 days unless told.
    """
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    if told.metric is None:
        raise InvalidField("expected the parameter 'metric', got none; add ?metric=negative_rate", param="metric")
    name = name_in_path(feature)
    if all(known.name != name for known in engine.store.features(project_id)):
        raise NotFound(f"no feature {name!r}; its first answer or PUT /v1/features/NAME makes it", param="feature")
    since, until = span_of(told, engine.clock.now(), _SPANS[told.step])
    return series(
        engine.store,
        project_id,
        name,
        metric=told.metric,
        step=told.step,
        since=since,
        until=until,
        group_by=told.group_by,
    )


ROUTES = [show_overview, show_series]
