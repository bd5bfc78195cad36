"""The query parameters of lists, read strictly: an unknown or malformed one is an error that names it."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, TypeVar, get_args

import msgspec
from msgspec import Struct

from trimtab.clock import EPOCH
from trimtab.errors import InvalidField
from trimtab.measure.series import Metric, SeriesStep
from trimtab.records import FeedbackKind, Name, Time, Uuid
from trimtab.server.contract import Call, Contract
from trimtab.store.ports import Query

__all__ = ["LIST", "PARAMETERS", "Asked", "Span", "asked", "query_of", "span_of", "states_of"]

T = TypeVar("T")

PARAMETERS: dict[str, tuple[Any, str]] = {
    "feature": (Name, "only of this feature"),
    "version_id": (Name, "only of this version"),
    "since": (Time, "from this time on (RFC 3339, inclusive)"),
    "until": (Time, "before this time (RFC 3339, exclusive)"),
    "q": (str, 'what to look for, at most 1000 characters; a "phrase in quotes" must occur as it stands'),
    "mode": (
        Literal["semantic", "exact", "hybrid"],
        "by meaning, by words, or by both; hybrid unless told",
    ),
    "kind": (Literal["feedback", "inference"], "only of this kind"),
    "feedback_kind": (FeedbackKind, "only feedback of this kind"),
    "negative": (Literal["true", "false"], "only about answers judged bad, or only about others"),
    "emerging": (Literal["true", "false"], "true: only what more people began to say, false: only the rest"),
    "state": (str, "only in one of these states, separated by commas"),
    "batch": (Uuid, "only of this batch"),
    "after": (str, "the `next` of the page before"),
    "limit": (int, "how many to return, from 1 to 1000; 100 unless told"),
    "metric": (Metric, "what to tell"),
    "step": (SeriesStep, "how finely; hour unless told"),
    "group_by": (Name, "one line for each `version`, or for each value of one of the feature's groupings"),
    "open": (Literal["true", "false"], "true: only what is still to be judged, false: only what is judged"),
    "order": (Literal["newest", "oldest"], "newest first unless told"),
    "retired": (Literal["true", "false"], "true: only what was retired; unless told only what was not"),
    "now": (Literal["true", "false"], "true: for everyone at once, without gate and canary"),
}
LIST = ("feature", "version_id", "since", "until", "after", "limit", "order")
_LATEST = datetime(3000, 1, 1, tzinfo=UTC)
_MOST = 1000
_DIGITS = 39  # of 2^127: the cursor of a list by time carries a time and a place
_GOT = 60


class Asked(Struct, frozen=True, kw_only=True):
    """The query parameters of a request, read."""

    feature: str | None = None
    version_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: tuple[str, ...] = ()
    after: int | None = None
    limit: int = 100
    newest: bool = True
    open: bool | None = None
    q: str = ""
    mode: Literal["semantic", "exact", "hybrid"] = "hybrid"
    kind: Literal["feedback", "inference"] | None = None
    feedback_kind: FeedbackKind | None = None
    negative: bool | None = None
    emerging: bool | None = None
    metric: Metric | None = None
    step: SeriesStep = "hour"
    group_by: str | None = None
    batch: str | None = None
    now: bool = False
    retired: bool = False


def asked(request: Call) -> Asked:
    """Read the request's query parameters. Raises InvalidField for one its route does not have, or a bad value."""
    told: Contract = request.route_handler.opt["contract"]
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in told.query:
            raise _unknown(name, told.query)
        if name in found:
            raise InvalidField(f"expected the parameter {name!r} once, got it twice", param=name)
        found[name] = value
    limit = _whole(found, "limit") if "limit" in found else 100
    if not 1 <= limit <= _MOST:
        raise InvalidField(f"limit: expected 1 to {_MOST}, got {limit}", param="limit")
    order = _one_of(found, "order") or "newest"
    return Asked(
        feature=_read(found, "feature"),
        version_id=_read(found, "version_id"),
        since=_read(found, "since"),
        until=_read(found, "until"),
        state=tuple(part for part in found.get("state", "").split(",") if part),
        after=_whole(found, "after") if "after" in found else None,
        limit=limit,
        newest=order == "newest",
        open=None if (open_ := _one_of(found, "open")) is None else open_ == "true",
        q=found.get("q", ""),
        mode=_one_of(found, "mode") or "hybrid",
        kind=_one_of(found, "kind"),
        feedback_kind=_one_of(found, "feedback_kind"),
        negative=None if (bad := _one_of(found, "negative")) is None else bad == "true",
        emerging=None if (news := _one_of(found, "emerging")) is None else news == "true",
        metric=_one_of(found, "metric"),
        step=_one_of(found, "step") or "hour",
        group_by=_read(found, "group_by"),
        batch=_read(found, "batch"),
        now=_one_of(found, "now") == "true",
        retired=_one_of(found, "retired") == "true",
    )


