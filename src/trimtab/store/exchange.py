"""What goes in and out of a store beside the records: rows with their place, pages, and what a commit writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from msgspec import Struct

from trimtab.clock import to_micros
from trimtab.records import (
    ApiKey,
    Arm,
    AuditItem,
    Calibration,
    Case,
    CaseAnswer,
    Change,
    Dataset,
    Delivery,
    Erasure,
    Feature,
    Feedback,
    Incident,
    Inference,
    Job,
    KnowledgePatch,
    Monitor,
    MonitorRule,
    Opinion,
    Outcome,
    Project,
    Redacted,
    RedactionSettings,
    Release,
    ReviewBatch,
    ReviewItem,
    ReviewLink,
    ReviewState,
    ReviewTheme,
    Rollout,
    Run,
    RunStep,
    Silence,
    Topic,
    TopicRun,
    User,
    Version,
    WorkLog,
)

__all__ = [
    "ArmVotes",
    "Arrival",
    "Aside",
    "AsideKind",
    "Backfill",
    "Count",
    "Due",
    "Exposure",
    "HotSpan",
    "Keep",
    "Packed",
    "Page",
    "Place",
    "PurgeLot",
    "PurgeMark",
    "PurgeWalk",
    "PurgedKind",
    "Query",
    "Rescan",
    "RescanKind",
    "ReviewLoad",
    "Session",
    "Stale",
    "Step",
    "Stored",
    "StreamKind",
    "Switch",
    "Target",
    "TopicPlace",
    "Turn",
    "VersionScores",
    "VersionSummary",
    "Vote",
    "Writes",
    "cursor_behind",
    "cut_cursor",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SEQ_BITS = 63
_BEFORE_ALL = 1 << 62  # added to a time, which may lie before 1970: a cursor is never negative


class Stored(NamedTuple, Generic[T]):
    """A record with its place in the order of arrival and the project it belongs to."""

    seq: int
    project_id: str
    record: T


class Arrival(NamedTuple):
    """An event on its way in: whose it is, the event behind the wall, and when it reached us."""

    project_id: str
    event: Redacted[Inference | Feedback]
    received_at: datetime


class Packed(Struct, frozen=True, kw_only=True, array_like=True):
    """Events as rows of their tables, made by `trimtab.store.packing` from events behind the wall and by nobody else.

    `order` has one byte for each event, 0 for the next of the inferences, 1 for the next of the feedback; `received_at`
    is the latest of all, in microseconds since the epoch.
    """

    inferences: list[list[Any]]
    feedback: list[list[Any]]
    order: bytes
    received_at: int


class Target(NamedTuple):
    """How a feedback names its target: `key` is an inference id, external id, trace id, `trace/span` or session id."""

    kind: Literal["inference", "external", "trace", "span", "session"]
    key: str


class Vote(NamedTuple):
    """The moment one person's vote was last counted by one consumer (a monitor, a canary): the vote cap's memory."""

    consumer_id: str
    user_id: str
    counted_at: datetime


class Switch(NamedTuple):
    """A rollout to write, valid only while the stored revision is still `expected` (0: there is none yet).

    Its own revision is above `expected`, else ValueError.
    """

    rollout: Rollout
    expected: int


class Exposure(NamedTuple):
    """How many inferences one version served in one arm."""

    version_id: str | None
    arm: Arm | None
    inferences: int


class ArmVotes(NamedTuple):
    """How many answers of one arm users voted on, and how many of those they called bad."""

    arm: Arm | None
    voted: int
    negative: int


class Turn(NamedTuple):
    """One answer's place in its session."""

    session_id: str
    created_at: datetime
    inference_id: str
    feature: str


class Session(NamedTuple):
    """A conversation as far as it is known: when something last happened, and whether it was closed by time-out."""

    project_id: str
    session_id: str
    last_at: datetime
    closed: bool


class Backfill(NamedTuple):
    """Outcomes to go through again, since what they were made of changed: those of a user or of a feature.

    Or, of an erasure, those on which the person spoke whom it removes. `after` is the last inference that was done (""
    at first); asking again begins anew.
    """

    project_id: str
    scope: Literal["user", "feature", "erasure"]
    key: str
    asked_at: datetime
    after: str = ""


RescanKind = Literal["inferences", "feedback", "versions", "cases", "case_answers", "features", "users"]
"""The tables whose words are cleaned again when the rules of their project change."""


class Rescan(NamedTuple):
    """How far the rows of one kind have been cleaned again: all up to `seq` went through `rules` or stricter ones.

    `rewritten` counts the rows in which that changed something, under these rules.
    """

    project_id: str
    kind: RescanKind
    rules: str
    seq: int
    rewritten: int


class Stale(NamedTuple):
    """Rows to clean again, in order of arrival, and the place up to which the store has looked for them."""

    rows: list[Stored[Any]]
    reached: int


AsideKind = Literal["inference", "feedback", "outcome", "session", "version", "case", "case_answer", "feature", "user"]
StreamKind = Literal["inference", "feedback", "outcome"]


