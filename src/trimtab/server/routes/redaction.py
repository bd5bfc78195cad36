"""What the project wants redacted: its settings, a trial of others, and which rows went through what."""

from __future__ import annotations

import re
import time
from typing import Any, Final, Literal

from litestar import get, post, put
from litestar.params import RawBody
from msgspec import Struct

from trimtab.errors import BodyTooLarge, ConfigError, Conflict, InvalidField
from trimtab.records import Name, Pattern, RedactionPattern, RedactionSettings
from trimtab.redact.policy import Policy, policy_of
from trimtab.redact.trial import findings_in
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, read
from trimtab.store.ports import RescanKind, Writes

__all__ = [
    "ROUTES",
    "RedactionFinding",
    "RedactionPolicy",
    "RedactionState",
    "RescanState",
    "RuledRows",
    "Trial",
    "Tried",
]

_TRIAL_BYTES: Final = 256 << 10
_REVISION: Final = re.compile(r"r(\d+)-")


class RedactionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be redacted. `disabled` names kinds of findings to leave alone, `allow` patterns to leave alone.

    `extra` are patterns to take too, with a name for people. `revision`, where given, is the one this was decided on:
    when it is not the newest any more, the call is refused.
    """

    mode: Literal["strict", "lenient"] = "strict"
    disabled: list[Name] = []
    allow: list[Pattern] = []
    extra: list[RedactionPattern] = []
    revision: int | None = None


class RescanState(Struct, frozen=True, kw_only=True):
    """How far stored rows of one kind are cleaned by the rules of now: up to `seq` of `last` in order of arrival."""

    kind: RescanKind
    seq: int
    last: int
    rewritten: int
    done: bool


class RedactionState(Struct, frozen=True, kw_only=True):
    """What holds now. `settings` is null while the project has none and the installation's policy holds (`mode`).

    New rows go through `rules`, stored ones should have gone through `stored_rules` (which differ where a detector has
    a second look). `problem` says why stored rows wait, null when they do not.
    """

    settings: RedactionSettings | None
    mode: Literal["strict", "lenient"]
    rules: str
    stored_rules: str
    rescan: list[RescanState]
    problem: str | None


class RuledRows(Struct, frozen=True, kw_only=True):
    """How many stored events went through one version of rules and policy, as their rows say.

    `revision` is that of the settings, null for the installation's own policy. `enough` means: no less than is wanted
    now.
    """

    rules: str
    revision: int | None
    enough: bool
    inferences: int
    feedback: int


class Trial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text or a JSON value to try, by the project's policy or by one that is only tried."""

    text: str | None = None
    value: Any = None
    policy: RedactionPolicy | None = None


class RedactionFinding(Struct, frozen=True, kw_only=True):
    """Characters `start` to `end` (exclusive) of the string at `path` are an `entity`.

    `path` is a JSON pointer, "" for a text; `key` is true where the finding is in a key of the object at `path`.
    """

    path: str
    entity: str
    start: int
    end: int
    key: bool


class Tried(Struct, frozen=True, kw_only=True):
    """What would be stored, what was found, by which rules, and how many milliseconds the cleaning took."""

    redacted: Any
    findings: list[RedactionFinding]
    rules: str
    milliseconds: float


@get("/v1/settings/redaction", sync_to_thread=True, opt=contract("admin", answer=RedactionState))
def get_redaction(request: Call) -> RedactionState:
    """Return the project's redaction settings, the rules they make, and how far stored rows follow them."""
    return _state(engine_of(request), request.auth.project_id)


@put(
    "/v1/settings/redaction",
    sync_to_thread=True,
    opt=contract("admin", body=RedactionPolicy, answer=RedactionState, body_required=False),
)
def set_redaction(request: Call, body: RawBody) -> RedactionState:
    """Set what the project wants redacted, from the next event on; stored rows follow in the background.

    The same settings again change nothing. Every revision is kept. Laxer settings bring nothing back.
    """
    told, engine, project_id = read(body, RedactionPolicy), engine_of(request), request.auth.project_id
    current = engine.redactor.current(project_id)
    settings = _settings(engine, told, current, request.auth.id)
    policy = _policy(settings)
    if told.revision is not None and told.revision != settings.revision - 1:
        raise Conflict(
            f"the redaction settings are at revision {settings.revision - 1}, not {told.revision}; "
            "read them again and decide anew",
            param="revision",
        )
    if current is None or _said(current) != _said(settings):
        sealed = seal(engine.redactor.trial(policy), settings)  # works also where the settings of now do not
        engine.store.commit({project_id: Writes(redactions=[sealed])})
        engine.redactor.forget(project_id)
    return _state(engine, project_id)


