"""The retention stage: lets go of hot rows that are old, in the lake for good, and wanted by nobody.

What may go is decided here, what belongs together by the store: an answer leaves with all that was said about it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, cast, get_args

import structlog

from trimtab.clock import EPOCH
from trimtab.config import Settings
from trimtab.records import ChangeState
from trimtab.store.lake.port import LakeTable
from trimtab.store.ports import (
    CatalogStore,
    Due,
    JudgementStore,
    Keep,
    LoopStore,
    PurgedKind,
    PurgeLot,
    PurgeMark,
    PurgeWalk,
    Query,
    RetentionStore,
)
from trimtab.store.vectors.port import VectorStore

__all__ = ["RetentionStage", "windows"]

_LOOK = timedelta(hours=1)
_DUE_LASTS = timedelta(minutes=1)
_MARGIN = timedelta(days=1)
_TICK_ROWS = 2000
_TICK_S = 0.02
_LOT_S = 0.004  # of work in one transaction, which keeps writers waiting
_LEAST_LOT = 25
_OPEN_ROWS = 1000
_VOTE_ROWS = 1000
_KINDS: tuple[PurgedKind, ...] = get_args(PurgedKind)
_WALKS: tuple[PurgeWalk, ...] = get_args(PurgeWalk)
_UNFINISHED: tuple[ChangeState, ...] = ("building", "awaiting", "canary", "paused")


class _Store(CatalogStore, JudgementStore, LoopStore, RetentionStore, Protocol):
    """What this stage needs of the store."""


def windows(settings: Settings) -> dict[PurgedKind, timedelta]:
    """Return how long each kind stays; one that is missing stays for ever.

    None goes while a stage reads that far back: corrections for `playbook.lookback_days`, judgements for
    `outcome.window_days`.
    """
    retention = settings.retention
    least = {
        "inferences": settings.playbook.lookback_days,
        "feedback": settings.playbook.lookback_days,
        "outcomes": settings.outcome.window_days,
    }
    found: dict[PurgedKind, timedelta] = {}
    for kind in _KINDS:
        own = cast("float | None", getattr(retention, f"{kind}_days"))
        days = retention.hot_days if own is None else own
        if days:
            found[kind] = timedelta(days=max(days, least[kind]))
    return found


class _Wanted(dict[str, Keep]):
    """What each project wants kept, looked up when its first row comes by."""

    def __init__(self, look_up: Callable[[str], Keep]) -> None:
        super().__init__()
        self._look_up = look_up

    def __missing__(self, project_id: str) -> Keep:
        self[project_id] = found = self._look_up(project_id)
        return found


class RetentionStage:
    """Looks once an hour for what may go and lets it go in small lots, so that nobody waits for it.

    A tick takes 20 ms or 2,000 rows, whichever is less, and a lot 4 ms of work in its transaction: lots grow and
    shrink by what the last one took. Where it is, is kept in memory alone: a walk that dies begins anew, and what
    has gone is not there any more. Vectors go before their rows, so that a kill in between leaves no vector behind.

    `readers` are the cursors that must have passed a row of a kind; `waits_for` names those that must at the moment,
    and the age below which a row of that kind is not to go. `shipped` says where the lake stands now; rows go
    when they have been found in it a day after they came there, which the archive stage marks. Without a lake they go
    unshipped, which `retention.without_lake` must allow.
    """

    name = "retention"

    def __init__(
        self,
        store: _Store,
        settings: Settings,
        readers: Mapping[PurgedKind, Sequence[str]],
        *,
        waits_for: Callable[[PurgedKind], tuple[Sequence[str], timedelta]] | None = None,
        shipped: Callable[[LakeTable], int] | None = None,
        vectors: VectorStore | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
        effort: Callable[[], float] = time.thread_time,
    ) -> None:
        self._store = store
        self._windows = windows(settings)
        self._readers = readers
        self._waits_for = waits_for
        self._shipped = shipped
        self._vectors = vectors
        self._stopwatch = stopwatch
        self._effort = effort
        self._walks: deque[PurgeWalk] = deque()
        self._after = 0
        self._lot = _LEAST_LOT * 4
        self._due = Due(before={}, upto={})
        self._due_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._log = structlog.get_logger("trimtab.retention")

    def tick(self, now: datetime) -> int:
        """Take the walk under way a bounded way on, or begin one when it is time; return how many rows were seen."""
        if not self._windows or not self._under_way(now):
            return 0
        if self._due_at is None or now - self._due_at >= _DUE_LASTS:
            self._due, self._due_at = self._may_go(now), now
        began, seen = self._stopwatch(), 0
        while self._walks and seen < _TICK_ROWS and (seen == 0 or self._stopwatch() - began < _TICK_S):
            lot = self._store.purgeable(
                self._walks[0], self._due, after=self._after, limit=min(self._lot, _TICK_ROWS - seen)
            )
            self._let_go(lot)
            seen += lot.looked
            self._after = lot.reached
            if lot.ended:
                self._walks.popleft()
                self._after = 0
        if not self._walks:
            self._end(now)
        return seen

    def _under_way(self, now: datetime) -> bool:
        if self._walks:
            return True
        if self._looked_at is not None and now - self._looked_at < _LOOK:
            return False
        self._looked_at, self._due_at, self._after = now, None, 0
        self._walks.extend(_WALKS)
        return True

    def _let_go(self, lot: PurgeLot) -> None:
        if self._vectors is not None:
            for (project_id, kind), ids in lot.vectors.items():
                self._vectors.delete(project_id, kind, ids)
        if not lot.rows:
            return
        began = self._effort()  # not the time: most of that is waiting for other writers
        self._store.purge(lot)
        took = self._effort() - began
        if took > _LOT_S:
            self._lot = max(_LEAST_LOT, self._lot // 2)
        elif took < _LOT_S / 2:
            self._lot = min(_TICK_ROWS, self._lot * 2)

    def _end(self, now: datetime) -> None:
        """End a round: forget who was counted long ago, and give back room."""
        memory = self._windows.get("outcomes")
        if memory is not None:
            busy = [project.id for project in self._store.projects() if self._due.keep[project.id].since]
            place: tuple[str, str] | None = ("", "")
            while place is not None:
                place = self._store.purge_votes(now - memory - _MARGIN, busy, after=place, limit=_VOTE_ROWS)
        if "inferences" in self._windows:
            self._store.tidy(now - self._windows["inferences"])

    # ---------------------------------------------------------------- what may go

    def _may_go(self, now: datetime) -> Due:
        marks = self._store.purge_marks()
        return Due(
            before={kind: now - max(window, self._asked(kind)[1]) for kind, window in self._windows.items()},
            upto={kind: self._upto(kind, marks.get(kind, PurgeMark())) for kind in self._windows},
            keep=_Wanted(self._keep),
        )

    def _upto(self, kind: PurgedKind, mark: PurgeMark) -> int:
        places = [self._store.cursor(reader) for reader in (*self._readers.get(kind, ()), *self._asked(kind)[0])]
        if self._shipped is not None:
            places += [mark.safe, self._shipped(kind)]
        return min(places, default=0)

    def _asked(self, kind: PurgedKind) -> tuple[Sequence[str], timedelta]:
        return self._waits_for(kind) if self._waits_for is not None else ((), timedelta(0))

    def _keep(self, project_id: str) -> Keep:
        """Return what the project's open business needs, and what was made of people's words."""
        since: dict[str, datetime] = {}
        for feature, when in self._open(project_id):
            since[feature] = min(when, since.get(feature, when))
        words = frozenset(self._made_from(project_id))
        answers = self._store.joined(project_id, sorted(words)).values() if words else ()
        return Keep(since=since, inferences=frozenset(answers), feedback=words)

    def _open(self, project_id: str) -> Iterator[tuple[str, datetime]]:
        """Yield features about which something is open, and since when their answers are wanted for it."""
        latest = Query(limit=_OPEN_ROWS)
        for row in self._store.incidents(project_id, latest, states=("firing", "recovering")).rows:
            yield row.record.feature, min(row.record.onset_at, row.record.first_signal_at) - _MARGIN
        for change in self._store.changes(project_id, latest, states=_UNFINISHED).rows:
            yield change.record.feature, change.record.created_at - _MARGIN
        waiting = [each for each in self._store.backfills(_OPEN_ROWS) if each.project_id == project_id]
        if waiting:
            features = [feature.name for feature in self._store.features(project_id)]
            for each in waiting:
                yield from ((name, EPOCH) for name in ([each.key] if each.scope == "feature" else features))

    def _made_from(self, project_id: str) -> Iterator[str]:
        """Yield the feedback that golden cases and the exemplars served now were made from."""
        for feature in self._store.features(project_id):
            for case in self._store.cases(project_id, feature.name, retired=True):
                if case.feedback_id is not None:
                    yield case.feedback_id
            rollout = self._store.rollout(project_id, feature.name)
            served = {rollout.stable_version_id, rollout.candidate_version_id} if rollout is not None else set()
            for version_id in served - {None}:
                version = self._store.version(project_id, feature.name, str(version_id))
                for exemplar in version.exemplars if version is not None else ():
                    if exemplar.source_feedback_id is not None:
                        yield exemplar.source_feedback_id
