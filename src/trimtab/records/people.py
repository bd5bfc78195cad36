"""What people are told and asked, and what it costs: deliveries, answers that wait for a reviewer, minutes of work."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.field import Identifier, Line, Name, Record, State, Time, Uuid

__all__ = [
    "Delivery",
    "DeliveryKind",
    "DeliveryState",
    "ReviewItem",
    "ReviewState",
    "Verdict",
    "WorkKind",
    "WorkLog",
    "WorkSource",
]

DeliveryKind = Literal[
    "incident.opened",
    "incident.resolved",
    "change.awaiting",
    "change.canary",
    "change.paused",
    "change.promoted",
    "change.rolled_back",
    "review.added",
    "digest",
]
DeliveryState = Literal["waiting", "sent", "failed"]
ReviewState = Literal["open", "reserved", "done", "skipped"]
Verdict = Literal["good", "bad", "skip"]
WorkKind = Literal["triage", "investigate", "hotfix", "review", "approve"]
WorkSource = Literal["measured", "assumed"]


class Delivery(Record, frozen=True):
    """One message to one target of `[notify.NAME]`: committed with what it tells of, sent later.

    `body` holds ids, numbers, names and lines the engine wrote, never words of people. One that failed `attempts` times
    is tried again at `next_at` while it is waiting; `error` is the kind of the latest failure.
    """

    id: Uuid
    target: Name
    kind: DeliveryKind
    state: DeliveryState
    created_at: Time
    next_at: Time
    feature: Name | None = None
    body: State = {}
    attempts: int = 0
    error: Line = ""
    sent_at: Time | None = None


class ReviewItem(Record, frozen=True):
    """One answer that waits for a person's verdict, and how that ended.

    `priority` orders the queue, larger first. While it is reserved nobody but `reserved_by` is given it, until
    `reserved_until`. `minutes` is how long the reviewer took, where that was measured.
    """

    id: Uuid
    feature: Name
    inference_id: Uuid
    source: Literal["incident", "queue", "random"]
    state: ReviewState
    reason: Line
    priority: float
    opened_at: Time
    incident_id: Uuid | None = None
    reserved_by: Identifier | None = None
    reserved_until: Time | None = None
    closed_at: Time | None = None
    verdict: Verdict | None = None
    minutes: Annotated[float, Meta(ge=0)] | None = None


class WorkLog(Record, frozen=True):
    """Minutes of work that a person spent on a feature, and whether they were measured or are an assumption.

    The two are never added up. triage, investigate and hotfix are reactive: work that a problem forced on somebody.
    """

    id: Uuid
    at: Time
    kind: WorkKind
    minutes: Annotated[float, Meta(ge=0)]
    source: WorkSource
    feature: Name | None = None
    incident_id: Uuid | None = None
