"""What a trial reads beside votes: the answers of its arms as they arrive, and which of them the change left alone."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from trimtab.act.guard.control import is_local, untouched
from trimtab.act.guardrails import Guardrails, bad_consumer, limits_of, seen_consumer, unit_of
from trimtab.act.memory import ExemplarMemory, FittedMemory
from trimtab.config import Canary
from trimtab.records import Change, Inference, Outcome, Rollout, text_of
from trimtab.store.ports import HotStore

__all__ = ["ANSWERS_CURSOR", "Answers", "Listening"]

ANSWERS_CURSOR = "act.answers"
_TRIED = ("canary", "paused")
_USUAL = timedelta(days=7)  # before a trial, to know what answers usually take
_SAMPLED = 1000
_IDLE_ROWS = 1000


class Answers(NamedTuple):
    """Answers by project and feature in order of arrival, how many were read, and the place behind them."""

    by_feature: Mapping[tuple[str, str], Sequence[Inference]]
    rows: int
    cursor: int | None


class Listening:
    """Reads for changes in front of users.

    While there are none it reads nothing: its place follows that of the stage `follows`, which reads every answer.
    Where a `memory` is what answers, likeness is judged in its space, else in one fitted on each candidate's exemplars.
    """

    def __init__(
        self,
        store: HotStore,
        canary: Canary,
        *,
        batch_rows: int,
        follows: str | None = None,
        memory: ExemplarMemory | FittedMemory | None = None,
    ) -> None:
        self._store = store
        self._settings = canary
        self._batch_rows = batch_rows
        self._follows = follows
        self._memory = memory or FittedMemory()

    def answers(self, live: Iterable[tuple[str, Change, Rollout | None]]) -> Answers:
        """Return the next answers, of those features only that a change of is heard."""
        place = self._store.cursor(ANSWERS_CURSOR)
        heard = {(project_id, change.feature) for project_id, change, held in live if self._hears(change, held)}
        if not heard:
            ahead = self._store.cursor(self._follows) if self._follows else place
            return Answers({}, 0, ahead if ahead - place >= _IDLE_ROWS else None)
        rows = self._store.inferences_after(place, self._batch_rows)
        found: dict[tuple[str, str], list[Inference]] = {}
        for row in rows:
            key = (row.project_id, row.record.feature)
            if key in heard:
                found.setdefault(key, []).append(row.record)
        return Answers(found, len(rows), rows[-1].seq if rows else None)

    def guarded(self, project_id: str, change: Change, rollout: Rollout, answers: Sequence[Inference]) -> Guardrails:
        """Return the guardrails of a change with these answers counted."""
        guardrails = Guardrails(change, self._settings)
        if change.state in _TRIED and guardrails.wants_limits:
            guardrails.limit(self._limits(project_id, change))
        if answers:
            bad = guardrails.bad_in(answers)
            units = sorted({unit for answer in answers if (unit := unit_of(answer)) is not None})
            counted = {bad_consumer(change.id, metric): sorted(found) for metric, found in bad.items()}
            if change.state in _TRIED:
                counted |= {seen_consumer(change.id, arm): units for arm in ("candidate", "stable", "crossed")}
            guardrails.take(
                answers, rollout, {name: self._store.votes(name, found) for name, found in counted.items() if found}
            )
        return guardrails

    def untouched(self, project_id: str, change: Change, outcomes: Sequence[Outcome]) -> Collection[str]:
        """Return the ids of the answers that somebody said no to and both versions answer alike."""
        arms, exposed_at = (change.base_version_id, change.candidate_version_id), change.exposed_at
        if change.state not in _TRIED or exposed_at is None or change.candidate_version_id is None:
            return ()
        said_no = [each for each in outcomes if (each.vote or 0.0) > 0.5 and each.version_id in arms]
        ids = [each.inference_id for each in said_no if each.created_at >= exposed_at]  # a trial hears no older ones
        if not ids:
            return ()
        base = self._store.version(project_id, change.feature, change.base_version_id)
        candidate = self._store.version(project_id, change.feature, change.candidate_version_id)
        if base is None or candidate is None or not is_local(base, candidate):
            return ()
        space = self._memory.space(candidate)
        found = list(self._store.inferences(project_id, ids).values())
        if space is None:
            return ()
        same = untouched(space, base, candidate, [text_of(each.input) for each in found])
        return {each.id for each, alike in zip(found, same, strict=True) if alike}

    def _hears(self, change: Change, rollout: Rollout | None) -> bool:
        if change.state in _TRIED:
            return True
        settings = self._settings
        limited = settings.max_error_rate < 1.0 or settings.max_latency_p95_ms > 0.0 or settings.max_cost_usd > 0.0
        beside = rollout is not None and rollout.holdback_version_id is not None
        if change.kind == "rollback":  # what it would go back to is what it was taken back from
            return False
        return change.state in ("promoted", "verified") and (limited or (beside and bool(settings.guardrails)))

    def _limits(self, project_id: str, change: Change) -> dict[str, float]:
        exposed_at = change.exposed_at
        if exposed_at is None:
            return {}
        seed = zlib.crc32(change.id.encode())
        usual = self._store.sample(project_id, change.feature, exposed_at - _USUAL, exposed_at, _SAMPLED, seed)
        return limits_of(usual, change.base_version_id, self._settings.guardrail_margin)
