"""The enrich stage: a cursor over events that leaves joins, opinions and judgements behind.

Whatever arrives, the answers it may say something about are judged again from all that is stored on them, so what the
stage concludes is a function of the events and not of their order, of batches or of crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol

from trimtab.config import Settings
from trimtab.enrich.attribute import Attribution, attribute, turns_of
from trimtab.enrich.join import opinion_of
from trimtab.enrich.judging import Judging
from trimtab.enrich.outcome import latest
from trimtab.enrich.recent import RecentInferences
from trimtab.errors import whereabouts
from trimtab.records import Feedback, Inference, Opinion
from trimtab.store.census import CensusStore
from trimtab.store.ports import (
    Aside,
    AsideKind,
    AsideStore,
    Backfill,
    CatalogStore,
    EventStore,
    JudgementStore,
    LoopStore,
    Session,
    Stored,
    StreamKind,
    Writes,
)
from trimtab.store.sieve import Sieve, is_of_the_row

__all__ = ["FEEDBACK_CURSOR", "INFERENCE_CURSOR", "EnrichStage"]

INFERENCE_CURSOR = "enrich.inferences"
FEEDBACK_CURSOR = "enrich.feedback"
_CLOSED_AT_ONCE = 500
_REDONE_AT_ONCE = 500
_AGAIN_AT_ONCE = 50
_CURSORS: dict[StreamKind, str] = {"inference": INFERENCE_CURSOR, "feedback": FEEDBACK_CURSOR}


class EnrichStore(EventStore, JudgementStore, CatalogStore, LoopStore, AsideStore, CensusStore, Protocol):
    """What this stage needs of the store."""


class _Event(NamedTuple):
    """One row of one of the two streams."""

    kind: StreamKind
    row: Stored[Any]


class EnrichStage:
    """Joins and judges what arrived since the last tick; then closes quiet sessions and redoes what was asked for.

    Each tick reads both streams a batch further, and commits what it made of them together with both cursors: killed at
    any moment it goes on where it was, and any order of arrival ends in the same opinions and outcomes.

    An event that raises is set aside with the cursor that passes it, and counts as one that has not arrived: it is
    joined to nothing and speaks of nothing until it is tried again. So is a session that cannot be closed, and an
    outcome that cannot be judged again.
    """

    name = "enrich"

    def __init__(self, store: EnrichStore, settings: Settings | None = None, *, batch_rows: int = 5000) -> None:
        self._store = store
        self._settings = settings or Settings()
        self._batch_rows = batch_rows
        self._recent = RecentInferences(store)
        self._timeout = timedelta(minutes=self._settings.sessions.timeout_minutes)
        self._sieve: Sieve[Any] = Sieve()
        self._missing: set[tuple[str, str]] | None = None
        self._now: datetime | None = None
        self._lost = 0  # rows of this tick that could not be read

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each stream and return how many rows that was."""
        self._now = now
        self._recent.turn(now)
        self._recent.without = self._set_aside()
        self._lost = 0
        inferences = self._read("inference", self._store.inferences_after, now)
        feedback = self._read("feedback", self._store.feedback_after, now)
        events = [_Event("inference", row) for row in inferences] + [_Event("feedback", row) for row in feedback]
        if events:
            self._sieve.run(events, partial(self._handle, now), partial(self._pass_over, now))
        handled = len(events) + self._lost
        if max(len(inferences), len(feedback)) < self._batch_rows:  # what has piled up goes first
            handled += self._close(now, len(events)) + self._redo(now) + self._try_again(now)
        return handled

    def behind(self) -> dict[str, int]:
        """Return how many sessions wait to be closed, as of the last tick; rows are told by the cursors."""
        return {} if self._now is None else {"enrich.sessions": self._store.count_quiet(self._now - self._timeout)}

    def _read(
        self, kind: StreamKind, after: Callable[[int, int], list[Stored[Any]]], now: datetime
    ) -> Sequence[Stored[Any]]:
        """Return the next rows of a stream; one that cannot even be read is set aside by its place."""
        seq = self._store.cursor(_CURSORS[kind])

        def lose(error: str) -> bool:
            place = self._store.place_after(kind, seq)
            if place is None:
                return False
            self._put_aside(place.project_id, kind, place.record_id, error, now, cursors={_CURSORS[kind]: place.seq})
            self._lost += 1
            return True

        return self._sieve.read(lambda limit: after(seq, limit), self._batch_rows, lose)

    def _handle(self, now: datetime, events: Sequence[_Event], *, taken_up: Sequence[Aside] = ()) -> None:
        """Commit what events say together with the cursors behind them, or, tried again, without."""
        writes = {
            project_id: self._take(
                project_id,
                [each.row.record for each in events if each.kind == "inference" and each.row.project_id == project_id],
                [each.row.record for each in events if each.kind == "feedback" and each.row.project_id == project_id],
                now,
            )
            for project_id in dict.fromkeys(each.row.project_id for each in events)
        }
        for aside in taken_up:
            writes[aside.project_id].taken_up.append(aside)
        # In order of arrival, so that of each stream the last counts.
        cursors = {} if taken_up else {_CURSORS[each.kind]: each.row.seq for each in events}
        self._store.commit(writes, cursors=cursors)

    def _pass_over(self, now: datetime, event: _Event, error: str) -> None:
        cursors = {_CURSORS[event.kind]: event.row.seq}
        self._put_aside(event.row.project_id, event.kind, event.row.record.id, error, now, cursors=cursors)

    def _put_aside(
        self,
        project_id: str,
        kind: AsideKind,
        record_id: str,
        error: str,
        now: datetime,
        *,
        writes: Writes | None = None,
        cursors: dict[str, int] | None = None,
    ) -> None:
        writes = writes or Writes()
        writes.aside.append(Aside(project_id, self.name, kind, record_id, error, now))
        self._store.commit({project_id: writes}, cursors=cursors)
        if kind == "inference":
            self._set_aside().add((project_id, record_id))

    def _set_aside(self) -> set[tuple[str, str]]:
        """Return the inferences that count as not arrived. Nobody but this stage writes them, so they are read once."""
        if self._missing is None:
            held = self._store.asides(stage=self.name, limit=1_000_000)
            self._missing = {(row.project_id, row.record_id) for row in held if row.kind == "inference"}
        return self._missing

    def _try_again(self, now: datetime) -> int:
        """Handle what somebody asked to be tried again; what fails anew stays set aside."""
        asked = self._store.asides(stage=self.name, again=True, limit=_AGAIN_AT_ONCE)
        for aside in asked:
            try:
                self._take_up(aside, now)
            except Exception as error:
                if not is_of_the_row(error):
                    raise
                if aside.kind == "inference":
                    self._set_aside().add((aside.project_id, aside.record_id))
                again = aside._replace(error=whereabouts(error), at=now, again=False)
                self._store.commit({aside.project_id: Writes(aside=[again])})
        return len(asked)

    def _take_up(self, aside: Aside, now: datetime) -> None:
        project_id, key = aside.project_id, aside.record_id
        done = Writes(taken_up=[aside])
        if aside.kind == "session":
            held = self._store.sessions(project_id, [key])
            if held:
                self._end(now, list(held.values()), writes=done)
            else:
                self._store.commit({project_id: done})
            return
        if aside.kind == "outcome":
            self._judge_again(project_id, now, [key], writes=done)
            return
        found: dict[str, Any]
        if aside.kind == "inference":
            self._set_aside().discard((project_id, key))
            found = dict(self._store.inferences(project_id, [key]))
        else:
            found = dict(self._store.feedback(project_id, [key]))
        if key in found:
            kind: StreamKind = "inference" if aside.kind == "inference" else "feedback"
            self._handle(now, [_Event(kind, Stored(0, project_id, found[key]))], taken_up=[aside])
        else:  # no longer kept
            self._store.commit({project_id: done})

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

    def _close(self, now: datetime, read: int) -> int:
        """Close sessions in which nothing happened for long, and judge their last answers.

        As many as rows were read at least: no more can have begun with these, so however large batches grow while the
        stage is behind, sessions do not pile up.
        """
        quiet = self._store.quiet_sessions(now - self._timeout, max(_CLOSED_AT_ONCE, read))
        if quiet:
            self._sieve.run(quiet, partial(self._end, now), partial(self._leave, now))
        return len(quiet)

    def _end(self, now: datetime, quiet: Sequence[Session], *, writes: Writes | None = None) -> None:
        """Close sessions; `writes`, where given, go with those of their one project."""
        made: dict[str, Writes] = {}
        for project_id in dict.fromkeys(session.project_id for session in quiet):
            ended = [session._replace(closed=True) for session in quiet if session.project_id == project_id]
            mine = made[project_id] = writes or Writes()
            mine.closed = ended
            judging = Judging(self._store, self._recent, self._settings, project_id, {}, now)
            judging.judge([], mine, closing={session.session_id: session for session in ended})
        self._store.commit(made)

    def _leave(self, now: datetime, session: Session, error: str) -> None:
        """Close a session without judging its last answer: left open, it would come again with every tick."""
        writes = Writes(closed=[session._replace(closed=True)])
        self._put_aside(session.project_id, "session", session.session_id, error, now, writes=writes)

    def _redo(self, now: datetime) -> int:
        """Judge again a bounded number of the outcomes that somebody asked for, and remember how far that went."""
        asked: Backfill | None = next(iter(self._store.backfills(1)), None)
        if asked is None:
            return 0
        ids = [outcome.inference_id for outcome in self._store.outcomes_in(asked, _REDONE_AT_ONCE)]
        moved = Writes(backfilled=[asked])
        if len(ids) == _REDONE_AT_ONCE:
            moved = Writes(backfills=[asked._replace(after=ids[-1])])

        def leave(inference_id: str, error: str) -> None:
            self._put_aside(asked.project_id, "outcome", inference_id, error, now)

        if ids:
            self._sieve.run(ids, partial(self._judge_again, asked.project_id, now), leave)
        self._store.commit({asked.project_id: moved})
        return max(1, len(ids))

    def _judge_again(self, project_id: str, now: datetime, ids: Sequence[str], *, writes: Writes | None = None) -> None:
        writes = writes or Writes()
        Judging(self._store, self._recent, self._settings, project_id, {}, now).judge(ids, writes)
        self._store.commit({project_id: writes})


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
