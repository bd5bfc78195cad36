"""What the engine asks of a hot store beside the loop: redaction, retention, erasure, topics, datasets and so on.

The rules of `trimtab.store.ports` hold here too, which gathers these protocols into `HotStore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from trimtab.records import (
    Dataset,
    Erasure,
    Job,
    JobState,
    KnowledgePatch,
    PatchState,
    RedactionSettings,
    Topic,
    TopicRun,
    TopicState,
)
from trimtab.store.erasing import Gone
from trimtab.store.exchange import (
    Aside,
    Due,
    HotSpan,
    Page,
    Place,
    PurgedKind,
    PurgeLot,
    PurgeMark,
    PurgeWalk,
    Query,
    Rescan,
    RescanKind,
    Stale,
    Stored,
    StreamKind,
    TopicPlace,
)

__all__ = [
    "AsideStore",
    "DatasetStore",
    "ErasureStore",
    "JobStore",
    "KnowledgeStore",
    "RedactionStore",
    "RetentionStore",
    "TopicStore",
]


class DatasetStore(Protocol):
    """What training sets were made."""

    def dataset(self, project_id: str, dataset_id: str) -> Dataset | None:
        """Return one dataset, a deleted one too."""
        ...

    def datasets(self, project_id: str, query: Query) -> Page[Dataset]:
        """Return one page of the datasets that are not deleted; feature and version of the query say nothing here."""
        ...


class KnowledgeStore(Protocol):
    """What is to change in apps' indexes."""

    def patch(self, project_id: str, patch_id: str) -> KnowledgePatch | None:
        """Return one patch."""
        ...

    def patches(self, project_id: str, query: Query, states: Sequence[PatchState] = ()) -> Page[KnowledgePatch]:
        """Return one page of patches, of these states if any are given."""
        ...

    def due_patches(
        self, project_id: str, states: Sequence[PatchState], now: datetime, limit: int, *, checks: int | None = None
    ) -> list[Stored[KnowledgePatch]]:
        """Return at most `limit` patches of these states whose `next_at` has come, oldest first.

        With `checks` only what an index can be asked for: upserts that were tried fewer times than that.
        """
        ...


class JobStore(Protocol):
    """What was trained."""

    def job(self, project_id: str, job_id: str) -> Job | None:
        """Return one training job."""
        ...

    def jobs(self, project_id: str, query: Query, states: Sequence[JobState] = ()) -> Page[Job]:
        """Return one page of training jobs, of the given states if any; the version of the query says nothing here."""
        ...


class RedactionStore(Protocol):
    """What projects want redacted, and which rows were cleaned by what."""

    def redactions(self, project_id: str) -> list[RedactionSettings]:
        """Return every revision of the project's redaction settings, oldest first."""
        ...

    def stale(
        self, kind: RescanKind, project_id: str, rules: Sequence[str], *, after: int, limit: int, look: int
    ) -> Stale:
        """Return at most `limit` rows of the project after `after` that went through none of `rules`, in order.

        At most `look` rows are looked at; `reached` is the last of them, or the last returned when `limit` ended it.
        Rows that keep no rules (versions, cases and their answers, features, users) are all returned.
        """
        ...

    def last_seq(self, kind: RescanKind) -> int:
        """Return the place of the newest row of the kind, of all projects (0 when there never was one)."""
        ...

    def rescans(self, project_id: str) -> dict[RescanKind, Rescan]:
        """Return how far the project's rows have been cleaned again, by kind."""
        ...

    def count_rules(self, project_id: str) -> dict[str, dict[RescanKind, int]]:
        """Return how many inferences and feedback events went through which rules. Reads both tables whole."""
        ...


class AsideStore(Protocol):
    """Which rows a stage could not handle and went on without. `commit` writes them."""

    def asides(
        self, project_id: str | None = None, *, stage: str | None = None, again: bool | None = None, limit: int = 1000
    ) -> list[Aside]:
        """Return at most `limit` rows that are set aside, the oldest first; of all projects where none is named."""
        ...

    def count_asides(self) -> dict[tuple[str, str], int]:
        """Return how many rows of all projects are set aside, by stage and kind."""
        ...

    def place_after(self, kind: StreamKind, seq: int) -> Place | None:
        """Return where the first row of a stream after `seq` stands, without reading what is in it."""
        ...


