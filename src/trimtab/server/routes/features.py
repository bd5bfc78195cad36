"""Features: what each serves now, the versions it ever had, its golden cases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.errors import Conflict, InvalidField, NotFound
from trimtab.ids import new_id
from trimtab.ingest.feature import declare
from trimtab.records import (
    Case,
    Change,
    CheckKind,
    Exemplar,
    Feature,
    Message,
    Name,
    Payload,
    Rollout,
    Rule,
    Text,
    Uuid,
    Version,
)
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, checked_name, contract, engine_of, id_in_path, name_in_path, read
from trimtab.server.query import asked
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "Declaration", "NewCase", "NewVersion", "Restore", "Served", "ServedVersion"]


class Declaration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a feature when it is declared."""

    description: Text = ""


class Served(Struct, frozen=True, kw_only=True):
    """What a feature serves: the pointer, and by id every Version it points to."""

    rollout: Rollout
    versions: dict[str, Version]


class NewVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Version made by hand. `serve` makes it the stable one for everyone at once, `canary` shows it to a few first.

    In a canary, votes decide: it takes more users step by step and at last everyone, or it is taken back.
    """

    messages: list[Message] = []
    model: Name | None = None
    parameters: dict[str, Any] = {}
    rules: list[Rule] = []
    exemplars: list[Exemplar] = []
    note: Text = ""
    serve: bool = True
    canary: bool = False


class ServedVersion(Struct, frozen=True, kw_only=True):
    """A stored Version, what the feature serves after it, and the change that is on trial where it is in a canary."""

    version: Version
    rollout: Rollout
    change: Change | None = None


class Restore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version to serve again; none: the one that was stable before the one that is."""

    version_id: Name | None = None


class NewCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A golden example: what goes in, what a right output looks like, how much it matters.

    `expected` is the words, the regular expression, the JSON schema (as text) or the reference that `check` holds
    answers against; `likeness` the cosine of the check `embedding`. A case of an incident (`incident_id`) is one that a
    change for it has to fix.
    """

    input: Payload
    expected: Text
    check: CheckKind = "exact"
    severity: Literal["must_pass", "normal"] = "normal"
    incident_id: Uuid | None = None
    likeness: Annotated[float, Meta(gt=0, le=1)] | None = None


def _rollout(engine: Engine, project_id: str, feature: str) -> Rollout:
    rollout = engine.store.rollout(project_id, feature)
    if rollout is None:
        raise NotFound(f"no feature {feature!r}; PUT /v1/features/{{feature}} declares it", param="feature")
    return rollout


@get("/v1/features", sync_to_thread=True, opt=contract("read", "ingest", "admin", answer=Listing[Feature]))
def list_features(request: Call) -> Listing[Feature]:
    """List the features by name."""
    return Listing(engine_of(request).store.features(request.auth.project_id))


@put(
    "/v1/features/{feature:str}",
    sync_to_thread=True,
    opt=contract("admin", body=Declaration, answer=Feature, body_required=False),
)
def declare_feature(request: Call, feature: FromPath[str], body: RawBody) -> Feature:
    """Declare a feature with an empty first Version; one declared before stays as it is."""
    told, engine, project_id = read(body, Declaration), engine_of(request), request.auth.project_id
    name = checked_name(feature)
    declare(engine.store, engine.redactor.of(project_id), engine.clock, project_id, name, told.description)
    return next(item for item in engine.store.features(project_id) if item.name == name)


@get(
    "/v1/features/{feature:str}/rollout",
    sync_to_thread=True,
    opt=contract("ingest", "read", "admin", answer=Served),
)
def get_rollout(request: Call, feature: FromPath[str]) -> Response[Served | None]:
    """Return what the feature serves. `ETag` is its revision: `If-None-Match` is answered 304 while it stands."""
    engine, project_id, name = engine_of(request), request.auth.project_id, name_in_path(feature)
    rollout = _rollout(engine, project_id, name)
    tag = f'"{rollout.revision}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if _holds(request.headers.get("if-none-match", ""), tag):
        return Response(None, status_code=304, headers=headers)
    wanted = {rollout.stable_version_id, rollout.candidate_version_id, rollout.holdback_version_id}
    found = [engine.store.version(project_id, name, version_id) for version_id in wanted if version_id]
    served = Served(rollout=rollout, versions={version.id: version for version in found if version is not None})
    return Response(served, headers=headers)


def _holds(header: str, tag: str) -> bool:
    """Say whether an If-None-Match names the tag (weak comparison, RFC 9110 13.1.2)."""
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    return tag in tags or tags == ["*"]


@get("/v1/features/{feature:str}/versions", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Version]))
def list_versions(request: Call, feature: FromPath[str]) -> Listing[Version]:
    """List every version of the feature, oldest first."""
    engine, project_id, name = engine_of(request), request.auth.project_id, name_in_path(feature)
    _rollout(engine, project_id, name)
    return Listing(engine.store.versions(project_id, name))


@post(
    "/v1/features/{feature:str}/versions",
    sync_to_thread=True,
    opt=contract("admin", body=NewVersion, answer=ServedVersion, status=201),
)
def create_version(request: Call, feature: FromPath[str], body: RawBody) -> ServedVersion:
    """Store a Version made by hand and, unless told not to, serve it to everyone; a canary under way ends.

    With `canary` it is shown to the first share of users instead, and their votes decide (409 while another is tried).
    """
    told, engine, project_id = read(body, NewVersion), engine_of(request), request.auth.project_id
    name = name_in_path(feature)
    rollout = _rollout(engine, project_id, name)
    now = engine.clock.now()
    version = Version(
        feature=name,
        created_at=now,
        messages=told.messages,
        model=told.model,
        parameters=told.parameters,
        rules=told.rules,
        exemplars=told.exemplars,
        parent_id=rollout.stable_version_id,
        note=told.note,
    )
    sealed = seal(engine.redactor.of(project_id), version)
    change = None
    if told.canary:
        change, rollout = engine.decisions.try_out(project_id, version, now)
    elif told.serve:
        rollout = engine.decisions.serve(project_id, version, now)
    else:
        engine.store.commit({project_id: Writes(versions=[sealed])})
    stored = engine.store.version(project_id, name, sealed.record.id)
    return ServedVersion(version=stored or sealed.record, rollout=rollout, change=change)


@post(
    "/v1/features/{feature:str}/rollback",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Restore, answer=Rollout, body_required=False),
)
def roll_back_feature(request: Call, feature: FromPath[str], body: RawBody) -> Rollout:
    """Serve an earlier version to everyone, at once."""
    told, engine, project_id = read(body, Restore), engine_of(request), request.auth.project_id
    name = name_in_path(feature)
    rollout = _rollout(engine, project_id, name)
    version_id = told.version_id or _before(engine, project_id, rollout)
    return engine.decisions.restore(project_id, name, version_id, engine.clock.now())


def _before(engine: Engine, project_id: str, rollout: Rollout) -> str:
    for earlier in reversed(engine.store.rollout_history(project_id, rollout.feature)):
        if earlier.stable_version_id != rollout.stable_version_id:
            return earlier.stable_version_id
    raise Conflict(f"{rollout.feature!r} has only ever served one version; there is none to go back to")


@get(
    "/v1/features/{feature:str}/cases",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Case], query=("retired",)),
)
def list_cases(request: Call, feature: FromPath[str]) -> Listing[Case]:
    """List the feature's golden cases, oldest first: those that gates ask, or those that are retired."""
    engine, project_id, name = engine_of(request), request.auth.project_id, name_in_path(feature)
    retired = asked(request).retired
    _rollout(engine, project_id, name)
    found = engine.store.cases(project_id, name, retired=retired)
    return Listing([case for case in found if (case.retired_at is not None) == retired])


