"""A whole study: every arm through the same world, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from threadpoolctl import threadpool_limits

from trimtab.store.ports import Query
from trimtab.study.arms import ARMS, Arm, ArmName, Closed, Labour, make
from trimtab.study.data import Table
from trimtab.study.session import FEATURE, PROJECT, Session, study_settings
from trimtab.study.world import PILOT_WEEKS, Dials, World, build

__all__ = ["ArmResult", "Month", "Study", "run", "run_arm"]

Progress = Callable[[ArmName, int], None]
_MONTH_WEEKS = 4


class Month(Struct, frozen=True, kw_only=True):
    """One month (four weeks; the last may be shorter) of one arm. Shares lie in [0, 1]."""

    month: int
    weeks: int
    accuracy: float
    fresh_accuracy: float
    votes: int
    negatives: int
    labels: int
    incidents: int
    promoted: int


class ArmResult(Struct, frozen=True, kw_only=True):
    """How one arm fared. Losses are percentage points against the arm's own start."""

    live_start: float
    live_end: float
    live_loss: float
    fresh_start: float
    fresh_end: float
    fresh_loss: float
    mean_accuracy: float
    labels: int
    hours: dict[str, float]
    incidents: int
    changes: dict[str, int]
    promotions: int
    exemplars: int
    errors_reviewed: int
    approved: int
    withdrawn: int
    reference: float | None
    months: list[Month]


class Study(Struct, frozen=True, kw_only=True):
    """What was run and what came out."""

    assumptions: dict[str, Any]
    arms: dict[ArmName, ArmResult]


