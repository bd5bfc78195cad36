"""The enrich stage: a cursor over events that leaves joins, opinions and judgements behind.

Whatever arrives, the answers it may say something about are judged again from all that is stored on them, so what the
stage concludes is a function of the events and not of their order, of batches or of crashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from trimtab.config import Settings
from trimtab.enrich.attribute import Attribution, attribute, turns_of
from trimtab.enrich.join import opinion_of
from trimtab.enrich.judging import Judging
from trimtab.enrich.outcome import latest
from trimtab.enrich.recent import RecentInferences
from trimtab.records import Feedback, Inference, Opinion
from trimtab.store.ports import CatalogStore, EventStore, JudgementStore, LoopStore, Writes

__all__ = ["FEEDBACK_CURSOR", "INFERENCE_CURSOR", "EnrichStage"]

INFERENCE_CURSOR = "enrich.inferences"
FEEDBACK_CURSOR = "enrich.feedback"
_CLOSED_AT_ONCE = 500
_REDONE_AT_ONCE = 500


class EnrichStore(EventStore, JudgementStore, CatalogStore, LoopStore, Protocol):
    """What this stage needs of the store."""


class EnrichStage:
    """Joins and judges what arrived since the last tick; then closes quiet sessions and redoes what was asked for.

    Each tick reads both streams a batch further, and commits what it made of them together with both cursors: killed at
    any moment it goes on where it was, and any order of arrival ends in the same opinions and outcomes.
    """

    name = "enrich"

    def __init__(self, store: EnrichStore, settings: Settings | None = None, *, batch_rows: int = 5000) -> None:
        self._store = store
        self._settings = settings or Settings()
        self._batch_rows = batch_rows
        self._recent = RecentInferences(store)
        self._timeout = timedelta(minutes=self._settings.sessions.timeout_minutes)

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each stream and return how many rows that was."""
        store = self._store
        self._recent.turn(now)
        inferences = store.inferences_after(store.cursor(INFERENCE_CURSOR), self._batch_rows)
        feedback = store.feedback_after(store.cursor(FEEDBACK_CURSOR), self._batch_rows)
        handled = len(inferences) + len(feedback)
        if handled:
            writes = {
                project_id: self._take(
                    project_id,
                    [row.record for row in inferences if row.project_id == project_id],
                    [row.record for row in feedback if row.project_id == project_id],
                    now,
                )
                for project_id in dict.fromkeys(row.project_id for rows in (inferences, feedback) for row in rows)
            }
            cursors = {}
            if inferences:
                cursors[INFERENCE_CURSOR] = inferences[-1].seq
            if feedback:
                cursors[FEEDBACK_CURSOR] = feedback[-1].seq
            store.commit(writes, cursors=cursors)
        if max(len(inferences), len(feedback)) < self._batch_rows:  # what has piled up goes first
            handled += self._close(now) + self._redo(now)
        return handled

    def _take(self, project_id: str, inferences: list[Inference], feedback: list[Feedback], now: datetime) -> Writes:
        self._recent.keep(project_id, inferences)
        found = attribute(self._store, self._recent, project_id, inferences, feedback)
        writes = Writes(
            targets=found.names,
            orphans=found.orphans,
            joined=[(word.id, inference_id) for word, inference_id in found.pairs],
            aims=[(word.id, aim) for word, aim in found.aims if aim.kind != "inference"],
            turns=turns_of(inferences),
        )
        opinions = self._opinions(project_id, found, writes)
        judging = Judging(self._store, self._recent, self._settings, project_id, found.known, now)
        judging.judge(opinions, writes, fresh=inferences, opinions=opinions)
        writes.sessions = _activity(inferences, found)
        return writes

    def _opinions(self, project_id: str, found: Attribution, writes: Writes) -> dict[str, list[Opinion]]:
        """Return the opinions on every answer that was spoken of, and write those that are new.

        Where a word went from one answer to another, both get their opinions anew from all that is joined to them.
        """
        anew = found.left | found.gained
        words: dict[str, list[Feedback]] = {inference_id: [] for inference_id in sorted(anew)}
        if anew:
            moved = {word.id for word, _ in found.pairs}
            for inference_id, joined in self._store.joined_to(project_id, sorted(anew)).items():
                words[inference_id] = [word for word in joined if word.id not in moved]
        for word, inference_id in found.pairs:
            words.setdefault(inference_id, []).append(word)
        held = self._store.opinions(project_id, [each for each in words if each not in anew])
        opinions = {}
        for inference_id, said in words.items():
            fresh = [opinion_of(word, inference_id) for word in said]
            opinions[inference_id] = latest([*held.get(inference_id, []), *fresh])
            writes.opinions += opinions[inference_id]
        writes.replaced = sorted(anew)
        return opinions

    def _close(self, now: datetime) -> int:
        """Close sessions in which nothing happened for long, and judge their last answers."""
        quiet = self._store.quiet_sessions(now - self._timeout, _CLOSED_AT_ONCE)
        if not quiet:
            return 0
        writes: dict[str, Writes] = {}
        for project_id in dict.fromkeys(session.project_id for session in quiet):
            ended = [session._replace(closed=True) for session in quiet if session.project_id == project_id]
            writes[project_id] = Writes(closed=ended)
            judging = Judging(self._store, self._recent, self._settings, project_id, {}, now)
            judging.judge([], writes[project_id], closing={session.session_id: session for session in ended})
        self._store.commit(writes)
        return len(quiet)

    def _redo(self, now: datetime) -> int:
        """Judge again a bounded number of the outcomes that somebody asked for, and remember how far that went."""
        asked = next(iter(self._store.backfills(1)), None)
        if asked is None:
            return 0
        outcomes = self._store.outcomes_in(asked, _REDONE_AT_ONCE)
        writes = Writes()
        ids = [outcome.inference_id for outcome in outcomes]
        if ids:
            Judging(self._store, self._recent, self._settings, asked.project_id, {}, now).judge(ids, writes)
        if len(outcomes) < _REDONE_AT_ONCE:
            writes.backfilled = [asked]
        else:
            writes.backfills = [asked._replace(after=ids[-1])]
        self._store.commit({asked.project_id: writes})
        return max(1, len(ids))


def _activity(inferences: Sequence[Inference], found: Attribution) -> list[tuple[str, datetime]]:
    """Return when something last happened in each session: an answer, or a word of its user on one."""
    last: dict[str, datetime] = {}
    happened = [(inference.session_id, inference.created_at) for inference in inferences]
    for word, inference_id in found.pairs:
        if word.source in ("user", "app") and inference_id in found.known:
            happened.append((found.known[inference_id].session_id, word.created_at))
    for session_id, at in happened:
        if session_id and (session_id not in last or last[session_id] < at):
            last[session_id] = at
    return list(last.items())
