"""What leaves the hot store by age: found in the order of arrival, removed with all that was derived from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Column, Select, Table, and_, bindparam, case, delete, func, select, tuple_

from trimtab.clock import from_micros, to_micros
from trimtab.store.codec import id_bytes, id_text
from trimtab.store.hot.database import Database, Prepared, holes, prepare
from trimtab.store.hot.page import Port, chunks
from trimtab.store.ports import Due, HotSpan, Keep, PurgedKind, PurgeLot, PurgeMark, PurgeWalk
from trimtab.store.schema import (
    AUDITS,
    FEEDBACK,
    INFERENCES,
    OPINIONS,
    OUTCOMES,
    Noun,
    aims,
    joins,
    orphans,
    purges,
    sessions,
    targets,
    turns,
    votes,
)

__all__ = ["Purges"]

_NEVER = -1
_NOUNS: dict[PurgedKind, Noun[Any]] = {"inferences": INFERENCES, "feedback": FEEDBACK, "outcomes": OUTCOMES}
_MARK = ("kind", "purged", "until", "safe", "noted", "noted_at")
_NAMES = ("external_id", "trace_id", "span_id", "session_id")
_inference = INFERENCES.table.c
_feedback = FEEDBACK.table.c
_outcome = OUTCOMES.table.c
_opinion = OPINIONS.table.c
_Key = tuple[str, bytes]
"""A project and the id of one of its rows."""


class _Answer(NamedTuple):
    """An inference as far as it matters here."""

    seq: int
    project_id: str
    id: bytes
    received_at: int
    feature: str
    created_at: int
    external_id: str | None
    trace_id: str | None
    span_id: str | None
    session_id: str | None


class _Word(NamedTuple):
    """A feedback event as far as it matters here."""

    seq: int
    project_id: str
    id: bytes
    received_at: int
    external_id: str | None
    trace_id: str | None
    span_id: str | None
    session_id: str | None


class _Judged(NamedTuple):
    """An outcome or an opinion: `at` is when the row came to be."""

    seq: int
    project_id: str
    inference_id: bytes
    at: int


class _Talk(NamedTuple):
    """A closed session."""

    project_id: str
    session_id: str
    last_at: int


class Purges(Port):
    """The verbs of `RetentionStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._gone = _Removal(database)
        self._until = {kind: mark.until for kind, mark in self.purge_marks().items()}

    def purgeable(self, walk: PurgeWalk, due: Due, *, after: int, limit: int) -> PurgeLot:
        """Look at no more than `limit` rows after `after` and return those that may go."""
        match walk:
            case "inferences":
                return self._answers(due, after, limit)
            case "feedback":
                return self._words(due, after, limit)
            case "outcomes" | "opinions":
                return self._judgements(walk, due, after, limit)
            case "sessions":
                return self._sessions(due, after, limit)

    def purge(self, lot: PurgeLot) -> dict[PurgedKind, int]:
        """Remove the lot in one transaction with what was derived from it, and count it."""
        if not lot.rows:
            return {}
        answers = [row for row in lot.rows if isinstance(row, _Answer)]
        words = [row for row in lot.rows if isinstance(row, _Word)]
        judged = [row for row in lot.rows if isinstance(row, _Judged)]
        arrived: dict[PurgedKind, Sequence[int]] = {
            "inferences": [row.received_at for row in answers],
            "feedback": [row.received_at for row in words],
            "outcomes": [row.at for row in judged] if lot.walk == "outcomes" else [],
        }
        arrived = {kind: times for kind, times in arrived.items() if times}
        counted: dict[PurgedKind, int] = {}
        for kind in arrived:  # before they go: from now on nothing so old is taken in
            until = from_micros(max(arrived[kind]))
            held = self._until.get(kind)
            self._until[kind] = until if held is None else max(held, until)
        with self._database.transaction({row.project_id for row in lot.rows}) as write:
            for statement, rows in self._gone.jobs(lot.walk, answers, words, judged, lot.rows):
                removed = write.many(statement, rows) if rows else 0
                if removed and statement in self._gone.counted:  # what an erasure took before counts there
                    counted[self._gone.counted[statement]] = removed
            moved = [(kind, counted.get(kind, 0), max(arrived[kind]), 0, 0, _NEVER) for kind in arrived]
            if moved:
                write.many(self._gone.count, moved)
        return counted

    def purge_votes(
        self, before: datetime, busy: Sequence[str], *, after: tuple[str, str], limit: int
    ) -> tuple[str, str] | None:
        """Remove at most `limit` memories of who was counted before `before`."""
        place = tuple_(votes.c.consumer_id, votes.c.user_id)
        ahead = select(votes.c.consumer_id, votes.c.user_id, votes.c.project_id, votes.c.counted_at)
        if after != ("", ""):
            ahead = ahead.where(place > after)
        rows = self._database.rows(ahead.order_by(votes.c.consumer_id, votes.c.user_id).limit(limit))
        latest, held = to_micros(before), set(busy)
        gone = sorted((row[0], row[1], latest) for row in rows if row[3] < latest and row[2] not in held)
        if gone:
            with self._database.transaction({row[2] for row in rows}) as write:
                write.many(self._gone.vote, gone)
        return (rows[-1][0], rows[-1][1]) if len(rows) == limit else None

    def purge_marks(self) -> dict[PurgedKind, PurgeMark]:
        """Return how far each kind has gone."""
        return {
            kind: PurgeMark(int(count), _time(until), int(safe), int(noted), _time(noted_at))
            for kind, count, until, safe, noted, noted_at in self._database.rows(
                select(*(purges.c[name] for name in _MARK))
            )
        }

    def purged_until(self, kind: PurgedKind) -> datetime | None:
        """Return when the last of the purged rows of that kind had arrived, from memory."""
        return self._until.get(kind)

    def places(self, kind: PurgedKind, *, after: int, upto: int, limit: int) -> list[tuple[int, str]]:
        """Return at most `limit` of the kind's rows in (after, upto], rising: place and id."""
        columns = _NOUNS[kind].table.c
        key = columns.inference_id if kind == "outcomes" else columns.id
        found = select(columns.seq, key).where(columns.seq > after, columns.seq <= upto)
        return [(int(seq), id_text(raw)) for seq, raw in self._database.rows(found.order_by(columns.seq).limit(limit))]

    def mark_safe(self, kind: PurgedKind, *, safe: int, noted: int, at: datetime) -> None:
        """Remember where the lake stood at that moment, and up to where rows are in it for good."""
        with self._database.transaction() as write:
            write.many(self._gone.mark, [(kind, 0, _NEVER, safe, noted, to_micros(at))])

    def hot_span(self, kind: PurgedKind, *, count: bool = True) -> HotSpan:
        """Return what is held of that kind."""
        table = _NOUNS[kind].table
        when = table.c.judged_at if kind == "outcomes" else table.c.received_at
        oldest = self._database.rows(select(when).order_by(table.c.seq).limit(1))
        rows = self._database.rows(select(func.count()).select_from(table))[0][0] if count else 0
        return HotSpan(int(rows), from_micros(oldest[0][0]) if oldest else None)

    def tidy(self, before: datetime) -> int:
        """Give back what room can be given back without holding up writers."""
        return self._database.give_back(before)

    # ---------------------------------------------------------------- what may go

    def _answers(self, due: Due, after: int, limit: int) -> PurgeLot:
        columns = [_inference[name] for name in _Answer._fields]
        looked, ended = self._old("inferences", INFERENCES, columns, due, after, limit)
        rows = [_Answer(*row) for row in looked]
        said = self._said_about(rows)
        busy = self._unread(rows, due) | self._unjudged(rows)
        answers, words = [], []
        for row in rows:
            keep = _keep(due, row.project_id)
            mine = said.get((row.project_id, row.id), [])
            if (row.project_id, row.id) in busy or _kept(keep, row.feature, row.created_at):
                continue
            if id_text(row.id) in keep.inferences or not all(_is_due(word, keep, due) for word in mine):
                continue
            answers.append(row)
            words += mine
        reached = rows[-1].seq if rows else after
        return PurgeLot("inferences", reached, ended, len(rows), [*answers, *words], _vectors(answers, words))

    def _words(self, due: Due, after: int, limit: int) -> PurgeLot:
        """Find feedback that no answer here has: what was said about an answer goes together with it."""
        columns = [_feedback[name] for name in _Word._fields]
        looked, ended = self._old("feedback", FEEDBACK, columns, due, after, limit)
        rows = [_Word(*row) for row in looked]
        taken: set[_Key] = set()
        here = and_(_inference.project_id == joins.c.project_id, _inference.id == joins.c.inference_id)
        for project_id, lot in _lots(rows):
            found = select(joins.c.feedback_id).join_from(joins, INFERENCES.table, here)
            found = found.where(joins.c.project_id == project_id, joins.c.feedback_id.in_(lot))
            taken.update((project_id, row[0]) for row in self._database.rows(found))
        words = [
            row
            for row in rows
            if (row.project_id, row.id) not in taken and _is_due(row, _keep(due, row.project_id), due)
        ]
        return PurgeLot("feedback", rows[-1].seq if rows else after, ended, len(rows), words, _vectors([], words))

    def _judgements(self, walk: Literal["outcomes", "opinions"], due: Due, after: int, limit: int) -> PurgeLot:
        """Find outcomes whose answer is gone; and opinions without either, since comments alone make no outcome."""
        noun: Noun[Any] = OUTCOMES if walk == "outcomes" else OPINIONS
        when = "judged_at" if walk == "outcomes" else "created_at"
        columns = [noun.table.c[name] for name in ("seq", "project_id", "inference_id", when)]
        looked, ended = self._old("outcomes", noun, columns, due, after, limit)
        rows = [_Judged(*row) for row in looked]
        held: set[_Key] = set()
        for project_id, lot in _lots(rows, "inference_id"):
            held |= self._there(INFERENCES.table, _inference.id, project_id, lot)
            if walk == "opinions":
                held |= self._there(OUTCOMES.table, _outcome.inference_id, project_id, lot)
        for project_id in dict.fromkeys(row.project_id for row in rows):
            held.update((project_id, id_bytes(each)) for each in _keep(due, project_id).inferences)
        gone = [row for row in rows if (row.project_id, row.inference_id) not in held]
        return PurgeLot(walk, rows[-1].seq if rows else after, ended, len(rows), gone, {})

    def _sessions(self, due: Due, after: int, limit: int) -> PurgeLot:
        before = due.before.get("inferences")
        if before is None:
            return PurgeLot("sessions", after, ended=True, looked=0, rows=[], vectors={})
        ahead = (
            select(sessions.c.project_id, sessions.c.session_id, sessions.c.last_at)
            .where(sessions.c.closed.is_(True), sessions.c.last_at > after, sessions.c.last_at < to_micros(before))
            .order_by(sessions.c.last_at)
            .limit(limit)
        )
        rows = [_Talk(*row) for row in self._database.rows(ahead)]
        alive: set[tuple[str, str]] = set()
        for project_id in dict.fromkeys(row.project_id for row in rows):
            for lot in chunks([row.session_id for row in rows if row.project_id == project_id]):
                found = select(turns.c.session_id).distinct()
                found = found.where(turns.c.project_id == project_id, turns.c.session_id.in_(lot))
                alive.update((project_id, row[0]) for row in self._database.rows(found))
        quiet = [row for row in rows if (row.project_id, row.session_id) not in alive]
        return PurgeLot("sessions", rows[-1].last_at if rows else after, len(rows) < limit, len(rows), quiet, {})

    def _old(
        self, kind: PurgedKind, noun: Noun[Any], columns: Sequence[Column[Any]], due: Due, after: int, limit: int
    ) -> tuple[list[Sequence[Any]], bool]:
        """Return the rows ahead up to the first one that is too young, and whether there is nothing behind them.

        Rows lie in the order of arrival, so behind a young one there are at most such as came in the same moment.
        """
        before = due.before.get(kind)
        if before is None:
            return [], True
        place = noun.table.c.seq
        ahead: Select[Any] = select(*columns).where(place > after)
        if noun is not OPINIONS:
            ahead = ahead.where(place <= due.upto.get(kind, 0))
        rows = self._database.rows(ahead.order_by(place).limit(limit))
        latest = to_micros(before)
        found: list[Sequence[Any]] = []
        for row in rows:
            if row[3] >= latest:
                return found, True
            found.append(row)
        return found, len(rows) < limit

    def _said_about(self, rows: Sequence[_Answer]) -> dict[_Key, list[_Word]]:
        found: dict[_Key, list[_Word]] = defaultdict(list)
        columns = [_feedback[name] for name in _Word._fields]
        here = and_(_feedback.project_id == joins.c.project_id, _feedback.id == joins.c.feedback_id)
        for project_id, lot in _lots(rows):
            said = select(joins.c.inference_id, *columns).join_from(joins, FEEDBACK.table, here)
            said = said.where(joins.c.project_id == project_id, joins.c.inference_id.in_(lot))
            for row in self._database.rows(said):
                found[project_id, row[0]].append(_Word(*row[1:]))
        return found

    def _unread(self, rows: Sequence[_Answer], due: Due) -> set[_Key]:
        """Return the answers whose outcome has not been read by every stage and shipped."""
        found: set[_Key] = set()
        for project_id, lot in _lots(rows):
            above = _outcome.seq > due.upto.get("outcomes", 0)
            found |= self._there(OUTCOMES.table, _outcome.inference_id, project_id, lot, above)
        return found

    def _unjudged(self, rows: Sequence[_Answer]) -> set[_Key]:
        """Return the answers that were drawn for an audit and wait for a reviewer's word."""
        found: set[_Key] = set()
        for project_id, lot in _lots(rows):
            drawn = self._there(AUDITS.table, AUDITS.table.c.inference_id, project_id, lot)
            if drawn:
                asked = sorted(key for _, key in drawn)
                drawn -= self._there(
                    OPINIONS.table, _opinion.inference_id, project_id, asked, _opinion.source == "reviewer"
                )
            found |= drawn
        return found

    def _there(self, table: Table, column: Any, project_id: str, lot: Sequence[bytes], *conditions: Any) -> set[_Key]:
        """Return which of the ids the table has, with their project."""
        statement = select(column).where(table.c.project_id == project_id, column.in_(lot), *conditions)
        return {(project_id, row[0]) for row in self._database.rows(statement)}


class _Removal:
    """The statements that remove rows and what was derived from them, prepared once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inference = self._delete(INFERENCES.table, "project_id", "id")
        self._feedback = self._delete(FEEDBACK.table, "project_id", "id")
        self._outcome = self._delete(OUTCOMES.table, "project_id", "inference_id", "seq")
        self._opinion = self._delete(OPINIONS.table, "project_id", "inference_id")
        self.counted: dict[Prepared, PurgedKind] = {
            self._inference: "inferences",
            self._feedback: "feedback",
            self._outcome: "outcomes",
        }
        self._join = self._delete(joins, "project_id", "feedback_id")
        self._orphan = self._delete(orphans, "project_id", "feedback_id")
        self._aim = self._delete(aims, "project_id", "target_kind", "target_key", "feedback_id")
        self._target = self._delete(targets, "project_id", "kind", "key", "inference_id")
        self._turn = self._delete(turns, "project_id", "session_id", "created_at", "inference_id")
        self._session = self._delete(sessions, "project_id", "session_id", "last_at")
        same = [votes.c[name] == bindparam(f"of_{name}") for name in ("consumer_id", "user_id")]
        self.vote = prepare(
            delete(votes).where(*same, votes.c.counted_at < bindparam("before")),
            database.dialect,
            ("of_consumer_id", "of_user_id", "before"),
        )
        new = database.insert(purges).values(holes(_MARK))
        later = case((new.excluded.until > purges.c.until, new.excluded.until), else_=purges.c.until)
        key = list(purges.primary_key.columns)
        counted = new.on_conflict_do_update(
            index_elements=key, set_={"purged": purges.c.purged + new.excluded.purged, "until": later}
        )
        self.count = prepare(counted, database.dialect, _MARK)
        marked = {name: new.excluded[name] for name in ("safe", "noted", "noted_at")}
        self.mark = prepare(new.on_conflict_do_update(index_elements=key, set_=marked), database.dialect, _MARK)

    def jobs(
        self,
        walk: PurgeWalk,
        answers: Sequence[_Answer],
        words: Sequence[_Word],
        judged: Sequence[_Judged],
        rows: Sequence[Any],
    ) -> list[tuple[Prepared, Sequence[Sequence[Any]]]]:
        """Return what to run with which rows."""
        said = [(word.project_id, word.id) for word in words]
        turned = [(row.project_id, row.session_id, row.created_at, row.id) for row in answers if row.session_id]
        named = [(row.project_id, *name, row.id) for row in answers for name in _named(row) if name[0] != "session"]
        opinions = sorted({(row.project_id, row.inference_id) for row in judged})
        outcomes = [(row.project_id, row.inference_id, row.seq) for row in judged] if walk == "outcomes" else []
        return [
            (self._inference, [(row.project_id, row.id) for row in answers]),
            (self._target, sorted(named)),
            (self._turn, sorted(turned)),
            (self._feedback, said),
            (self._join, said),
            (self._orphan, said),
            (self._aim, sorted((word.project_id, *name, word.id) for word in words for name in _named(word))),
            (self._outcome, outcomes),
            (self._opinion, opinions),
            (self._session, rows if walk == "sessions" else []),
        ]

    def _delete(self, table: Table, *names: str) -> Prepared:
        conditions = [table.c[name] == bindparam(f"of_{name}", type_=table.c[name].type) for name in names]
        return prepare(delete(table).where(*conditions), self._database.dialect, tuple(f"of_{name}" for name in names))


def _named(row: _Answer | _Word) -> Iterable[tuple[str, str]]:
    """Yield every name under which the row may stand among targets or aims, as (kind, key)."""
    if row.external_id:
        yield "external", row.external_id
    if row.trace_id:
        yield "trace", row.trace_id
        if row.span_id:
            yield "span", f"{row.trace_id}/{row.span_id}"
    if row.session_id:
        yield "session", row.session_id


def _keep(due: Due, project_id: str) -> Keep:
    try:
        return due.keep[project_id]
    except KeyError:
        return Keep()


def _is_due(word: _Word, keep: Keep, due: Due) -> bool:
    before = due.before.get("feedback")
    return (
        before is not None
        and word.received_at < to_micros(before)
        and word.seq <= due.upto.get("feedback", 0)
        and id_text(word.id) not in keep.feedback
    )


def _kept(keep: Keep, feature: str, created_at: int) -> bool:
    since = keep.since.get(feature)
    return since is not None and created_at >= to_micros(since)


def _lots(rows: Sequence[Any], key: str = "id") -> Iterable[tuple[str, Sequence[bytes]]]:
    """Yield by project the ids of the rows, as many as fit into one IN list."""
    for project_id in dict.fromkeys(row.project_id for row in rows):
        for lot in chunks([getattr(row, key) for row in rows if row.project_id == project_id]):
            yield project_id, lot


def _vectors(
    answers: Sequence[_Answer], words: Sequence[_Word]
) -> dict[tuple[str, Literal["feedback", "inference"]], list[str]]:
    found: dict[tuple[str, Literal["feedback", "inference"]], list[str]] = defaultdict(list)
    for answer in answers:
        found[answer.project_id, "inference"].append(id_text(answer.id))
    for word in words:
        found[word.project_id, "feedback"].append(id_text(word.id))
    return found


def _time(micros: int) -> datetime | None:
    return None if micros == _NEVER else from_micros(micros)
