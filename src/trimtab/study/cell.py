"""One cell of a study: an arm lives through a world, and what became of it is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import numpy as np
from msgspec import Struct

from trimtab.measure.velocity import velocity
from trimtab.store.ports import Query
from trimtab.study.arms import Arm, DocumentTally
from trimtab.study.stream import FEATURE, PROJECT, Stream
from trimtab.study.world import START

__all__ = ["MONTH_WEEKS", "CellResult", "Fix", "Month", "live_through"]

MONTH_WEEKS = 4
S = TypeVar("S", bound=Stream)


class Month(Struct, frozen=True, kw_only=True):
    """One month (four weeks; the last may be shorter) of a cell. Shares lie in [0, 1]."""

    month: int
    weeks: int
    accuracy: float
    fresh_accuracy: float
    votes: int
    negatives: int
    labels: int
    incidents: int
    promoted: int


class Fix(Struct, frozen=True, kw_only=True):
    """One incident's way in days, None for what did not happen by the end; `age` is how long it was watched."""

    to_detect: float
    to_change: float | None
    to_verified: float | None
    age: float


class CellResult(Struct, frozen=True, kw_only=True):
    """How one cell fared. Accuracies and losses are percentage points; losses against the cell's own start.

    `live` is what users got, week by week; the start is the last four calm weeks, the end the last four of all. `fresh`
    are texts that are never asked, by month. `hours` are assumed, by kind; `seconds` is the processor time measured.
    """

    live_start: float
    live: list[float]
    fresh_start: float
    fresh: list[float]
    months: list[Month]
    labels: int
    errors_found: int
    hours: dict[str, float]
    reactive_hours: float
    incidents: int
    changes: dict[str, int]
    promoted: int
    exposed: int
    failed: int
    fixes: list[Fix]
    exemplars: int
    cases: int
    reference: float | None
    seconds: float
    documents: DocumentTally | None = None

    @property
    def live_end(self) -> float:
        """Accuracy of the last four weeks."""
        return float(np.mean(self.live[-MONTH_WEEKS:]))

    @property
    def live_loss(self) -> float:
        """What was lost between the start and the end."""
        return self.live_start - self.live_end

    @property
    def mean_loss(self) -> float:
        """What was lost on average over all weeks."""
        return self.live_start - float(np.mean(self.live))

    @property
    def fresh_loss(self) -> float:
        """What was lost on texts that were never asked."""
        return self.fresh_start - self.fresh[-1]


def live_through(session: S, arm: Arm[S], progress: Callable[[int], None]) -> CellResult:
    """Live through all weeks of the session's world with that arm."""
    began = time.process_time()
    ledger = _Ledger(session, arm)
    for week in range(session.world.dials.weeks):
        session.serve_week(week, lambda now: arm.after(session, now), ends=arm.ends)
        ledger.week_is_over(week)
        progress(week + 1)
    return ledger.result(time.process_time() - began)


class _Ledger(Generic[S]):
    """Counts as the weeks go by."""

    def __init__(self, session: S, arm: Arm[S]) -> None:
        self._session = session
        self._arm = arm
        self._start = _right(session, START - timedelta(weeks=MONTH_WEEKS))
        self._live: list[float] = []
        self._fresh = [session.accuracy(session.world.fresh_cases(-1))]
        self._labels = 0
        self._counts = self._loop_counts()
        self._months: list[Month] = []

    def week_is_over(self, week: int) -> None:
        session = self._session
        begun = START + timedelta(weeks=week)
        self._live.append(_right(session, begun))
        weeks = week % MONTH_WEEKS + 1
        if weeks < MONTH_WEEKS and week + 1 < session.world.dials.weeks:
            return
        if week + 1 == session.world.dials.weeks:
            self._arm.finish(session)
        self._fresh.append(session.accuracy(session.world.fresh_cases(week)))
        items = session.since(begun - timedelta(weeks=weeks - 1))
        incidents, promoted = self._loop_counts()
        self._months.append(
            Month(
                month=len(self._months) + 1,
                weeks=weeks,
                accuracy=round(float(np.mean([item.good for item in items])), 4),
                fresh_accuracy=round(self._fresh[-1], 4),
                votes=sum(item.vote is not None for item in items),
                negatives=sum(item.vote == 0 for item in items),
                labels=self._arm.labels - self._labels,
                incidents=incidents - self._counts[0],
                promoted=promoted - self._counts[1],
            )
        )
        self._labels, self._counts = self._arm.labels, (incidents, promoted)

    def result(self, seconds: float) -> CellResult:
        arm, store = self._arm, self._session.engine.store
        changes = [row.record for row in store.changes(PROJECT, Query(feature=FEATURE, limit=1000)).rows]
        states = [change.state for change in changes]
        monitors = store.monitors(PROJECT, FEATURE)
        incidents, promoted = self._loop_counts()
        until = self._session.clock.now()
        told = velocity(store, PROJECT, since=START, until=until, feature=FEATURE)
        return CellResult(
            live_start=_points(self._start),
            live=[_points(share) for share in self._live],
            fresh_start=_points(self._fresh[0]),
            fresh=[_points(share) for share in self._fresh[1:]],
            months=self._months,
            labels=arm.labels,
            errors_found=arm.errors_found,
            hours={kind: round(hours, 2) for kind, hours in arm.hours.items()},
            reactive_hours=round(arm.reactive, 2),
            incidents=incidents,
            changes={state: states.count(state) for state in sorted(set(states))},
            promoted=promoted,
            exposed=told.changes_exposed,
            failed=told.changes_failed,
            fixes=[
                Fix(
                    to_detect=_days(each.to_detect) or 0.0,
                    to_change=_days(each.to_change),
                    to_verified=_days(each.to_verified_fix),
                    age=_days(each.age) or 0.0,
                )
                for each in told.each
            ],
            exemplars=len(self._session.stable().exemplars),
            cases=len(store.cases(PROJECT, FEATURE)),
            reference=monitors[0].reference if monitors else None,
            seconds=round(seconds, 1),
            documents=arm.documents(self._session),
        )

    def _loop_counts(self) -> tuple[int, int]:
        store, query = self._session.engine.store, Query(feature=FEATURE, since=START, limit=1000)
        changes = store.changes(PROJECT, query).rows
        found = store.incidents(PROJECT, query).rows
        return len(found), sum(row.record.promoted_at is not None for row in changes)


def _right(session: Stream, since: datetime) -> float:
    items = session.since(since)
    return float(np.mean([item.good for item in items])) if items else 0.0


def _points(share: float) -> float:
    return round(100 * share, 3)


def _days(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 86_400, 2)
