"""What became of what people said: corrections that reached a served version, and fixes that were forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from trimtab.measure.overview import Part
from trimtab.measure.pace import History, Median, median_of, part_of
from trimtab.records import Change, Exemplar, Knowledge, Version
from trimtab.store.ports import CatalogStore, LoopStore, MeasureStore

__all__ = ["AdoptionStore", "Forgetting", "adoption", "forgetting"]

_MOST = 20_000


class Forgetting(Struct, frozen=True, kw_only=True):
    """Golden cases that a verified fix had mended and the version served now fails, of those it was tested on.

    Mended are the cases of its incident that the fix passed at the gate.
    `cases` is how many such cases there are; `untested` of them no gate has put to this version.
    """

    failing: Part
    cases: int
    untested: int


class AdoptionStore(CatalogStore, LoopStore, MeasureStore, Protocol):
    """What both read."""


def adoption(
    store: AdoptionStore, project_id: str, since: datetime, until: datetime, features: Sequence[str]
) -> Median:
    """Return the median time from a correction to the first user served a version that contains it.

    Of the newest 20,000 corrections given in [since, until) that still hold; one that is in no served version by
    `until` is censored at its age. A version contains what its exemplars and knowledge were made of.
    """
    pairs: list[tuple[float | None, float]] = []
    for feature in features:
        given = store.correction_times(project_id, feature, since, until, max(1, _MOST // len(features)))
        served = _first_served(store, project_id, feature, until) if given else {}
        for correction in given:
            at = served.get(correction.feedback_id)
            took = None if at is None else max(0.0, (at - correction.created_at).total_seconds())
            pairs.append((took, (until - correction.created_at).total_seconds()))
    return median_of(pairs)


def forgetting(
    store: AdoptionStore, project_id: str, history: History, until: datetime, features: Sequence[str]
) -> Forgetting:
    """Return what the versions served at `until` have forgotten, by what the newest gate on each said."""
    mended = {
        result.case_id
        for change in history.changes
        if change.verified_at is not None and change.gate is not None
        for result in change.gate.results
        if result.target and result.candidate_passed
    }
    failing = tested = cases = 0
    for feature in features:
        past = [case.id for case in store.cases(project_id, feature) if case.id in mended and case.created_at < until]
        if not past:
            continue
        passed = _passed(history.changes, feature, _stable(store, project_id, feature, until), until)
        known = [passed[case_id] for case_id in past if case_id in passed]
        cases += len(past)
        tested += len(known)
        failing += known.count(False)
    return Forgetting(failing=part_of(failing, tested), cases=cases, untested=cases - tested)


def _first_served(store: AdoptionStore, project_id: str, feature: str, until: datetime) -> dict[str, datetime]:
    """Return when each feedback was first in a version that was served to anybody."""
    exposed: dict[str, datetime] = {}
    for rollout in store.rollout_history(project_id, feature):
        if rollout.updated_at >= until:
            continue
        served = [rollout.stable_version_id]
        if rollout.candidate_version_id is not None and rollout.share > 0:
            served.append(rollout.candidate_version_id)
        for version_id in served:
            exposed[version_id] = min(rollout.updated_at, exposed.get(version_id, rollout.updated_at))
    found: dict[str, datetime] = {}
    for version in store.versions(project_id, feature):
        at = exposed.get(version.id)
        if at is not None:
            for feedback_id in _sources(version):
                found[feedback_id] = min(at, found.get(feedback_id, at))
    return found


def _sources(version: Version) -> list[str]:
    shown: list[Exemplar | Knowledge] = [*version.exemplars, *version.knowledge]
    return [item.source_feedback_id for item in shown if item.source_feedback_id is not None]


def _stable(store: AdoptionStore, project_id: str, feature: str, until: datetime) -> str | None:
    before = [
        rollout.stable_version_id
        for rollout in store.rollout_history(project_id, feature)
        if rollout.updated_at < until
    ]
    return before[-1] if before else None


def _passed(changes: Sequence[Change], feature: str, version_id: str | None, until: datetime) -> dict[str, bool]:
    """Return by case whether the version passed it when a gate last asked."""
    found: dict[str, bool] = {}
    judged = [
        (change.gated_at, change)
        for change in changes
        if change.feature == feature and change.gate is not None and change.gated_at and change.gated_at < until
    ]
    for _, change in sorted(judged, key=lambda pair: pair[0]):
        for result in change.gate.results if change.gate is not None else ():
            if change.base_version_id == version_id:
                found[result.case_id] = result.stable_passed
            if change.candidate_version_id == version_id:
                found[result.case_id] = result.candidate_passed
    return found
