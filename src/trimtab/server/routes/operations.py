"""Running it: is it alive, is it ready, do its numbers agree; the API described; a clock that can be set."""

from __future__ import annotations

import threading
from typing import Literal

from litestar import Response, get, post, put
from litestar.params import RawBody
from msgspec import Struct

from trimtab.clock import SetClock
from trimtab.errors import Conflict, InvalidField, Unavailable
from trimtab.measure.reconcile import Reconciliation, Sent
from trimtab.records import Time
from trimtab.runtime.workers import Workers
from trimtab.server.contract import Call, contract, engine_of, read
from trimtab.server.metrics import Metrics

__all__ = ["ROUTES", "ClockSetting", "ClockTime", "Health", "Readiness", "StageTrouble", "Ticked"]

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ticking = threading.Lock()


class Health(Struct, frozen=True, kw_only=True):
    """That it is well."""

    status: str


class StageTrouble(Struct, frozen=True, kw_only=True):
    """What keeps one stage from its work, and how often in a row it has failed (0: it runs, and a part of it waits)."""

    stage: str
    error: str
    failures: int


class Readiness(Struct, frozen=True, kw_only=True):
    """That events can be stored; `degraded` when a stage behind them fails, which is then named and tried again."""

    status: Literal["ready", "degraded"]
    stages: list[StageTrouble] = []


class ClockSetting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time it shall be."""

    now: Time


class ClockTime(Struct, frozen=True, kw_only=True):
    """The time it is."""

    now: Time


class Ticked(Struct, frozen=True, kw_only=True):
    """How many rows the stages handled; 0 when there was nothing to do."""

    rows: int


@get("/healthz", sync_to_thread=False, opt=contract(answer=Health))
def health() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@get("/readyz", sync_to_thread=True, opt=contract(answer=Readiness))
def ready(request: Call) -> Readiness:
    """Say that events can be stored, and which stages fail meanwhile; 503 with what is wrong when they cannot be.

    A stage that fails is no reason to send no events: they are stored, and it goes on where it was.
    """
    engine_of(request).store.check()
    workers: Workers | None = request.app.state.workers
    if workers is None:
        return Readiness(status="ready")
    if not workers.alive:
        raise Unavailable("the thread of the stages has ended; restart the server, and report what its log says")
    troubles = [StageTrouble(stage=one.stage, error=one.error, failures=one.failures) for one in workers.troubles]
    return Readiness(status="degraded" if troubles else "ready", stages=troubles)


@get("/metrics", sync_to_thread=True, opt=contract(answer=str, answer_type="text/plain"))
def metrics(request: Call) -> Response[bytes]:
    """Return all metrics in the Prometheus text format."""
    found: Metrics = request.app.state.metrics
    return Response(found.text(), media_type=_METRICS_TYPE)


@post(
    "/v1/reconcile",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Sent, answer=Reconciliation, body_required=False),
)
def reconcile(request: Call, body: RawBody) -> Reconciliation:
    """Compare every count of this server end to end, all projects together: is anything lost, and where.

    A body says what a sender counted, to be compared too. Of the rows that miss, those of the key's project are named.
    Reads several indexes whole: seconds on millions of rows.
    """
    sent = read(body, Sent) if body else None
    return engine_of(request).books.reconcile(sent=sent, seen_by=request.auth.project_id)


@get("/schema", sync_to_thread=False, opt=contract(answer=dict))
def schema(request: Call) -> Response[bytes]:
    """Return this API as an OpenAPI document."""
    return Response(request.app.state.openapi, media_type="application/json")


@put("/v1/clock", sync_to_thread=True, opt=contract("admin", body=ClockSetting, answer=ClockTime))
def set_clock(request: Call, body: RawBody) -> ClockTime:
    """Set the clock, forward only; possible where `server.clock` is "set"."""
    told = read(body, ClockSetting)
    try:
        return ClockTime(now=_set_clock_of(request).set(told.now))
    except ValueError as error:
        raise InvalidField(f"now: {error}", param="now") from None


@post("/v1/tick", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Ticked))
def tick(request: Call) -> Ticked:
    """Let each stage do one bounded piece of work; possible where `server.clock` is "set"."""
    _set_clock_of(request)
    with _ticking:
        return Ticked(rows=engine_of(request).tick())


def _set_clock_of(request: Call) -> SetClock:
    clock = engine_of(request).clock
    if not isinstance(clock, SetClock):
        raise Conflict('this server runs on the machine\'s clock; start it with server.clock = "set" to set it')
    return clock


ROUTES = [health, ready, metrics, reconcile, schema, set_clock, tick]