class Aside(NamedTuple):
    """A row that a stage could not handle and went on without: which one, why and since when.

    `error` names a class and places in the code, never what a row says. `again`: the stage is to try it once more.
    """

    project_id: str
    stage: str
    kind: AsideKind
    record_id: str
    error: str
    at: datetime
    again: bool = False


class Place(NamedTuple):
    """Where a row of a stream stands, whose it is and its id (an outcome's: that of its inference)."""

    seq: int
    project_id: str
    record_id: str


Step = Literal["minute", "hour", "day", "all"]
"""How finely counters are told: one count for each minute, hour or day (UTC), or one for the whole span."""


class Count(NamedTuple):
    """One counter: of a feature ("" where none is named), version and group ("" without grouping), from `start` on.

    `count` is how many there were, `total` the sum of their values (the count itself where there is none).
    """

    start: datetime
    feature: str
    version_id: str | None
    group_value: str
    metric: str
    count: int  # type: ignore[assignment]  # the name says it better than tuple.count would be missed
    total: float


PurgedKind = Literal["inferences", "feedback", "outcomes"]
"""What goes from the hot store by age; the rows that were derived from them go with them."""

PurgeWalk = Literal["inferences", "feedback", "outcomes", "opinions", "sessions"]
"""A walk over one table in search of what may go, in the order in which the walks are made."""


class Keep(NamedTuple):
    """What of one project has to stay, however old.

    `since`: answers of a feature that were created from then on, with all that was said about them; and rows by id.
    """

    since: Mapping[str, datetime] = {}
    inferences: frozenset[str] = frozenset()
    feedback: frozenset[str] = frozenset()


class Due(Struct, frozen=True, kw_only=True):
    """What may go: rows that arrived before `before` and lie at or below the place `upto`, but for what is to be kept.

    A kind that is missing in `before` stays for ever. `keep` is by project.
    """

    before: Mapping[PurgedKind, datetime]
    upto: Mapping[PurgedKind, int]
    keep: Mapping[str, Keep] = {}


class PurgeLot(NamedTuple):
    """Rows found by one walk that may go together; `reached` is the place from which the walk goes on.

    `ended`: nothing further is old enough. `vectors` names, by project and kind, what search may know of them.
    `rows` is the store's own.
    """

    walk: PurgeWalk
    reached: int
    ended: bool
    looked: int
    rows: Sequence[Any]
    vectors: Mapping[tuple[str, Literal["feedback", "inference"]], list[str]]


class PurgeMark(NamedTuple):
    """How far one kind of rows has gone: `rows` of them, of which the last arrived at `until`.

    At or below `safe` rows had been in the lake for a day when that was looked at; `noted` is where the lake stood at
    `noted_at`, which becomes `safe` a day later.
    """

    rows: int = 0
    until: datetime | None = None
    safe: int = 0
    noted: int = 0
    noted_at: datetime | None = None


class ReviewLoad(NamedTuple):
    """How many items of one feature wait in one state, and since when the oldest of them does."""

    project_id: str
    feature: str
    state: ReviewState
    items: int
    oldest: datetime


class HotSpan(NamedTuple):
    """What the hot store holds of one kind: how many rows, and when the oldest of them arrived."""

    rows: int
    oldest: datetime | None


class TopicPlace(NamedTuple):
    """Where a topic lies and which texts belong to it, newest first; `topic_id` None: those that belong to none.

    `centroid` is packed little-endian float32, comparable within `space`. `feature` None: of the whole project.
    """

    topic_id: str | None
    feature: str | None
    space: str
    centroid: bytes
    feedback_ids: list[str]
    inference_ids: list[str]


class VersionScores(NamedTuple):
    """Sums over the outcomes of one version in a span of time.

    `estimates` and `squares` are the sums of `estimate` and of its square over `judged` outcomes that have one, `votes`
    and `negatives` count users' votes (their mean per answer) and add them up.
    """

    version_id: str | None
    inferences: int
    judged: int
    estimates: float
    squares: float
    votes: int
    negatives: float


class VersionSummary(NamedTuple):
    """Counts of one version in a span of time: answers, judged ones, and those of them with p_bad > 0.5."""

    version_id: str | None
    inferences: int
    judged: int
    negatives: int


class Query(Struct, frozen=True, kw_only=True):
    """What a list call asks for. `since` is inclusive, `until` exclusive, over the record's own `created_at`.

    `after` is the cursor of the page before (exclusive); newest arrival first when `newest`, else oldest.
    """

    feature: str | None = None
    version_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    limit: int = 100
    newest: bool = True


class Page(NamedTuple, Generic[T]):
    """One page of a list and the cursor of the next (None at the end)."""

    rows: list[Stored[T]]
    next: int | None