@get(
    "/v1/settings/redaction/revisions",
    sync_to_thread=True,
    opt=contract("admin", answer=Listing[RedactionSettings]),
)
def list_redaction_revisions(request: Call) -> Listing[RedactionSettings]:
    """List every revision of the project's redaction settings, oldest first."""
    return Listing(engine_of(request).store.redactions(request.auth.project_id))


@get("/v1/settings/redaction/rows", sync_to_thread=True, opt=contract("admin", answer=Listing[RuledRows]))
def count_redaction_rows(request: Call) -> Listing[RuledRows]:
    """Count stored events by the rules they went through. Reads every row's rules: seconds on a large store."""
    engine, project_id = engine_of(request), request.auth.project_id
    enough = engine.redactor.standing(project_id).enough
    items = []
    for rules, counts in sorted(engine.store.count_rules(project_id).items()):
        named = _REVISION.match(rules)
        items.append(
            RuledRows(
                rules=rules,
                revision=int(named[1]) if named else None,
                enough=rules in enough,
                inferences=counts.get("inferences", 0),
                feedback=counts.get("feedback", 0),
            )
        )
    return Listing(items)


@post(
    "/v1/settings/redaction/try",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Trial, answer=Tried),
)
def try_redaction(request: Call, body: RawBody) -> Tried:
    """Show what would be left of a text or JSON value. Nothing of it is stored or logged.

    At most 256 KiB. A `policy` given is tried and not saved. What a detector would find later is not shown.
    """
    if len(body) > _TRIAL_BYTES:
        raise BodyTooLarge(f"expected at most {_TRIAL_BYTES} bytes to try, got {len(body)}; send a part of it")
    told, engine, project_id = read(body, Trial), engine_of(request), request.auth.project_id
    if (told.text is None) == (told.value is None):
        raise InvalidField("expected either 'text' or 'value', got both or neither; send one", param="text")
    redactor = engine.redactor.of(project_id)
    if told.policy is not None:
        current = engine.redactor.current(project_id)
        redactor = engine.redactor.trial(_policy(_settings(engine, told.policy, current, request.auth.id)))
    given = told.value if told.text is None else told.text
    redactor.text("")  # what is made at the first text is no part of its time
    started = time.perf_counter()
    redacted = redactor.text(given) if isinstance(given, str) else redactor.value(given)
    took = time.perf_counter() - started
    found = [RedactionFinding(**one._asdict()) for one in findings_in(redactor.policy, given)]
    return Tried(redacted=redacted, findings=found, rules=redactor.version, milliseconds=round(took * 1000, 3))


def _settings(
    engine: Engine, told: RedactionPolicy, current: RedactionSettings | None, key_id: str
) -> RedactionSettings:
    """Return what is told as the revision after the current one."""
    return RedactionSettings(
        revision=current.revision + 1 if current else 1,
        updated_at=engine.clock.now(),
        mode=told.mode,
        disabled=sorted(set(told.disabled)),
        allow=told.allow,
        extra=told.extra,
        updated_by=key_id,
    )


def _policy(settings: RedactionSettings) -> Policy:
    """Return the policy of the settings. Raises InvalidField that names the pattern or entity at fault."""
    try:
        return policy_of(settings)
    except ConfigError as error:
        raise InvalidField(error.message, param=error.param) from None


def _said(settings: RedactionSettings) -> tuple[Any, ...]:
    """Return what settings say, apart from who said it when."""
    return settings.mode, settings.disabled, settings.allow, settings.extra


def _state(engine: Engine, project_id: str) -> RedactionState:
    redactor = engine.redactor.of(project_id)
    progress = engine.rescan.progress(project_id)
    return RedactionState(
        settings=engine.redactor.current(project_id),
        mode=redactor.policy.mode,
        rules=redactor.version,
        stored_rules=engine.redactor.standing(project_id).rules,
        rescan=[
            RescanState(kind=one.kind, seq=one.seq, last=one.last, rewritten=one.rewritten, done=one.seq >= one.last)
            for one in progress
        ],
        problem=engine.rescan.problem,
    )


ROUTES = [get_redaction, set_redaction, list_redaction_revisions, count_redaction_rows, try_redaction]