class RetentionStore(Protocol):
    """What leaves by age, and how far that has gone."""

    def purgeable(self, walk: PurgeWalk, due: Due, *, after: int, limit: int) -> PurgeLot:
        """Look at no more than `limit` rows after `after` and return those that may go; nothing is changed.

        An answer goes together with all feedback that is joined to it, when all of them are due, its outcome is at or
        below `upto`, and no audit waits for a reviewer's word on it. Feedback goes by itself once no answer here has
        it; outcomes and opinions once their answer is gone; closed sessions once none of their answers is left, by
        `before` of inferences.
        """
        ...

    def purge(self, lot: PurgeLot) -> dict[PurgedKind, int]:
        """Remove the lot in one transaction with what was derived from it, and count it; return the rows by kind.

        Counters stay. A lot that was removed before changes nothing.
        """
        ...

    def purge_votes(
        self, before: datetime, busy: Sequence[str], *, after: tuple[str, str], limit: int
    ) -> tuple[str, str] | None:
        """Remove at most `limit` memories of who was counted before `before`, but for those of the `busy` projects.

        Returns the place from which to go on, None at the end. Give ("", "") first.
        """
        ...

    def purge_marks(self) -> dict[PurgedKind, PurgeMark]:
        """Return how far each kind has gone."""
        ...

    def purged_until(self, kind: PurgedKind) -> datetime | None:
        """Return when the last of the purged rows of that kind had arrived, from memory; None where none has gone."""
        ...

    def places(self, kind: PurgedKind, *, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """Return at most `limit` of the kind's rows in (after, upto], rising: place and (its inference's) id."""
        ...

    def mark_safe(self, kind: PurgedKind, *, safe: int, noted: int, at: datetime) -> None:
        """Remember where the lake stood at that moment, and up to where rows are in it for good."""
        ...

    def hot_span(self, kind: PurgedKind, *, count: bool = True) -> HotSpan:
        """Return what is held of that kind. Counting reads an index whole; without `count` the number is 0."""
        ...

    def tidy(self, before: datetime) -> int:
        """Give back what room can be given back without holding up writers, of times before `before`.

        Returns how many partitions went. PostgreSQL drops weeks that are empty; SQLite uses free pages again.
        """
        ...


class TopicStore(Protocol):
    """What people keep saying, as the last run found it. `feature` None means the whole project, not any feature."""

    def topic(self, project_id: str, topic_id: str) -> Topic | None:
        """Return one topic."""
        ...

    def topics(self, project_id: str, feature: str | None, states: Sequence[TopicState] = ()) -> list[Topic]:
        """Return the topics of the feature, of these states if any are given, the largest first."""
        ...

    def topic_features(self, project_id: str) -> list[str | None]:
        """Return the features that have topics, None first where the whole project has."""
        ...

    def topic_place(self, project_id: str, topic: Topic) -> TopicPlace | None:
        """Return where the topic lies and which texts belong to it."""
        ...

    def topic_places(self, project_id: str, feature: str | None) -> list[TopicPlace]:
        """Return the places of all topics of the feature, and of the texts that belong to none."""
        ...

    def topic_run(self, project_id: str, run_id: str) -> TopicRun | None:
        """Return one run."""
        ...

    def topic_runs(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[TopicRun]:
        """Return one page of runs, of these states if any are given; times are compared with `asked_at`.

        `query.feature` matches runs that looked into this feature alone.
        """
        ...

    def open_topic_runs(self, limit: int) -> list[Stored[TopicRun]]:
        """Return at most `limit` runs of all projects that are asked for or running, the one asked for first ahead."""
        ...


class ErasureStore(Protocol):
    """Removing people: a tombstone, a list of what is theirs, then the rows. Every verb may be called again."""

    def erasure(self, project_id: str, erasure_id: str) -> Erasure | None:
        """Return one erasure."""
        ...

    def erasures(self, project_id: str, query: Query) -> Page[Erasure]:
        """Return one page of erasures; times are compared with `asked_at`."""
        ...

    def working_erasures(self, limit: int) -> list[Stored[Erasure]]:
        """Return at most `limit` erasures of all projects that are not done, the one asked for first ahead."""
        ...

    def bury(self, project_id: str, erasure: Erasure, user_ids: Sequence[str]) -> Erasure:
        """Make it durable that this person, under every form of their id, goes: nothing of theirs is taken in any more.

        What was being written meanwhile is either found by what follows or refused. Returns the erasure that is under
        way for the same person where there is one.
        """
        ...

    def gone(self, project_id: str, erasure_id: str) -> Gone:
        """Return what the erasure has listed so far; nothing once it is closed."""
        ...

    def collect(
        self, project_id: str, erasure_id: str, *, inferences: Iterable[str] = (), feedback: Iterable[str] = ()
    ) -> Gone:
        """List, with tombstones, what of this store is the person's, and the ids that other places found.

        That is their inferences, their feedback, and everybody's feedback on their inferences. Reads events whole.
        """
        ...

    def erase(self, project_id: str, erasure: Erasure) -> Erasure:
        """Remove everything listed with all that hangs on it, in small transactions; return the receipt so far.

        Outcomes of others' inferences on which the person spoke are asked to be judged again (a Backfill of the scope
        "erasure"). Counters stay: they hold no person.
        """
        ...

    def judged(self, project_id: str, erasure_id: str) -> bool:
        """Say whether everything the person spoke on has been judged again without them."""
        ...

    def close_erasure(self, project_id: str, erasure: Erasure) -> Erasure:
        """Throw the list away and write the receipt: from now on the person's id is nowhere."""
        ...

    def scrub(self) -> list[str]:
        """Take off the disk what was deleted; return what is to be known about what is left.

        SQLite leaves nothing. PostgreSQL is vacuumed. Raises `Unavailable` while a long read holds it up.
        """
        ...