class Writes(Struct, kw_only=True):
    """Everything one tick, request or step changes, committed as a whole or not at all.

    Records are upserted by their id, so that committing the same Writes twice leaves what one commit left. Exceptions,
    each for a reason: `versions`, `cases`, `features`, `projects`, `steps` (by run and name), `deliveries`, `reviews`,
    `review_batches` and `review_themes` are written once, and a second write of the same id changes nothing
    (`delivered` and `reviewed` move them on); so are `keys`, but for `revoked_at`, which may be set once; `switches`
    compare revisions; an `outcome` moves to the end of its order of arrival with every write, so that readers of
    `outcomes_after` see the change; an `opinion` gives way to one of the same inference, kind, source and user that was
    spoken later (`created_at`, then `feedback_id`), never to an earlier one; of inferences that share a target the
    latest (`created_at`, then id) keeps it. A feedback named in `joined`, now or ever, is no orphan. A session's
    `last_at` only ever rises and opens it again; one in `closed` is closed unless it moved on since. Of users and
    backfills that are written again the latest (`updated_at`, `asked_at`) stays. A row in `rewritten` gives its words
    way to cleaner ones: it keeps its place, its id and all that is said of it, and takes the new `rules`. One in
    `redactions` must be the next revision, or `Conflict` is raised and nothing written. What is of a person who was
    erased, or about what was erased with one, is left out; for such a user ErasedPerson is raised, for a version with
    an exemplar from their words Conflict. Raises ValueError for a key or project that belongs to another project than
    the one it is written under.
    """

    joined: list[tuple[str, str]] = []  # (feedback_id, inference_id): no longer an orphan
    orphans: list[tuple[str, Target]] = []  # (feedback_id, what it waits for)
    targets: list[tuple[Target, str]] = []  # what an inference can be named by -> inference_id; its own id needs none
    aims: list[tuple[str, Target]] = []  # (feedback_id, what it was said about): kept, joined or not
    turns: list[Turn] = []
    sessions: list[tuple[str, datetime]] = []  # (session_id, when something happened in it)
    closed: list[Session] = []
    replaced: list[str] = []  # inference ids
    opinions: list[Opinion] = []
    outcomes: list[Outcome] = []
    votes: list[Vote] = []
    monitors: list[Monitor] = []
    rules: list[MonitorRule] = []
    unruled: list[str] = []  # names of rules that are gone
    silences: list[Redacted[Silence]] = []  # one whose `until` has passed counts no more
    releases: list[Release] = []  # of corrections that were set aside
    incidents: list[Incident] = []
    changes: list[Change] = []
    runs: list[Run] = []  # without their steps
    steps: list[tuple[str, RunStep]] = []  # (run_id, step)
    switches: list[Switch] = []
    versions: list[Redacted[Version]] = []
    cases: list[Redacted[Case]] = []  # one that is there already stays as it is
    retired: list[tuple[str, datetime | None]] = []  # (case id, since when it is asked no more; None: asked again)
    case_answers: list[Redacted[CaseAnswer]] = []  # to cases that are still there; a ruling stays
    case_answers_before: list[tuple[str, datetime]] = []  # (feature, when): older ones that nobody ruled on go
    features: list[Redacted[Feature]] = []
    keys: list[Redacted[ApiKey]] = []
    projects: list[Project] = []
    users: list[Redacted[User]] = []
    segments: list[tuple[str, str, str]] = []  # (feature, key, value)
    calibrations: list[Calibration] = []
    audits: list[AuditItem] = []
    datasets: list[Dataset] = []
    patches: list[Redacted[KnowledgePatch]] = []
    deliveries: list[Delivery] = []
    delivered: list[Delivery] = []
    reviews: list[ReviewItem] = []  # nobody has them yet
    reviewed: list[Redacted[ReviewItem]] = []
    review_batches: list[ReviewBatch] = []
    review_themes: list[ReviewTheme] = []
    review_links: list[Redacted[ReviewLink]] = []
    jobs: list[Job] = []
    work: list[WorkLog] = []
    backfills: list[Backfill] = []  # asked for, or moved on
    backfilled: list[Backfill] = []  # done, unless asked for anew since
    redactions: list[Redacted[RedactionSettings]] = []
    rewritten: list[Redacted[Inference | Feedback | Version | Case | CaseAnswer | Feature | User]] = []
    rescans: list[Rescan] = []
    aside: list[Aside] = []  # by stage, kind and record: the latest stays
    taken_up: list[Aside] = []  # set aside no more
    topics: list[Redacted[Topic]] = []
    topic_runs: list[TopicRun] = []
    topic_places: list[TopicPlace] = []  # by feature and topic
    topics_forgotten: list[str] = []  # topic ids: they and their places go
    erasures: list[Erasure] = []


def cursor_behind(created_at: datetime, seq: int) -> int:
    """Return the cursor behind a row of a list that is in the order of (`created_at`, arrival)."""
    return ((to_micros(created_at) + _BEFORE_ALL) << _SEQ_BITS) | seq


def cut_cursor(cursor: int) -> tuple[int, int]:
    """Return the time, in microseconds, and the `seq` that a cursor of `cursor_behind` was made of."""
    return (cursor >> _SEQ_BITS) - _BEFORE_ALL, cursor & ((1 << _SEQ_BITS) - 1)
