"""What the engine asks of a lake, as a protocol. One contract suite runs over every place it can lie in.

A lake table holds the rows of one table of the hot store for good, in small commits. The lake alone knows how far it
is: `cursor` is the seq of the last row that was offered to it, kept in the same commit as the rows. Nobody keeps a
second cursor, because two can disagree after a crash.

All verbs are synchronous, may be called from any thread, and raise `Unavailable` when the lake cannot be read or
written now. Verbs that change a table take the lake's one turn first and raise `Conflict` when somebody else has it:
two compactions at once would multiply rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from trimtab.store.census import CensusStore
from trimtab.store.ports import EventStore, JudgementStore, RetentionStore, Stored

__all__ = [
    "LAKE_TABLES",
    "Erased",
    "HotRows",
    "LakeStore",
    "LakeTable",
    "Progress",
    "Span",
    "TableStats",
    "Told",
    "Verified",
]

LakeTable = Literal["inferences", "feedback", "outcomes"]
LAKE_TABLES: tuple[LakeTable, ...] = ("inferences", "feedback", "outcomes")

Progress = Callable[[str, int, int], None]
"""Told what is being worked on, how many parts of it are done, and of how many."""


class HotRows(EventStore, JudgementStore, RetentionStore, CensusStore, Protocol):
    """The part of the hot store that is shipped and compared."""


class Span(NamedTuple):
    """Which rows to read: of one project and feature (None: all), created in [since, until), seq in (after, upto]."""

    project_id: str | None = None
    feature: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    upto: int | None = None


class TableStats(NamedTuple):
    """What a table holds now: rows and files by its log, bytes of those files, and the last seq offered to it."""

    table: LakeTable
    rows: int
    files: int
    size_bytes: int
    version: int
    cursor: int


class Erased(NamedTuple):
    """The receipt of an erasure: rows removed per table, and files that left the disk."""

    rows: dict[str, int]
    files: int


class Told(NamedTuple):
    """What the lake holds of people, by id: their inferences, and all feedback by them or on those."""

    inferences: list[str]
    feedback: list[str]


class Verified(NamedTuple):
    """What was found in one table; `sound` when nothing of it is wrong.

    `missing_files` are named by the newest version and not there, `spare_files` the other way round (of older versions
    or left by killed writers: harmless, vacuum removes them in time; on an object store also such as are gone),
    `duplicates` rows that are there more than once, `gaps` rows that the hot store holds below the cursor and the lake
    does not, `returned` rows of people who were erased.
    """

    table: LakeTable
    rows: int
    files: int
    missing_files: int
    spare_files: int
    duplicates: int
    gaps: int
    returned: int

    @property
    def sound(self) -> bool:
        """Whether every row is there once and nothing else is."""
        return not (self.missing_files or self.duplicates or self.gaps or self.returned)


class LakeStore(Protocol):
    """The whole lake."""

    def cursor(self, table: LakeTable) -> int:
        """Return the seq of the last row offered to the table (0 at first): what the lake holds reaches to there."""
        ...

    def append(self, table: LakeTable, rows: Sequence[Stored[Any]], *, after: int) -> int:
        """Add the rows, all or none, and move the cursor to the last one's seq; return how many were kept.

        `after` is the cursor the rows were selected after; Conflict, with nothing written, when the lake stands
        elsewhere by now: select again. Rows of erased people are dropped, which moves the cursor all the same.
        When this raises Unavailable the rows may have been added or not: `cursor` says which. Files and log are
        synced to a local disk when this returns. Raises ValueError when seqs do not rise from `after`.
        """
        ...

    def read(self, table: LakeTable, span: Span, *, batch_rows: int = 8192) -> Iterator[list[Stored[Any]]]:
        """Yield the rows of the span in lists, in no order, as of one moment: commits meanwhile change nothing.

        Outcomes come with every revision that was shipped; the highest seq of an inference is its latest.
        """
        ...

    def told(self, project_id: str, user_ids: Iterable[str]) -> Told:
        """Return the ids of what `erase` would remove of these people. A feedback may name an inference in any way."""
        ...

    def erase(
        self,
        project_id: str,
        user_ids: Iterable[str],
        *,
        feedback_ids: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Erased:
        """Remove all that these people said or were told, physically: no byte of it is left in any file.

        That is their inferences with all feedback and outcomes on them, their feedback, outcomes that rest on their
        votes, and the feedback named. A tombstone is written first, and every later append drops their rows. Killed in
        between, a second call ends the work; a call with nothing to remove changes nothing.
        """
        ...

    def compact(self, table: LakeTable, *, progress: Progress | None = None) -> int:
        """Rewrite days of many small files into few large ones; return how many files became fewer.

        The rows are counted before and after each day; a difference undoes it and raises Unavailable.
        """
        ...

    def vacuum(self, table: LakeTable, *, retention_hours: int, progress: Progress | None = None) -> int:
        """Remove files that no version of the last `retention_hours` names, orphans too; return how many.

        On an object store the number includes files that an earlier call removed, while the log remembers them.
        """
        ...

    def verify(self, table: LakeTable, hot: HotRows | None, *, progress: Progress | None = None) -> Verified:
        """Compare rows, files and the log with each other and, where one is given, with the hot store."""
        ...

    def holds(self, table: LakeTable, hot: HotRows, *, after: int, upto: int) -> bool:
        """Say whether the table holds every row that the hot store holds in (after, upto], but for erased people's.

        Compares places and ids. It proves what the cursor promises, before rows leave the hot store for good.
        """
        ...

    def stats(self, table: LakeTable) -> TableStats:
        """Return counts from the table's log; no data is read."""
        ...

    def close(self) -> None:
        """Let go of every table. A second call does nothing."""
        ...