@post(
    "/v1/features/{feature:str}/cases",
    sync_to_thread=True,
    opt=contract("admin", body=NewCase, answer=Case, status=201),
)
def create_case(request: Call, feature: FromPath[str], body: RawBody) -> Case:
    """Add a golden case; every candidate from now on is judged by it."""
    told, engine, project_id = read(body, NewCase), engine_of(request), request.auth.project_id
    name = name_in_path(feature)
    _rollout(engine, project_id, name)
    if told.incident_id is not None:
        incident = engine.store.incident(project_id, told.incident_id)
        if incident is None or incident.feature != name:
            raise InvalidField(
                f"incident_id: expected an incident of {name!r}, got {told.incident_id!r}", param="incident_id"
            )
    now = engine.clock.now()
    case = Case(
        id=new_id(now),
        feature=name,
        created_at=now,
        input=told.input,
        expected=told.expected,
        check=told.check,
        severity=told.severity,
        incident_id=told.incident_id,
        likeness=told.likeness,
    )
    sealed = seal(engine.redactor.of(project_id), case)
    engine.exams.require_usable(sealed.record)  # as it is kept: redaction may have taken a part out of a pattern
    engine.store.commit({project_id: Writes(cases=[sealed])})
    return sealed.record


@delete(
    "/v1/features/{feature:str}/cases/{case_id:str}",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Case),
)
def retire_case(request: Call, feature: FromPath[str], case_id: FromPath[str]) -> Case:
    """Ask a golden case no more, from the next gate on. It is kept, so that its correction makes no other case."""
    return _retired(request, feature, case_id, retired=True)


@post(
    "/v1/features/{feature:str}/cases/{case_id:str}/restore",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Case),
)
def restore_case(request: Call, feature: FromPath[str], case_id: FromPath[str]) -> Case:
    """Ask a golden case that was retired again, from the next gate on."""
    return _retired(request, feature, case_id, retired=False)


def _retired(request: Call, feature: str, case_id: str, *, retired: bool) -> Case:
    """Retire or restore a case; one that is so already stays as it is."""
    engine, project_id, wanted = engine_of(request), request.auth.project_id, id_in_path(case_id, "case")
    name = name_in_path(feature)
    _rollout(engine, project_id, name)
    found = next((case for case in engine.store.cases(project_id, name, retired=True) if case.id == wanted), None)
    if found is None:
        raise NotFound(f"{name!r} has no golden case {wanted!r}", param="case_id")
    if (found.retired_at is not None) == retired:
        return found
    at = engine.clock.now() if retired else None
    engine.store.commit({project_id: Writes(retired=[(wanted, at)])})
    return msgspec.structs.replace(found, retired_at=at)


ROUTES = [
    list_features,
    declare_feature,
    get_rollout,
    list_versions,
    create_version,
    roll_back_feature,
    list_cases,
    create_case,
    retire_case,
    restore_case,
]
