"""Where an incident is: the groups of its answers since the onset, read once, when it opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from trimtab.config import WatchRule
from trimtab.detect.lift import MOST_ROWS, Grouped, lifts
from trimtab.detect.rules.hearing import HearingStore
from trimtab.detect.rules.rule import Rule, source_of
from trimtab.detect.rules.sampling import (
    NONE,
    group_of_answer,
    group_of_outcome,
    heard_in_answer,
    heard_in_outcome,
    heard_in_vote,
)
from trimtab.records import Incident, Inference, Outcome
from trimtab.store.ports import JudgementStore, Page, Query

__all__ = ["segments_by_lift", "segments_of_votes"]

_PAGE = 500
_LATE = timedelta(days=7)
"""How much older than its vote an answer may be to be looked at."""


def segments_by_lift(
    store: HearingStore, project_id: str, rule: Rule, incident: Incident, group: dict[str, str]
) -> Any:
    """Return the groups over-represented among the bad ones of a declared watch's group since the onset."""
    if source_of(rule.spec.metric) == "votes":
        return lifts(_voted(store, project_id, incident, rule.spec, group))
    return lifts(_answered(store, project_id, incident, rule.spec, group))


def segments_of_votes(store: JudgementStore, project_id: str, incident: Incident, version_id: str | None) -> Any:
    """Return the same for the watch on negative votes of a version, the one that is always there."""
    return lifts(_voted(store, project_id, incident, WatchRule(), {"version": version_id or NONE}))


def _voted(
    store: JudgementStore, project_id: str, incident: Incident, spec: WatchRule, group: dict[str, str]
) -> Iterator[Grouped]:
    after, read = None, 0
    while read < MOST_ROWS:
        query = Query(feature=incident.feature, since=incident.onset_at - _LATE, limit=_PAGE, after=after)
        page: Page[Outcome] = store.list_outcomes(project_id, query)
        for row in page.rows:
            outcome = row.record
            sample = heard_in_vote(outcome)
            if sample is not None and sample.at >= incident.onset_at and group_of_outcome(spec, outcome) == group:
                yield Grouped(sample.x, {**outcome.segments, "version": outcome.version_id or NONE})
        read += len(page.rows)
        after = page.next
        if after is None:
            return


def _answered(
    store: HearingStore, project_id: str, incident: Incident, spec: WatchRule, group: dict[str, str]
) -> Iterator[Grouped]:
    mature = source_of(spec.metric) == "mature"
    after, read = None, 0
    while read < MOST_ROWS:
        query = Query(feature=incident.feature, since=incident.onset_at, limit=_PAGE, after=after)
        page: Page[Inference] = store.list_inferences(project_id, query)
        answers: Sequence[Inference] = [row.record for row in page.rows]
        judged = store.outcomes(project_id, [one.id for one in answers]) if mature else {}
        for one in answers:
            outcome = judged.get(one.id)
            told = heard_in_outcome(spec, one, outcome) if mature else heard_in_answer(spec, one)
            if told is not None and group_of_answer(spec, one, outcome) == group:
                yield Grouped(told.x, _groups(one, outcome))
        read += len(answers)
        after = page.next
        if after is None:
            return


def _groups(answer: Inference, outcome: Outcome | None) -> dict[str, str]:
    found = {f"tags.{key}": value for key, value in answer.tags.items()}
    found["version"] = answer.version_id or NONE
    if answer.model:
        found["model"] = answer.model
    return {**found, **(outcome.segments if outcome is not None else {})}