def run(
    table: Table,
    dials: Dials,
    *,
    arms: Sequence[ArmName] = ARMS,
    labour: Labour | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Study:
    """Run the arms and return the study; `progress(arm, weeks served)` is called as they go.

    One process per arm, at most `processes` (default: the machine's cores) at a time; 0 runs them one by one in this
    process. Each arm's engine lives in a temporary directory. Raises InputError when the data does not carry a study.
    """
    labour = labour or Labour()
    world = build(table, dials)
    tell = progress or (lambda _arm, _week: None)
    if processes == 0:
        results = {name: run_arm(world, name, labour, tell) for name in arms}
    else:
        results = _in_processes(world, arms, labour, processes or os.cpu_count() or 1, tell)
    return Study(assumptions=_assumptions(world, table, labour), arms=results)


def run_arm(world: World, name: ArmName, labour: Labour, progress: Progress) -> ArmResult:
    """Run one arm in this process."""
    dials = world.dials
    folder = Path(tempfile.mkdtemp(prefix="trimtab-study-"))
    try:
        settings = study_settings(folder, dials, closed=name == "closed")
        session = Session(world, settings)
        try:
            arm = make(name, labour, dials.seed)
            session.serve_week(-1, arm.after_day)
            ledger = _Ledger(session, arm)
            for week in range(dials.weeks):
                session.serve_week(week, arm.after_day)
                ledger.week_is_over(week)
                progress(name, week + 1)
            return ledger.result()
        finally:
            session.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Ledger:
    """Counts as the weeks go by."""

    def __init__(self, session: Session, arm: Arm) -> None:
        self._session = session
        self._arm = arm
        self._world = session.world
        self._accuracy = [_accuracy(session, 0)]
        self._fresh = [session.accuracy(self._world.fresh_cases(-1))]
        self._served = len(session.served)
        self._labels = 0
        self._counts = self._loop_counts()
        self._month_from = self._served
        self._months: list[Month] = []

    def week_is_over(self, week: int) -> None:
        session = self._session
        self._accuracy.append(_accuracy(session, self._served))
        self._served = len(session.served)
        weeks = week % _MONTH_WEEKS + 1
        if weeks < _MONTH_WEEKS and week + 1 < self._world.dials.weeks:
            return
        self._fresh.append(session.accuracy(self._world.fresh_cases(week)))
        items = session.served[self._month_from :]
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
        self._month_from, self._labels, self._counts = self._served, self._arm.labels, (incidents, promoted)

    def result(self) -> ArmResult:
        arm, store = self._arm, self._session.engine.store
        live_start, live_end = self._accuracy[0], float(np.mean(self._accuracy[1:][-_MONTH_WEEKS:]))
        states = [row.record.state for row in store.changes(PROJECT, Query(feature=FEATURE, limit=1000)).rows]
        monitors = store.monitors(PROJECT, FEATURE)
        incidents, promoted = self._loop_counts()
        return ArmResult(
            live_start=round(100 * live_start, 2),
            live_end=round(100 * live_end, 2),
            live_loss=round(100 * (live_start - live_end), 2),
            fresh_start=round(100 * self._fresh[0], 2),
            fresh_end=round(100 * self._fresh[-1], 2),
            fresh_loss=round(100 * (self._fresh[0] - self._fresh[-1]), 2),
            mean_accuracy=round(100 * float(np.mean(self._accuracy[1:])), 2),
            labels=arm.labels,
            hours={"assumed": round(arm.hours, 1), "measured": 0.0},
            incidents=incidents,
            changes={state: states.count(state) for state in sorted(set(states))},
            promotions=promoted,
            exemplars=len(self._session.stable().exemplars),
            errors_reviewed=arm.errors_found if isinstance(arm, Closed) else 0,
            approved=arm.approved if isinstance(arm, Closed) else 0,
            withdrawn=arm.withdrawn if isinstance(arm, Closed) else 0,
            reference=monitors[0].reference if monitors else None,
            months=self._months,
        )

    def _loop_counts(self) -> tuple[int, int]:
        store = self._session.engine.store
        incidents = store.incidents(PROJECT, Query(feature=FEATURE, limit=1000)).rows
        changes = store.changes(PROJECT, Query(feature=FEATURE, limit=1000)).rows
        return len(incidents), sum(row.record.promoted_at is not None for row in changes)


def _accuracy(session: Session, since: int) -> float:
    items = session.served[since:]
    return float(np.mean([item.good for item in items])) if items else 0.0


# ---------------------------------------------------------------- processes


_told: Any = None


def _open_child(told: Any) -> None:
    global _told  # noqa: PLW0603 a pool hands its queue to a child only through a global
    _told = told


def _child(world: World, name: ArmName, labour: Labour) -> ArmResult:
    with threadpool_limits(1):  # the arms already fill the cores
        return run_arm(world, name, labour, lambda arm, week: _told.put((arm, week)))


def _in_processes(
    world: World, arms: Sequence[ArmName], labour: Labour, processes: int, tell: Progress
) -> dict[ArmName, ArmResult]:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    pool = ProcessPoolExecutor(
        max_workers=max(1, min(processes, len(arms))),
        mp_context=context,
        initializer=_open_child,
        initargs=(told,),
        max_tasks_per_child=1,
    )
    # the arm with most work first, so that the cores stay busy to the end
    order = sorted(arms, key=("closed", "human", "static").index)
    try:
        work: dict[Future[ArmResult], ArmName] = {pool.submit(_child, world, name, labour): name for name in order}
        while wait(work, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
            _drain(told, tell)
            if any(future.done() and future.exception() for future in work):
                break
        _drain(told, tell)
        results = {name: future.result() for future, name in work.items()}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        told.close()
    return {name: results[name] for name in arms}


def _drain(told: Any, tell: Progress) -> None:
    while True:
        try:
            arm, week = told.get_nowait()
        except queue.Empty:
            return
        tell(arm, week)


def _assumptions(world: World, table: Table, labour: Labour) -> dict[str, Any]:
    settings = study_settings(Path("temporary"), world.dials, closed=True)
    return {
        "drift": "injected" if world.injected else "the file's own order",
        "dials": {name: getattr(world.dials, name) for name in world.dials.__struct_fields__},
        "labour": {name: getattr(labour, name) for name in labour.__struct_fields__},
        "reviewer": (
            "always right; approves a canary the engine pauses if the gate's 99% lower bound on the gain in "
            "golden cases is above 0, else withdraws it"
        ),
        "data": {
            "texts": len(table.rows),
            "left_out": table.left_out,
            "columns": table.columns,
            "labels": len(world.labels),
            "launch_texts": len(world.launch),
            "intents_appearing": sum(drift.kind == "appears" for drift in world.drifts),
            "policy_changes": sum(drift.kind == "policy" for drift in world.drifts),
        },
        "learner": "exemplar memory: kNN (7, cosine cubed) over LSA-256, fitted on what arrived, every 4 weeks",
        "settings": {
            "reference": f"learned from the votes of the {PILOT_WEEKS} calm weeks before (upper 80% bound)",
            "baseline_votes": settings.monitoring.baseline_votes,
            "horizon_votes": settings.monitoring.horizon_votes,
            "false_alarm_rate": settings.monitoring.false_alarm_rate,
            "min_corrections": settings.playbook.min_corrections,
            "max_exemplars": settings.playbook.max_exemplars,
            "lookback_days": settings.playbook.lookback_days,
            "canary_steps": list(settings.canary.steps),
            "canary_step_exposures": settings.canary.step_exposures,
            "canary_horizon_hours": settings.canary.horizon_hours,
        },
        "loss": (
            "accuracy of the calm weeks before the start minus that of the last 4 weeks, in points; fresh: texts held "
            "out of the stream, of the intents alive"
        ),
    }