class Span(Protocol):
    """What says from when until when, if it does."""

    @property
    def since(self) -> datetime | None:
        """From this time on."""
        ...

    @property
    def until(self) -> datetime | None:
        """Before this time."""
        ...


def span_of(told: Span, now: datetime, unless_told: timedelta) -> tuple[datetime, datetime]:
    """Return from when until when is asked for: until `now` and for as long as said here, unless told.

    Raises InvalidField where it ends before it begins.
    """
    until = _within_reach(told.until or now)
    since = _within_reach(told.since or until - unless_told)
    if since >= until:
        raise InvalidField(f"since: expected it before {until.isoformat()}, got {since.isoformat()}", param="since")
    return since, until


def _within_reach(time: datetime) -> datetime:
    """Return the time, or the end of what is held: of year 1 or 9999 there is no week before or after."""
    return min(max(time, EPOCH), _LATEST)


def query_of(told: Asked) -> Query:
    """Return what a list asks of the store."""
    return Query(
        feature=told.feature,
        version_id=told.version_id,
        since=told.since,
        until=told.until,
        after=told.after,
        limit=told.limit,
        newest=told.newest,
    )


def states_of(told: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the states that were asked for. Raises InvalidField for one that there is not."""
    for state in told:
        if state not in known:
            raise InvalidField(f"state: expected one of {', '.join(known)}, got {state[:_GOT]!r}", param="state")
    return told


def _read(found: dict[str, str], name: str) -> Any:
    if name not in found:
        return None
    kind, _ = PARAMETERS[name]
    try:
        told = msgspec.convert(found[name], kind)
        return _within_reach(told) if kind is Time else told
    except msgspec.ValidationError:
        expected = "a time with its zone such as 2026-01-31T12:00:00Z" if kind is Time else "a name"
        hint = "; a + in a URL is a blank, write %2B" if kind is Time and " " in found[name] else ""
        raise InvalidField(f"{name}: expected {expected}, got {found[name][:_GOT]!r}{hint}", param=name) from None


def _one_of(found: dict[str, str], name: str) -> Any:
    if name not in found:
        return None
    known: tuple[str, ...] = get_args(PARAMETERS[name][0])
    if found[name] not in known:
        told = ", ".join(repr(each) for each in known[:-1]) + f" or {known[-1]!r}"
        raise InvalidField(f"{name}: expected {told}, got {found[name][:_GOT]!r}", param=name)
    return found[name]


def _whole(found: dict[str, str], name: str) -> int:
    text = found[name]
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        expected = "the `next` of the page before" if name == "after" else "a whole number"
        raise InvalidField(f"{name}: expected {expected}, got {text[:_GOT]!r}", param=name)
    return int(text)


def _unknown(name: str, known: tuple[str, ...]) -> InvalidField:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"
    return InvalidField(f"unknown parameter {name[:_GOT]!r}; {hint}", param=name[:_GOT])
