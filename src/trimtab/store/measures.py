"""What the engine asks of a hot store to measure itself, a part of `HotStore`: ballots, signals, work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from trimtab.records import WorkKind, WorkLog, WorkSource
from trimtab.store.exchange import Page, Query

__all__ = ["Ballot", "CorrectionTime", "Judged", "MeasureStore", "WorkSum"]


class Ballot(NamedTuple):
    """What one person said of one answer: `vote` in [0, 1], 1 = bad."""

    inference_id: str
    version_id: str | None
    voter_id: str
    vote: float
    created_at: datetime
    segments: Mapping[str, str]


class Judged(NamedTuple):
    """The outcome of one answer, as much as it takes to say whether anybody dealt with it."""

    inference_id: str
    version_id: str | None
    created_at: datetime
    voted_at: datetime | None
    p_bad: float
    segments: Mapping[str, str]


class CorrectionTime(NamedTuple):
    """A correction that still holds, and when it was given."""

    feedback_id: str
    created_at: datetime


class WorkSum(NamedTuple):
    """The minutes of one kind and source, and how many entries they come of."""

    kind: WorkKind
    source: WorkSource
    entries: int
    minutes: float


class MeasureStore(Protocol):
    """What measuring reads beside the lists: each verb reads a bounded number of rows, or sums in the database."""

    def ballots(self, project_id: str, feature: str, since: datetime, until: datetime, limit: int) -> list[Ballot]:
        """Return at most `limit` votes of known people on answers created in [since, until), newest first."""
        ...

    def judgements(self, project_id: str, feature: str, since: datetime, until: datetime, limit: int) -> list[Judged]:
        """Return at most `limit` outcomes, none withdrawn, of answers created in [since, until), oldest first."""
        ...

    def reviewed(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, datetime]:
        """Return when a reviewer first closed an item about each of these answers that one did."""
        ...

    def correction_times(
        self, project_id: str, feature: str, since: datetime, until: datetime, limit: int
    ) -> list[CorrectionTime]:
        """Return at most `limit` corrections given in [since, until) that are joined and still hold, newest first."""
        ...

    def work_log(self, project_id: str, query: Query) -> Page[WorkLog]:
        """Return one page of the log of work; times are compared with `at`."""
        ...

    def work_minutes(self, project_id: str, feature: str | None, since: datetime, until: datetime) -> list[WorkSum]:
        """Return the minutes worked in [since, until) by kind and source, in their order; of all features if None."""
        ...
