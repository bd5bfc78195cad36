"""The enrich stage: a cursor over events that leaves opinions, outcomes and orphans behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trimtab.enrich.join import names_of, opinion_of, target_of
from trimtab.enrich.outcome import EXPLICIT, judge, latest
from trimtab.records import Feedback, Inference
from trimtab.store.ports import EventStore, JudgementStore, LoopStore, Target, Writes

__all__ = ["FEEDBACK_CURSOR", "INFERENCE_CURSOR", "EnrichStage"]

INFERENCE_CURSOR = "enrich.inferences"
FEEDBACK_CURSOR = "enrich.feedback"


class EnrichStore(EventStore, JudgementStore, LoopStore, Protocol):
    """What this stage needs of the store."""


class EnrichStage:
    """Joins what arrived since the last tick.

    Each tick reads both streams a batch further, and commits what it made of them together with both cursors: killed at
    any moment it goes on where it was, and any order of arrival ends in the same opinions and outcomes. Only where
    inferences share a name (the spans of a trace) does it count which had arrived: the latest of those is meant.
    """

    name = "enrich"

    def __init__(self, store: EnrichStore, *, batch_rows: int = 5000) -> None:
        self._store = store
        self._batch_rows = batch_rows

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each stream and return how many rows that was."""
        store = self._store
        inferences = store.inferences_after(store.cursor(INFERENCE_CURSOR), self._batch_rows)
        feedback = store.feedback_after(store.cursor(FEEDBACK_CURSOR), self._batch_rows)
        if not inferences and not feedback:
            return 0
        projects = dict.fromkeys(row.project_id for rows in (inferences, feedback) for row in rows)
        writes = {
            project_id: self._join(
                project_id,
                [row.record for row in inferences if row.project_id == project_id],
                [row.record for row in feedback if row.project_id == project_id],
                now,
            )
            for project_id in projects
        }
        cursors = {}
        if inferences:
            cursors[INFERENCE_CURSOR] = inferences[-1].seq
        if feedback:
            cursors[FEEDBACK_CURSOR] = feedback[-1].seq
        store.commit(writes, cursors=cursors)
        return len(inferences) + len(feedback)

    def _join(self, project_id: str, inferences: list[Inference], feedback: list[Feedback], now: datetime) -> Writes:
        writes = Writes()
        known = {inference.id: inference for inference in inferences}
        # Latest first: of several calls in one trace, feedback on the trace is about the last, as it is in the store.
        by_time = sorted(inferences, key=lambda inference: (inference.created_at, inference.id), reverse=True)
        writes.targets = [(target, inference.id) for inference in by_time for target in names_of(inference)]
        pairs = self._claim(project_id, feedback, known, writes)
        pairs += self._release(project_id, inferences, writes)
        writes.joined = [(word.id, inference_id) for word, inference_id in pairs]
        touched = list(dict.fromkeys(inference_id for _, inference_id in pairs))
        held = self._store.opinions(project_id, touched)
        fresh: dict[str, list[Feedback]] = {}
        for word, inference_id in pairs:
            fresh.setdefault(inference_id, []).append(word)
        for inference_id in touched:
            opinions = latest(
                [*held.get(inference_id, []), *(opinion_of(word, inference_id) for word in fresh[inference_id])]
            )
            writes.opinions += opinions
            if not any(word.kind in EXPLICIT for word in fresh[inference_id]):
                continue
            outcome = judge(known[inference_id], opinions, now)
            if outcome is not None:
                writes.outcomes.append(outcome)
        return writes

    def _claim(
        self, project_id: str, feedback: Sequence[Feedback], known: dict[str, Inference], writes: Writes
    ) -> list[tuple[Feedback, str]]:
        """Pair new feedback with inferences stored by now; what finds none becomes an orphan."""
        aims = [(word, target_of(word)) for word in feedback]
        named = self._store.resolve(project_id, [aim for _, aim in aims if aim.kind not in ("inference", "session")])
        wanted = {*named.values(), *(aim.key for _, aim in aims if aim.kind == "inference")}
        known.update(self._store.inferences(project_id, sorted(wanted - known.keys())))
        held = {target: known[inference_id] for target, inference_id in named.items()}
        newest = _newest(writes.targets, known, held)
        pairs = []
        for word, aim in aims:
            about = known.get(aim.key) if aim.kind == "inference" else newest.get(aim)
            if about is not None:
                pairs.append((word, about.id))
            else:
                writes.orphans.append((word.id, aim))
        return pairs

    def _release(self, project_id: str, inferences: Sequence[Inference], writes: Writes) -> list[tuple[Feedback, str]]:
        """Pair new inferences with the orphans that waited for them."""
        known = {inference.id: inference for inference in inferences}
        found = {Target("inference", inference_id): inference_id for inference_id in known}
        found.update({target: about.id for target, about in _newest(writes.targets, known, {}).items()})
        return [(word, found[target]) for target, word in self._store.waiting(project_id, list(found))]


def _newest(
    targets: Sequence[tuple[Target, str]], known: dict[str, Inference], held: dict[Target, Inference]
) -> dict[Target, Inference]:
    """Return what each name means: of inferences that share it the latest, as the store resolves it."""
    newest = dict(held)
    for target, inference_id in targets:
        inference, other = known[inference_id], newest.get(target)
        if other is None or (other.created_at, other.id) < (inference.created_at, inference.id):
            newest[target] = inference
    return newest
