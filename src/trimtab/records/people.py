"""What people are told and asked, and what it costs: deliveries, answers that wait for reviewers, minutes of work."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.field import Identifier, Line, Name, Record, State, Time, Uuid

__all__ = [
    "Delivery",
    "DeliveryKind",
    "DeliveryState",
    "ReviewBatch",
    "ReviewItem",
    "ReviewLink",
    "ReviewState",
    "ReviewTheme",
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
    `reserved_until`; `taken_at` is when that reviewer was first given it. `minutes` is how long the reviewer took,
    where that was measured; what was assumed is never written here.

    Where several people judge the same answer each has an item of its own, a `seat` of the same `card_id`; nobody is
    given two. A `referee` is asked when those before were of two minds. With `asked_of` only that person is given it.

    `source`: `queue` items stand for a theme of a batch, `random` ones are its audit. `p_wrong` and `known` are what
    was thought and known of the answer when it was chosen, never what came later: P(wrong) learns from them.
    `inclusion` is the probability with which a `random` one was drawn.

    An `example` asks whether an old example of the served version, `exemplar_id`, is still right, because reviewers'
    corrections contradict its answer; the items of one `doubt_id` are about one such answer. `instead_id` is the newest
    correction that says otherwise, `confirms` whether the reviewer said the same. There is no answer of the app, so
    `inference_id` names none.
    """

    id: Uuid
    feature: Name
    inference_id: Uuid
    source: Literal["incident", "queue", "random", "example"]
    state: ReviewState
    reason: Line
    priority: float
    opened_at: Time
    incident_id: Uuid | None = None
    batch_id: Uuid | None = None
    card_id: Uuid | None = None
    seat: int = 1
    referee: bool = False
    asked_of: Identifier | None = None
    p_wrong: Annotated[float, Meta(ge=0, le=1)] | None = None
    known: State = {}
    inclusion: Annotated[float, Meta(ge=0, le=1)] | None = None
    exemplar_id: Name | None = None
    doubt_id: Uuid | None = None
    instead_id: Uuid | None = None
    confirms: bool | None = None
    reserved_by: Identifier | None = None
    reserved_until: Time | None = None
    taken_at: Time | None = None
    closed_at: Time | None = None
    verdict: Verdict | None = None
    minutes: Annotated[float, Meta(ge=0)] | None = None


class ReviewBatch(Record, frozen=True):
    """One choice of what to ask about a feature, from answers created in [since, until).

    `pool` answers were looked at, of `answers` in that time; `themes` and `audits` of them are asked about, each of the
    answers having been drawn for the audit with the probability `inclusion`. P(wrong) was learned from `reviews`
    verdicts (0: the shipped weights), its level set by `drawn` of them; `weights` are those of a change by one standard
    deviation (of log-odds for `signals`), with the level as `base`.
    """

    id: Uuid
    feature: Name
    created_at: Time
    by: Literal["schedule", "person"]
    since: Time
    until: Time
    budget: int
    answers: int
    pool: int
    themes: int
    audits: int
    inclusion: float
    reviews: int = 0
    drawn: int = 0
    weights: State = {}


class ReviewTheme(Record, frozen=True):
    """Answers of a batch that are suspect in the same way; one of them, `inference_id`, is asked about for all.

    `words` tell its questions from those of the other themes, the most telling first. `members` holds all of its
    answers, the nearest to its middle first; `weight` is how many of them are expected to be wrong.
    """

    id: Uuid
    feature: Name
    batch_id: Uuid
    inference_id: Uuid
    created_at: Time
    size: int
    weight: float
    words: list[Line]
    members: list[Uuid]


class ReviewLink(Record, frozen=True):
    """Leave for somebody without a key to judge one review item, until `expires_at`. Only the token's hash is kept."""

    id: Uuid
    item_id: Uuid
    inference_id: Uuid
    reviewer: Identifier
    sha256: Line
    created_at: Time
    expires_at: Time
    revoked_at: Time | None = None


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
