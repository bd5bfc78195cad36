"""Learning velocity: the pace of the loop, what it makes of what people say, and what it costs people.

No score sums it up. What each number means, and where it comes from: docs/velocity.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from trimtab.measure.adoption import AdoptionStore, Forgetting, adoption, forgetting
from trimtab.measure.coverage import Coverage, CoverageStore, coverage
from trimtab.measure.pace import Median, Pace, pace_of, read_history
from trimtab.records import WorkKind, WorkSource
from trimtab.store.ports import WorkSum

__all__ = ["Reactive", "Velocity", "VelocityStore", "Work", "velocity"]

_REACTIVE = ("triage", "investigate", "hotfix")


class Work(Struct, frozen=True, kw_only=True):
    """Hours of one kind of work, measured or assumed, and how many entries of the log they come of."""

    kind: WorkKind
    source: WorkSource
    entries: int
    hours: float


class Reactive(Struct, frozen=True, kw_only=True):
    """Hours that problems forced on people (triage, investigate, hotfix), and the same by 10,000 answers.

    Measured and assumed ones are never added up. Null by answers where there were none.
    """

    measured_hours: float
    assumed_hours: float
    measured_per_10k: float | None
    assumed_per_10k: float | None


class Velocity(Pace, frozen=True, kw_only=True):
    """The pace, and what it is worth: yield, coverage, adoption, forgetting, work.

    A negative signal is an answer that what people said or did makes more likely bad than good, once however many said
    so. `yield_per_1000`: verified fixes by 1,000 of them, null where there were none.
    """

    answers: int
    negative_signals: int
    yield_per_1000: float | None
    signal_coverage: Coverage
    correction_adoption: Median
    forgetting: Forgetting
    reactive: Reactive
    work: list[Work]


class VelocityStore(AdoptionStore, CoverageStore, Protocol):
    """What velocity reads."""


def velocity(
    store: VelocityStore, project_id: str, *, since: datetime, until: datetime, feature: str | None = None
) -> Velocity:
    """Compute the velocity of one project, or of one of its features, over [since, until) as of `until`.

    The cost is bounded: 20,000 incidents, changes, corrections and judged answers at most, the rest from counters.
    """
    history = read_history(store, project_id, until, feature)
    pace = pace_of(history, since, until, feature)
    features = [feature] if feature is not None else [each.name for each in store.features(project_id)]
    counted = store.counts(
        project_id, since=since, until=until, step="all", metrics=("inferences", "negative"), feature=feature
    )
    answers = sum(each.count for each in counted if each.metric == "inferences")
    signals = sum(each.count for each in counted if each.metric == "negative")
    work = store.work_minutes(project_id, feature, since, until)
    return Velocity(
        **{name: getattr(pace, name) for name in Pace.__struct_fields__},
        answers=answers,
        negative_signals=signals,
        yield_per_1000=1000 * pace.fixes_verified / signals if signals > 0 else None,
        signal_coverage=coverage(store, project_id, history, since, until, features),
        correction_adoption=adoption(store, project_id, since, until, features),
        forgetting=forgetting(store, project_id, history, until, features),
        reactive=_reactive(work, answers),
        work=[Work(kind=each.kind, source=each.source, entries=each.entries, hours=each.minutes / 60) for each in work],
    )


def _reactive(work: list[WorkSum], answers: int) -> Reactive:
    hours = {"measured": 0.0, "assumed": 0.0}
    for each in work:
        if each.kind in _REACTIVE:
            hours[each.source] += each.minutes / 60
    by_answers = {source: 10_000 * told / answers if answers > 0 else None for source, told in hours.items()}
    return Reactive(
        measured_hours=hours["measured"],
        assumed_hours=hours["assumed"],
        measured_per_10k=by_answers["measured"],
        assumed_per_10k=by_answers["assumed"],
    )
