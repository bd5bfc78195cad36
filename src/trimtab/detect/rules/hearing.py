"""Reading what watches hear: judgements as they change, answers as they come, answers that had their time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from trimtab.detect.rules.rule import Rule, RuleSource
from trimtab.detect.rules.sampling import (
    group_of_answer,
    group_of_outcome,
    heard_in_answer,
    heard_in_input,
    heard_in_outcome,
    heard_in_vote,
    is_mature,
)
from trimtab.detect.traits import traits_of
from trimtab.detect.watch import Sample
from trimtab.records import Inference, text_of
from trimtab.store.ports import EventStore, JudgementStore, Stored

__all__ = ["Heard", "HearingStore", "Rules", "heard_after", "heard_in"]

Rules = Mapping[str, Sequence[Rule]]
"""The rules that hear a source, by project."""


class HearingStore(EventStore, JudgementStore, Protocol):
    """What is read here."""


class Heard(NamedTuple):
    """One sample on its way to its group; `sample.who` counts once per window: the person, else the answer itself."""

    rule: Rule
    feature: str
    group: dict[str, str]
    sample: Sample


def heard_after(
    store: HearingStore, source: RuleSource, cursor: int, limit: int, rules: Rules, now: datetime
) -> tuple[int, dict[str, list[Heard]]]:
    """Return the place up to which was read (`cursor`: nothing is new) and what was heard, by project, in order."""
    rows: list[Stored[Any]]
    if source == "votes":
        rows = list(store.outcomes_after(cursor, limit))
    else:
        answers = store.inferences_after(cursor, limit)
        rows = list(_ripe(answers, rules, now) if source == "mature" else answers)
    return (rows[-1].seq if rows else cursor), heard_in(store, source, rows, rules)


def heard_in(
    store: HearingStore, source: RuleSource, rows: Sequence[Stored[Any]], rules: Rules
) -> dict[str, list[Heard]]:
    """Return what is heard in rows of a source (outcomes for "votes", else inferences), by project, in order."""
    if source == "votes":
        found = ((row.project_id, _vote(rule, row)) for row in rows for rule in rules.get(row.project_id, ()))
        return _by_project(found)
    return _by_project(_in_answers(store, source, rows, rules))


def _vote(rule: Rule, row: Stored[Any]) -> Heard | None:
    outcome = row.record
    sample = heard_in_vote(outcome)
    if sample is None or not rule.covers(outcome.feature):
        return None
    return Heard(rule, outcome.feature, group_of_outcome(rule.spec, outcome), _named(sample, outcome.inference_id))


def _named(sample: Sample, answer_id: str) -> Sample:
    return sample if sample.who else sample._replace(who=answer_id)


def _ripe(answers: list[Stored[Inference]], rules: Rules, now: datetime) -> list[Stored[Inference]]:
    """Return the answers that had their time under every rule, up to the first that had not."""
    specs = [rule.spec for each in rules.values() for rule in each]
    for place, row in enumerate(answers):
        if not all(is_mature(spec, row.record.created_at, now) for spec in specs):
            return answers[:place]
    return answers


def _in_answers(
    store: HearingStore, source: RuleSource, answers: Sequence[Stored[Inference]], rules: Rules
) -> Iterator[tuple[str, Heard | None]]:
    by_project: dict[str, list[Inference]] = {}
    for row in answers:
        by_project.setdefault(row.project_id, []).append(row.record)
    for project_id, mine in by_project.items():
        hearing = rules.get(project_id, ())
        if source == "inputs":
            yield from ((project_id, item) for item in _asked(mine, hearing))
            continue
        judged = store.outcomes(project_id, [one.id for one in mine]) if hearing and source == "mature" else {}
        for one in mine:
            for rule in (rule for rule in hearing if rule.covers(one.feature)):
                outcome, spec = judged.get(one.id), rule.spec
                told = heard_in_answer(spec, one) if source == "answers" else heard_in_outcome(spec, one, outcome)
                if told is not None:
                    group = group_of_answer(spec, one, outcome)
                    yield project_id, Heard(rule, one.feature, group, _named(told, one.id))


def _asked(answers: Sequence[Inference], hearing: Sequence[Rule]) -> Iterator[Heard]:
    """Yield what was asked, read once for all watches."""
    read = [one for one in answers if any(rule.covers(one.feature) for rule in hearing)]
    for one, traits in zip(read, traits_of([text_of(one.input) for one in read]), strict=True):
        sample = _named(heard_in_input(one, traits), one.id)
        for rule in (rule for rule in hearing if rule.covers(one.feature)):
            yield Heard(rule, one.feature, group_of_answer(rule.spec, one, None), sample)


def _by_project(found: Iterable[tuple[str, Heard | None]]) -> dict[str, list[Heard]]:
    heard: dict[str, list[Heard]] = {}
    for project_id, item in found:
        if item is not None:
            heard.setdefault(project_id, []).append(item)
    return heard
