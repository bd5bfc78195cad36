"""Watches: those of the settings and those declared here, what each group is in, replays and silences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.config import WatchRule
from trimtab.detect.rules.post import MonitorState, Post
from trimtab.detect.rules.replay import Replay, replay
from trimtab.detect.rules.rule import Rule, checked, rules_of
from trimtab.errors import Conflict, NotFound
from trimtab.ids import new_id
from trimtab.records import Monitor, MonitorRule, Silence, Time
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, checked_name, contract, engine_of, id_in_path, name_in_path, read
from trimtab.server.query import span_of
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "Group", "ReplayOrder", "SilenceOrder", "Watch"]

_REPLAYED = timedelta(days=28)


class Group(Struct, frozen=True, kw_only=True):
    """One group under a watch. `rate` is of all that was heard, `reference` what counts as normal (null: learning)."""

    monitor_id: str
    feature: str
    version_id: str
    segment: dict[str, str]
    state: MonitorState
    heard: int
    bad: float
    rate: float | None
    reference: float | None
    incident_id: str | None


class Watch(Struct, frozen=True, kw_only=True):
    """A watch with all its settings, where it was declared, and its groups, those that fire first."""

    name: str
    declared: Literal["settings", "api"]
    spec: WatchRule
    groups: list[Group]
    silenced_until: datetime | None


class ReplayOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A watch to try on stored history, by its settings; the last 28 days unless told."""

    spec: WatchRule
    since: Time | None = None
    until: Time | None = None


class SilenceOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a watch is to open no incident, for one feature or for all."""

    hours: Annotated[float, Meta(gt=0, le=24 * 90)] = 24.0
    feature: str | None = None
    reason: str = ""


@get("/v1/monitors", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Watch]))
def list_monitors(request: Call) -> Listing[Watch]:
    """List the declared watches with their groups. The watch on negative votes is always there beside them."""
    engine, project_id = engine_of(request), request.auth.project_id
    return Listing([_shown(engine, project_id, rule) for rule in _rules(engine, project_id)])


@get("/v1/monitors/{monitor:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Watch))
def get_monitor(request: Call, monitor: FromPath[str]) -> Watch:
    """Return one watch."""
    engine, project_id = engine_of(request), request.auth.project_id
    return _shown(engine, project_id, _rule(engine, project_id, name_in_path(monitor)))


@put("/v1/monitors/{monitor:str}", sync_to_thread=True, opt=contract("admin", body=WatchRule, answer=Watch))
def put_monitor(request: Call, monitor: FromPath[str], body: RawBody) -> Watch:
    """Declare a watch, or declare it anew: what its groups have learned stays where the metric and groups stay."""
    engine, project_id, called = engine_of(request), request.auth.project_id, checked_name(monitor)
    spec = checked(called, read(body, WatchRule))
    if called in engine.settings.monitors:
        raise Conflict(f"monitor {called!r} is declared in the settings file; change it there", param="name")
    usual = msgspec.to_builtins(WatchRule())
    told = {key: value for key, value in msgspec.to_builtins(spec).items() if value != usual[key]}
    rule = MonitorRule(name=called, updated_at=engine.clock.now(), spec=told)
    engine.store.commit({project_id: Writes(rules=[rule])})
    return _shown(engine, project_id, _rule(engine, project_id, called))


@delete(
    "/v1/monitors/{monitor:str}", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Listing[Watch])
)
def delete_monitor(request: Call, monitor: FromPath[str]) -> Listing[Watch]:
    """End a watch that was declared here; what it has open is superseded. Returns those that are left."""
    engine, project_id, called = engine_of(request), request.auth.project_id, name_in_path(monitor)
    rule = _rule(engine, project_id, called)
    if rule.declared == "settings":
        raise Conflict(f"monitor {called!r} is declared in the settings file; remove it there", param="name")
    engine.store.commit({project_id: Writes(unruled=[called])})
    return Listing([_shown(engine, project_id, each) for each in _rules(engine, project_id)])


@post(
    "/v1/monitors/replay",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=ReplayOrder, answer=Replay),
)
def replay_monitor(request: Call, body: RawBody) -> Replay:
    """Say what a watch would have found in stored history. Nothing is declared or written."""
    told, engine = read(body, ReplayOrder), engine_of(request)
    since, until = span_of(told, engine.clock.now(), _REPLAYED)
    rule = Rule("replay", checked("replay", told.spec), "api")
    return replay(engine.store, request.auth.project_id, rule, engine.settings, since, until)


@post(
    "/v1/monitors/{monitor:str}/silence",
    sync_to_thread=True,
    opt=contract("admin", body=SilenceOrder, answer=Silence, status=201),
)
def silence_monitor(request: Call, monitor: FromPath[str], body: RawBody) -> Silence:
    """Let a watch open no incident for a while; what it hears still counts, so that it speaks up when that is over."""
    told, engine, project_id = read(body, SilenceOrder), engine_of(request), request.auth.project_id
    rule, now = _rule(engine, project_id, name_in_path(monitor)), engine.clock.now()
    silence = Silence(
        id=new_id(now),
        rule=rule.name,
        until=now + timedelta(hours=told.hours),
        created_at=now,
        feature=told.feature,
        reason=told.reason,
    )
    sealed = seal(engine.redactor.of(project_id), silence)
    engine.store.commit({project_id: Writes(silences=[sealed])})
    return sealed.record


@get("/v1/silences", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Silence]))
def list_silences(request: Call) -> Listing[Silence]:
    """List the silences that last."""
    engine = engine_of(request)
    return Listing(engine.store.silences(request.auth.project_id, engine.clock.now()))


@delete("/v1/silences/{silence_id:str}", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Silence))
def end_silence(request: Call, silence_id: FromPath[str]) -> Silence:
    """End a silence now."""
    engine, project_id, wanted = engine_of(request), request.auth.project_id, id_in_path(silence_id, "silence")
    now = engine.clock.now()
    found = next((each for each in engine.store.silences(project_id, now) if each.id == wanted), None)
    if found is None:
        raise NotFound(f"no silence {wanted!r} lasts", param="silence_id")
    over = msgspec.structs.replace(found, until=now)
    engine.store.commit({project_id: Writes(silences=[seal(engine.redactor.of(project_id), over)])})
    return over


def _rules(engine: Engine, project_id: str) -> list[Rule]:
    return rules_of(engine.settings.monitors, engine.store.rules(project_id))


def _rule(engine: Engine, project_id: str, name: str) -> Rule:
    found = next((rule for rule in _rules(engine, project_id) if rule.name == name), None)
    if found is None:
        raise NotFound(f"no monitor {name!r}; PUT /v1/monitors/{{name}} declares one", param="name")
    return found


def _shown(engine: Engine, project_id: str, rule: Rule) -> Watch:
    now = engine.clock.now()
    budget = engine.settings.monitoring.false_alarms_per_month
    groups = [_group(rule, monitor, now, budget) for monitor in engine.store.monitors(project_id, None, rule.name)]
    order = {"firing": 0, "recovering": 1, "pending": 2, "no_data": 3}
    groups.sort(key=lambda group: (order.get(group.state, 9), -group.heard, group.monitor_id))
    silences = [each.until for each in engine.store.silences(project_id, now) if each.rule == rule.name]
    return Watch(
        name=rule.name,
        declared=rule.declared,
        spec=rule.spec,
        groups=groups,
        silenced_until=max(silences, default=None),
    )


def _group(rule: Rule, monitor: Monitor, now: datetime, budget: float) -> Group:
    post = Post(rule, monitor, budget)
    return Group(
        monitor_id=monitor.id,
        feature=monitor.feature,
        version_id=monitor.version_id,
        segment=monitor.segment,
        state=post.state(now),
        heard=monitor.votes,
        bad=monitor.negatives,
        rate=monitor.negatives / monitor.votes if monitor.votes else None,
        reference=monitor.reference,
        incident_id=post.open_incident,
    )


ROUTES = [
    list_monitors,
    get_monitor,
    put_monitor,
    delete_monitor,
    replay_monitor,
    silence_monitor,
    list_silences,
    end_silence,
]
