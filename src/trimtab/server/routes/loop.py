"""The loop at work: incidents, changes and runs, and what a person may decide about them."""

from __future__ import annotations

from typing import get_args

from litestar import get, post
from litestar.params import FromPath
from msgspec import Struct

from trimtab.act.actions.port import Plan
from trimtab.act.planning import expect_idle
from trimtab.errors import Conflict, NotFound
from trimtab.records import Change, ChangeState, Incident, IncidentState, Run
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing
from trimtab.server.query import LIST, asked, query_of, states_of
from trimtab.store.ports import Query

__all__ = ["ROUTES", "Started"]

_STATED = (*LIST, "state")


class Started(Struct, frozen=True, kw_only=True):
    """A run that was started; GET /v1/runs/{id} follows it."""

    run_id: str


@get("/v1/incidents", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Incident], query=_STATED))
def list_incidents(request: Call) -> Listing[Incident]:
    """List incidents; times are compared with `detected_at`."""
    told = asked(request)
    states = states_of(told.state, get_args(IncidentState))
    return listing(engine_of(request).store.incidents(request.auth.project_id, query_of(told), states))


@get("/v1/incidents/{incident_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Incident))
def get_incident(request: Call, incident_id: FromPath[str]) -> Incident:
    """Return one incident."""
    found = engine_of(request).store.incident(request.auth.project_id, id_in_path(incident_id, "incident"))
    if found is None:
        raise NotFound(f"no incident {incident_id!r}", param="incident_id")
    return found


@post(
    "/v1/incidents/{incident_id:str}/resolve",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Incident),
)
def resolve_incident(request: Call, incident_id: FromPath[str]) -> Incident:
    """Close an incident by hand: not a problem, or mended elsewhere."""
    engine = engine_of(request)
    return engine.decisions.resolve(request.auth.project_id, id_in_path(incident_id, "incident"), engine.clock.now())


@get("/v1/incidents/{incident_id:str}/plan", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Plan]))
def plan_incident(request: Call, incident_id: FromPath[str]) -> Listing[Plan]:
    """Say what each action would do about an incident now, in the order in which they are tried; nothing is done."""
    engine, project_id = engine_of(request), request.auth.project_id
    incident = engine.store.incident(project_id, id_in_path(incident_id, "incident"))
    if incident is None:
        raise NotFound(f"no incident {incident_id!r}", param="incident_id")
    return Listing(engine.playbook.planning.plans(project_id, incident, engine.clock.now()))


@post(
    "/v1/incidents/{incident_id:str}/run",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", answer=Started, status=202),
)
def run_playbook(request: Call, incident_id: FromPath[str]) -> Started:
    """Start the playbook for an incident now, without waiting for its cooldown or the feature's mode."""
    engine, project_id = engine_of(request), request.auth.project_id
    incident = engine.store.incident(project_id, id_in_path(incident_id, "incident"))
    if incident is None:
        raise NotFound(f"no incident {incident_id!r}", param="incident_id")
    if incident.state == "resolved":
        raise Conflict(f"incident {incident_id!r} is resolved; a run would have nothing to mend")
    expect_idle(engine.store, project_id, incident.feature)
    runs = engine.store.runs(project_id, Query(feature=incident.feature, limit=1000)).rows
    mine = [row.record for row in runs if row.record.incident_id == incident.id]
    # The id the stage itself would give the next run: started by both in the same moment, it runs once.
    order = engine.playbook.planning.next_order(project_id, incident, mine, engine.clock.now(), by_hand=True)
    if order is None:
        raise Conflict(incident.held or "no action is named in playbook.actions that could change the feature")
    engine.runs.start(order)
    return Started(run_id=order.run_id)


@get("/v1/changes", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Change], query=_STATED))
def list_changes(request: Call) -> Listing[Change]:
    """List changes with their gate, canary and verification."""
    told = asked(request)
    states = states_of(told.state, get_args(ChangeState))
    return listing(
        engine_of(request).store.changes(request.auth.project_id, query_of(told), states)  # type: ignore[arg-type]
    )


@get("/v1/changes/{change_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Change))
def get_change(request: Call, change_id: FromPath[str]) -> Change:
    """Return one change."""
    found = engine_of(request).store.change(request.auth.project_id, id_in_path(change_id, "change"))
    if found is None:
        raise NotFound(f"no change {change_id!r}", param="change_id")
    return found


@post("/v1/changes/{change_id:str}/approve", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Change))
def approve_change(request: Call, change_id: FromPath[str]) -> Change:
    """Start the canary of a change that waits for approval."""
    engine = engine_of(request)
    return engine.decisions.approve(request.auth.project_id, id_in_path(change_id, "change"), engine.clock.now())


@post("/v1/changes/{change_id:str}/promote", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Change))
def promote_change(request: Call, change_id: FromPath[str]) -> Change:
    """Serve a candidate on trial to everyone."""
    engine = engine_of(request)
    return engine.decisions.promote(request.auth.project_id, id_in_path(change_id, "change"), engine.clock.now())


@post("/v1/changes/{change_id:str}/pause", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Change))
def pause_change(request: Call, change_id: FromPath[str]) -> Change:
    """Keep the share of a canary where it is; harm still rolls it back."""
    engine = engine_of(request)
    return engine.decisions.pause(request.auth.project_id, id_in_path(change_id, "change"), engine.clock.now())


@post("/v1/changes/{change_id:str}/resume", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Change))
def resume_change(request: Call, change_id: FromPath[str]) -> Change:
    """Let a paused canary go on."""
    engine = engine_of(request)
    return engine.decisions.resume(request.auth.project_id, id_in_path(change_id, "change"), engine.clock.now())


@post(
    "/v1/changes/{change_id:str}/rollback", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Change)
)
def roll_back_change(request: Call, change_id: FromPath[str]) -> Change:
    """Take a candidate or a promoted version back: what was served before is served again."""
    engine = engine_of(request)
    return engine.decisions.roll_back(request.auth.project_id, id_in_path(change_id, "change"), engine.clock.now())


@get("/v1/runs", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Run], query=LIST))
def list_runs(request: Call) -> Listing[Run]:
    """List runs without their steps; times are compared with `started_at`."""
    return listing(engine_of(request).store.runs(request.auth.project_id, query_of(asked(request))))


@get("/v1/runs/{run_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Run))
def get_run(request: Call, run_id: FromPath[str]) -> Run:
    """Return one run with its steps."""
    found = engine_of(request).store.run(request.auth.project_id, id_in_path(run_id, "run"))
    if found is None:
        raise NotFound(f"no run {run_id!r}", param="run_id")
    return found


@post("/v1/runs/{run_id:str}/cancel", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Run))
def cancel_run(request: Call, run_id: FromPath[str]) -> Run:
    """Call off a run under way: it stops between two calls, and its change is blocked."""
    engine = engine_of(request)
    return engine.decisions.cancel(request.auth.project_id, id_in_path(run_id, "run"), engine.clock.now())


ROUTES = [
    list_incidents,
    get_incident,
    resolve_incident,
    plan_incident,
    run_playbook,
    list_changes,
    get_change,
    approve_change,
    promote_change,
    pause_change,
    resume_change,
    roll_back_change,
    list_runs,
    get_run,
    cancel_run,
]
