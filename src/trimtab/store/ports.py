"""What the engine asks of a hot store, as protocols. One contract suite runs over every backend.

Times go in and come out as UTC `datetime`, ids as canonical text, whatever a backend keeps. Every verb takes the
project whose rows it may touch; none ever returns a row of another. All verbs are synchronous, may be called from any
thread, and raise `Unavailable` when the database cannot be read or written now (disk full, locked too long, closed).

`seq` is a row's place in its table's order of arrival: a positive integer, given at commit, never reused. A stage reads
"after seq" and commits its new cursor together with what it made of the rows, so that a crash repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trimtab.records import (
    ApiKey,
    AuditItem,
    Calibration,
    Correction,
    Feature,
    Feedback,
    FeedbackKind,
    Inference,
    Opinion,
    Outcome,
    Project,
    Rollout,
    User,
    Version,
)
from trimtab.store.census import CensusStore
from trimtab.store.exchange import (
    ArmVotes,
    Arrival,
    Aside,
    AsideKind,
    Backfill,
    Count,
    Due,
    Exposure,
    HotSpan,
    Keep,
    Packed,
    Page,
    Place,
    PurgedKind,
    PurgeLot,
    PurgeMark,
    PurgeWalk,
    Query,
    Rescan,
    RescanKind,
    ReviewLoad,
    Session,
    Stale,
    Step,
    Stored,
    StreamKind,
    Switch,
    Target,
    TopicPlace,
    Turn,
    VersionScores,
    VersionSummary,
    Vote,
    Writes,
)
from trimtab.store.loop import LoopStore
from trimtab.store.measures import Ballot, CorrectionTime, Judged, MeasureStore, WorkSum
from trimtab.store.people import PeopleStore
from trimtab.store.upkeep import (
    AsideStore,
    DatasetStore,
    ErasureStore,
    JobStore,
    KnowledgeStore,
    RedactionStore,
    RetentionStore,
    TopicStore,
)

__all__ = [
    "ArmVotes",
    "Arrival",
    "Aside",
    "AsideKind",
    "AsideStore",
    "Backfill",
    "Ballot",
    "CatalogStore",
    "CorrectionTime",
    "Count",
    "DatasetStore",
    "Due",
    "ErasureStore",
    "EventStore",
    "Exposure",
    "HotSpan",
    "HotStore",
    "Judged",
    "JudgementStore",
    "Keep",
    "KnowledgeStore",
    "LoopStore",
    "MeasureStore",
    "Packed",
    "Page",
    "PeopleStore",
    "Place",
    "PurgeLot",
    "PurgeMark",
    "PurgeWalk",
    "PurgedKind",
    "Query",
    "RedactionStore",
    "Rescan",
    "RescanKind",
    "RetentionStore",
    "ReviewLoad",
    "Session",
    "Stale",
    "Step",
    "Stored",
    "StreamKind",
    "Switch",
    "Target",
    "TopicPlace",
    "TopicStore",
    "Turn",
    "VersionScores",
    "VersionSummary",
    "Vote",
    "WorkSum",
    "Writes",
]


class EventStore(Protocol):
    """What people and models said: append-only."""

    def append(self, arrivals: Sequence[Arrival]) -> list[bool | None]:
        """Make the events durable in one transaction and say by position which were new (False: a duplicate id).

        None: it is of a person who was erased, or about what was erased with one, and is not kept; the tombstone of
        another process counts from its commit on.

        When this returns, the rows survive `kill -9` and power loss; when it raises, none of them is stored. An id seen
        before in its project, in this call or any earlier one, is a duplicate: the first content stays. Inferences and
        feedback each have ids of their own. Counters move in the same transaction, by rows really inserted.
        Raises `WallBreach` for an event that did not come from the redactor.
        """
        ...

    def append_packed(self, packed: Packed) -> list[bool | None]:
        """Do what `append` does with events whose rows are made already."""
        ...

    def inferences_after(self, seq: int, limit: int) -> list[Stored[Inference]]:
        """Return at most `limit` inferences of all projects that arrived after `seq`, in order, none skipped ever."""
        ...

    def feedback_after(self, seq: int, limit: int) -> list[Stored[Feedback]]:
        """Return at most `limit` feedback events of all projects that arrived after `seq`, in order, none skipped."""
        ...

    def inferences(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, Inference]:
        """Return those of the inferences that are stored, by id."""
        ...

    def feedback(self, project_id: str, feedback_ids: Sequence[str]) -> dict[str, Feedback]:
        """Return those of the feedback events that are stored, by id."""
        ...

    def list_inferences(self, project_id: str, query: Query) -> Page[Inference]:
        """Return one page of inferences.

        In the order of arrival; where the query names a feature, version or time in that of (`created_at`, arrival).
        """
        ...

    def list_feedback(self, project_id: str, query: Query) -> Page[Feedback]:
        """Return one page of feedback, in an order as that of inferences.

        `query.feature` matches the feedback's own or its joined inference's feature, `query.version_id` the joined
        inference's version.
        """
        ...

    def inbox(
        self, project_id: str, query: Query, *, kind: FeedbackKind | None = None, negative: bool | None = None
    ) -> Page[Feedback]:
        """Return one page of joined feedback that a person should read, in the order of (`created_at`, arrival).

        That is what has words (but for edits, which are what somebody did) or calls the answer bad; nothing that takes
        back, nothing of judges. Feature and version are the joined inference's. `negative` asks for what calls it bad,
        or for the rest. With `kind` or `negative` a page may end early, with a `next`, where few of many rows match.
        """
        ...

    def sample(
        self, project_id: str, feature: str, since: datetime, until: datetime, count: int, seed: int
    ) -> list[Inference]:
        """Return `count` inferences created in [since, until), drawn uniformly without replacement, or all if fewer.

        Those that were drawn for an audit before are left out. The same seed over the same rows draws the same.
        """
        ...

    def exposures(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[Exposure]:
        """Return served inferences per (version, arm) created in [since, until), from counters by the minute.

        The minutes in which `since` and `until` lie count whole.
        """
        ...


class JudgementStore(Protocol):
    """What the engine concluded about inferences."""

    def resolve(self, project_id: str, targets: Sequence[Target]) -> dict[Target, str]:
        """Return the inference id for each known target (the latest `created_at` where several share a key)."""
        ...

    def waiting(self, project_id: str, targets: Sequence[Target]) -> list[tuple[Target, Feedback]]:
        """Return orphaned feedback that waits for one of the targets, in order of arrival."""
        ...

    def aimed(self, project_id: str, targets: Sequence[Target]) -> list[tuple[Target, Feedback]]:
        """Return all feedback that was said about one of the targets, joined or not, in order of arrival."""
        ...

    def joined(self, project_id: str, feedback_ids: Sequence[str]) -> dict[str, str]:
        """Return the inference id of each of these that is joined."""
        ...

    def joined_to(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[Feedback]]:
        """Return all feedback that is joined to each inference, in order of arrival."""
        ...

    def turns(self, project_id: str, session_ids: Sequence[str], *, limit: int = 1000) -> dict[str, list[Turn]]:
        """Return the newest `limit` answers of each session in the order of (`created_at`, id)."""
        ...

    def sessions(self, project_id: str, session_ids: Sequence[str]) -> dict[str, Session]:
        """Return those of the sessions that are known."""
        ...

    def quiet_sessions(self, before: datetime, limit: int) -> list[Session]:
        """Return at most `limit` open sessions of all projects where nothing happened since `before`, oldest first."""
        ...

    def backfills(self, limit: int) -> list[Backfill]:
        """Return at most `limit` backfills of all projects that are not done, the one asked for first ahead."""
        ...

    def outcomes_in(self, backfill: Backfill, limit: int) -> list[Outcome]:
        """Return at most `limit` outcomes of the backfill's scope after its `after`, by id; none withdrawn."""
        ...

    def opinions(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[Opinion]]:
        """Return the latest opinions (retracted ones too) on each inference, ordered by (created_at, feedback_id)."""
        ...

    def outcomes_after(self, seq: int, limit: int) -> list[Stored[Outcome]]:
        """Return at most `limit` outcomes of all projects written or rewritten after `seq`, in that order.

        Here alone those that were `withdrawn` come, too: so whoever follows learns that a judgement was taken back.
        """
        ...

    def arm_votes(self, project_id: str, feature: str, since: datetime) -> list[ArmVotes]:
        """Return the votes on the feature's answers created since then, by arm. Reads them all."""
        ...

    def outcomes(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return the outcomes of those inferences that have one, not withdrawn."""
        ...

    def list_outcomes(self, project_id: str, query: Query) -> Page[Outcome]:
        """Return one page of outcomes, none withdrawn. One rewritten while pages are read moves to the newest end."""
        ...

    def counts(
        self,
        project_id: str,
        *,
        since: datetime,
        until: datetime,
        step: Step,
        metrics: Sequence[str],
        feature: str | None = None,
        group_by: str | None = None,
    ) -> list[Count]:
        """Return counters of what happened in [since, until), ordered by start, feature, version, group and metric.

        The minutes in which `since` and `until` lie count whole. A count of step "all" starts at `since`, every other
        at its own whole minute, hour or day; what there is none of is left out. `group_by` splits by the value of one
        of the groupings in an outcome's `segments`; then only metrics of outcomes are counted, and outcomes without
        that grouping are not. Groups are counted by the hour: the hours at both ends count whole, and step "minute"
        raises `InvalidField`.

        Of inferences: `inferences`, `errors`, and `latency_ms`, `input_tokens`, `output_tokens`, `cost_usd` (those that
        have it, and its sum). Of outcomes, in the minute of their inference: `judged`, `negative` (p_bad > 0.5),
        `estimate` and `estimate_squared` (those that have one, and the sum of it or its square), `voted` (those that
        users voted on, and the sum of their votes, 1 = bad), `vote_negative` (vote > 0.5). Of feedback, by its own time
        and without a version: `feedback.KIND` (how many, and the sum of their values), `retracted.KIND` for what takes
        another back; it counts under the feature that it names itself, under "" where it names none.

        Rows that are no longer kept were counted and stay so.
        """
        ...

    def summary(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[VersionSummary]:
        """Return counts per version over inferences created in [since, until), whole minutes as in `counts`."""
        ...

    def scores(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[VersionScores]:
        """Return sums per version over inferences created in [since, until), judged or not; minutes as in `counts`."""
        ...

    def voters(self, project_id: str, feature: str, since: datetime, until: datetime) -> dict[str | None, int]:
        """Return how many distinct people voted on answers created in [since, until), per version that any voted on.

        People cannot be added up, so this reads the outcomes with a vote in the span, one by one.
        """
        ...

    def corrections(self, project_id: str, query: Query) -> Page[Correction]:
        """Return the latest, not retracted corrections that are joined to an inference.

        `since` and `until` are compared with the feedback's `created_at`, feature and version with the inference's. A
        page is in the order in which the opinions became known; a corrected correction moves to the newest end.
        """
        ...

    def orphans(self, project_id: str, query: Query) -> Page[Feedback]:
        """Return one page of feedback whose target has not arrived; `query.feature` matches the feedback's own."""
        ...


class CatalogStore(Protocol):
    """What there is: projects, keys, features, versions and what each feature serves."""

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key with that hash, revoked or not."""
        ...

    def keys(self, project_id: str) -> list[ApiKey]:
        """Return all keys of the project, oldest first."""
        ...

    def projects(self) -> list[Project]:
        """Return all projects, oldest first."""
        ...

    def features(self, project_id: str) -> list[Feature]:
        """Return all features, by name."""
        ...

    def version(self, project_id: str, feature: str, version_id: str) -> Version | None:
        """Return one version."""
        ...

    def versions(self, project_id: str, feature: str) -> list[Version]:
        """Return all versions of a feature, oldest first."""
        ...

    def rollout(self, project_id: str, feature: str) -> Rollout | None:
        """Return what the feature serves now."""
        ...

    def rollouts(self, project_id: str) -> dict[str, Rollout]:
        """Return by feature what each serves now."""
        ...

    def users(self, project_id: str, user_ids: Sequence[str]) -> dict[str, User]:
        """Return what is known of these users."""
        ...

    def segments(self, project_id: str, feature: str) -> dict[str, list[str]]:
        """Return the values that each grouping of the feature's answers has, sorted."""
        ...

    def calibration(self, project_id: str, feature: str) -> Calibration | None:
        """Return the newest calibration of the feature."""
        ...

    def audits(self, project_id: str, query: Query) -> Page[AuditItem]:
        """Return one page of what was drawn for audits; times are compared with the inference's `created_at`."""
        ...

    def rollout_history(self, project_id: str, feature: str) -> list[Rollout]:
        """Return every rollout the feature ever had, oldest first: the audit of pointer switches."""
        ...

    def rollouts_after(self, seq: int, limit: int) -> list[Stored[Rollout]]:
        """Return at most `limit` switches of all projects after `seq`, in order of arrival, whoever made them."""
        ...

    def last_rollout(self) -> int:
        """Return the place of the newest switch that `rollouts_after` would return (0 when there never was one)."""
        ...


class HotStore(
    EventStore,
    JudgementStore,
    CatalogStore,
    LoopStore,
    PeopleStore,
    RedactionStore,
    RetentionStore,
    AsideStore,
    TopicStore,
    DatasetStore,
    ErasureStore,
    JobStore,
    CensusStore,
    KnowledgeStore,
    MeasureStore,
    Protocol,
):
    """The whole hot store; `runtime/assemble.py` opens one, each stage takes the part it needs."""

    def check(self) -> None:
        """Write and read one row, or raise `Unavailable` saying what is wrong: the readiness probe."""
        ...

    def close(self) -> None:
        """Finish what is under way and close every connection and thread. A second call does nothing."""
        ...
