"""Removing a person from the hot store: the tombstone first, then a list of what is theirs, then row by row by id.

The list (`erasing`) is durable before anything goes and stays until every place is done, so that a kill at any moment
loses nothing: whoever goes on reads it again. It alone still names the person meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, delete, exists, select

from trimtab.clock import to_micros
from trimtab.records import Erasure, Feedback, Inference
from trimtab.store.codec import id_bytes, id_text
from trimtab.store.erasing import ERASED, Gone, names_of
from trimtab.store.hot.database import Database, Prepared, Transaction, holes, prepare
from trimtab.store.hot.erase_reviews import ReviewRemoval
from trimtab.store.hot.page import Port, by_id, chunks, paged
from trimtab.store.hot.tombstones import ERASING, Tombstones, without_users
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import (
    AUDITS,
    CASE_ANSWERS,
    CASES,
    ERASURES,
    FEEDBACK,
    INFERENCES,
    MONITORS,
    OPINIONS,
    OUTCOMES,
    USERS,
    Noun,
    aims,
    backfills,
    erasing,
    joins,
    orphans,
    sessions,
    targets,
    turns,
    votes,
)

__all__ = ["Erasures"]

PLACE = "hot"
_PAGE = 5000
_NAMES = ("project_id", "erasure_id", "kind", "key")
_NO_ID = bytes(16)
_Counts = dict[str, int]


class Erasures(Port):
    """The verbs of `ErasureStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._graves = Tombstones(database)
        self._removal = _Removal(database)
        new = database.insert(erasing).values(holes(_NAMES)).on_conflict_do_nothing()
        self._list = prepare(new, database.dialect, _NAMES)
        self._upsert = _upsert(database, ERASURES)
        columns = ERASURES.table.c
        same = select(*ERASURES.fields).where(
            columns.project_id == bindparam("project_id"),
            columns.person == bindparam("person"),
            columns.state == bindparam("state"),
        )
        self._same = prepare(same, database.dialect, ("project_id", "person", "state"))
        named = ("project_id", "erasure_id", "kind")
        listed = select(erasing.c.key).where(*(erasing.c[name] == bindparam(name) for name in named))
        self._is_listed = prepare(listed, database.dialect, named)
        unlisted = delete(erasing).where(
            erasing.c.project_id == bindparam("project_id"), erasing.c.erasure_id == bindparam("erasure_id")
        )
        self._unlist = prepare(unlisted, database.dialect, ("project_id", "erasure_id"))
        asked = ("project_id", "scope", "key", "asked_at", "after")
        self._again = prepare(
            database.insert(backfills).values(holes(asked)).on_conflict_do_nothing(), database.dialect, asked
        )

    def erasure(self, project_id: str, erasure_id: str) -> Erasure | None:
        """Return one erasure."""
        return by_id(self._database, ERASURES, project_id, erasure_id)

    def erasures(self, project_id: str, query: Query) -> Page[Erasure]:
        """Return one page of erasures; times are compared with `asked_at`."""
        return paged(self._database, ERASURES, project_id, query, time=ERASURES.table.c.asked_at)

    def working_erasures(self, limit: int) -> list[Stored[Erasure]]:
        """Return at most `limit` erasures of all projects that are not done, the one asked for first ahead."""
        columns = ERASURES.table.c
        statement = select(*ERASURES.columns).where(columns.state == "working").order_by(columns.seq).limit(limit)
        return [ERASURES.stored(row) for row in self._database.rows(statement)]

    def bury(self, project_id: str, erasure: Erasure, user_ids: Sequence[str]) -> Erasure:
        """Make it durable that this person goes, and that nothing more of theirs is taken in."""
        with self._database.transaction([project_id, ERASING]) as write:
            working = [ERASURES.decode(row) for row in write.found(self._same, (project_id, erasure.person, "working"))]
            # One whose list was thrown away only waits for the disk: what is asked for now is another.
            found = next((one for one in working if write.one(self._is_listed, (project_id, one.id, "user"))), None)
            kept = found or erasure
            if found is None:
                write.many(self._upsert, [ERASURES.row(project_id, erasure)])
            write.many(self._list, _rows(project_id, kept.id, "user", user_ids))
            self._graves.bury(write, project_id, "user", user_ids)
        return kept

    def gone(self, project_id: str, erasure_id: str) -> Gone:
        """Return what the erasure has listed so far."""
        told = {kind: self._listed(project_id, erasure_id, kind) for kind in Gone._fields}
        return Gone(told["users"], told["inferences"], told["feedback"])

    def collect(
        self, project_id: str, erasure_id: str, *, inferences: Iterable[str] = (), feedback: Iterable[str] = ()
    ) -> Gone:
        """List, with tombstones, what of the hot store is the person's, and what other places found."""
        users = self._listed(project_id, erasure_id, "users")
        held = list(self._of(project_id, users))
        own = {record.id for record in held} | set(inferences)
        names = self._own_names(project_id, held, own)
        # First these: from here on no feedback on them comes in that the search for it could miss.
        self._bury(project_id, erasure_id, {"inference": own, "name": names})
        words = set(feedback) | self._words_of(project_id, set(users), own, names)
        spoken_on = self._voiced(project_id, users, words) - own
        self._bury(project_id, erasure_id, {"feedback": words, "judge": spoken_on})
        return self.gone(project_id, erasure_id)

    def erase(self, project_id: str, erasure: Erasure) -> Erasure:
        """Remove everything listed, in small transactions that each carry their own counts."""
        gone = self.gone(project_id, erasure.id)
        removal = self._removal
        for lot in chunks(gone.feedback):
            words = list(self._records(FEEDBACK, project_id, lot))
            work = partial(removal.words, project_id=project_id, ids=lot, held=words)
            erasure = self._receipted(project_id, erasure, work)
        judge = self._listed(project_id, erasure.id, "judge")
        for lot in chunks(judge):
            work = partial(removal.spoken, project_id=project_id, ids=lot, users=gone.users)
            erasure = self._receipted(project_id, erasure, work)
        for lot in chunks(gone.inferences):
            answers = list(self._records(INFERENCES, project_id, lot))
            work = partial(removal.answers, project_id=project_id, ids=lot, held=answers)
            erasure = self._receipted(project_id, erasure, work)
        work = partial(self._swept, project_id=project_id, erasure=erasure, gone=gone, judge=bool(judge))
        return self._receipted(project_id, erasure, work, last=True)

    def judged(self, project_id: str, erasure_id: str) -> bool:
        """Say whether everything the person spoke on has been judged again without them."""
        columns = backfills.c
        waits = select(columns.key).where(
            columns.project_id == project_id, columns.scope == "erasure", columns.key == erasure_id
        )
        return not self._database.rows(waits)

    def close_erasure(self, project_id: str, erasure: Erasure) -> Erasure:
        """Throw the list away: from now on the person's id is nowhere. What slipped in meanwhile goes with it."""
        users = self._listed(project_id, erasure.id, "users")

        def last(write: Transaction) -> _Counts:
            counts = self._removal.sweep(write, project_id, users) if users else {}
            write.many(self._unlist, [(project_id, erasure.id)])
            return counts

        return self._receipted(project_id, erasure, last)

    def scrub(self) -> list[str]:
        """Take off the disk what was deleted; return what a person should know about what is left."""
        return self._database.scrub()

    # ---------------------------------------------------------------- finding

    def _listed(self, project_id: str, erasure_id: str, kind: str) -> list[str]:
        told = {"users": "user", "inferences": "inference"}.get(kind, kind)
        statement = select(erasing.c.key).where(
            erasing.c.project_id == project_id, erasing.c.erasure_id == erasure_id, erasing.c.kind == told
        )
        return [row[0] for row in self._database.rows(statement.order_by(erasing.c.key))]

    def _of(self, project_id: str, users: Sequence[str]) -> Iterator[Inference]:
        """Yield the person's inferences. Reads the whole table: none is indexed by user."""
        columns, after = INFERENCES.table.c, 0
        while True:
            statement = (
                select(*INFERENCES.columns)
                .where(columns.project_id == project_id, columns.user_id.in_(users), columns.seq > after)
                .with_hint(INFERENCES.table, "NOT INDEXED", dialect_name="sqlite")
                .order_by(columns.seq)
                .limit(_PAGE)
            )
            rows = [INFERENCES.stored(row) for row in self._database.rows(statement)]
            yield from (row.record for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    def _own_names(self, project_id: str, held: Sequence[Inference], own: set[str]) -> set[str]:
        """Return the names that stand for the person's inferences alone; a session may be shared."""
        names = {name for record in held for name in names_of(record)}
        keys = sorted({record.session_id for record in held if record.session_id})
        for lot in chunks(keys):
            statement = select(turns.c.session_id, turns.c.inference_id).where(
                turns.c.project_id == project_id, turns.c.session_id.in_(lot)
            )
            shared = {row[0] for row in self._database.rows(statement) if id_text(row[1]) not in own}
            names -= {f"session\x00{key}" for key in shared}
        return names

    def _words_of(self, project_id: str, users: set[str], own: set[str], names: set[str]) -> set[str]:
        """Return the ids of feedback by the person, and by anybody on their inferences. Reads the table whole."""
        columns, after = FEEDBACK.table.c, 0
        told = ("user_id", "inference_id", "external_id", "trace_id", "session_id")
        found: set[str] = set()
        while True:
            statement = (
                select(columns.seq, columns.id, *(columns[name] for name in told))
                .where(columns.project_id == project_id, columns.seq > after)
                .with_hint(FEEDBACK.table, "NOT INDEXED", dialect_name="sqlite")
                .order_by(columns.seq)
                .limit(_PAGE)
            )
            rows = self._database.rows(statement)
            for _, key, user_id, about, external, trace, session in rows:
                calls = {f"external\x00{external}", f"trace\x00{trace}", f"session\x00{session}"}
                on = id_text(about) in own if about is not None else bool(calls & names)
                if user_id in users or on:
                    found.add(id_text(key))
            if len(rows) < _PAGE:
                break
            after = rows[-1][0]
        for lot in chunks([id_bytes(each) for each in sorted(own)]):
            statement = select(joins.c.feedback_id).where(
                joins.c.project_id == project_id, joins.c.inference_id.in_(lot)
            )
            found |= {id_text(row[0]) for row in self._database.rows(statement)}
        return found

    def _voiced(self, project_id: str, users: Sequence[str], words: set[str]) -> set[str]:
        """Return the ids of inferences on which the person's words count."""
        columns = OPINIONS.table.c
        told = select(columns.inference_id).where(columns.project_id == project_id, columns.user_id.in_(users))
        found = {id_text(row[0]) for row in self._database.rows(told)}
        for lot in chunks([id_bytes(each) for each in sorted(words)]):
            statement = select(joins.c.inference_id).where(
                joins.c.project_id == project_id, joins.c.feedback_id.in_(lot)
            )
            found |= {id_text(row[0]) for row in self._database.rows(statement)}
        return found

    def _records(self, noun: Noun[Any], project_id: str, ids: Sequence[str]) -> Iterator[Any]:
        columns = noun.table.c
        statement = select(*noun.fields).where(
            columns.project_id == project_id, columns.id.in_([id_bytes(each) for each in ids])
        )
        return (noun.decode(row) for row in self._database.rows(statement))

    # ---------------------------------------------------------------- writing

    def _bury(self, project_id: str, erasure_id: str, told: dict[Any, set[str]]) -> None:
        with self._database.transaction([project_id, ERASING]) as write:
            for kind, ids in told.items():
                if ids and kind != "name":
                    write.many(self._list, _rows(project_id, erasure_id, kind, ids))
                if kind != "judge":
                    self._graves.bury(write, project_id, kind, ids)

    def _receipted(
        self, project_id: str, erasure: Erasure, work: Callable[[Transaction], _Counts], *, last: bool = False
    ) -> Erasure:
        """Do a piece of work and write what it removed into the receipt, in one transaction."""
        with self._database.transaction([project_id]) as write:
            counts = work(write)
            held = dict(erasure.removed.get(PLACE, {}))
            for table, count in counts.items():
                held[table] = held.get(table, 0) + count
            finished = [*erasure.finished, PLACE] if last and PLACE not in erasure.finished else erasure.finished
            told = msgspec.structs.replace(erasure, removed={**erasure.removed, PLACE: held}, finished=finished)
            write.many(self._upsert, [ERASURES.row(project_id, told)])
        return told

    def _swept(self, write: Transaction, project_id: str, erasure: Erasure, gone: Gone, *, judge: bool) -> _Counts:
        counts = self._removal.sweep(write, project_id, gone.users)
        if themes := self._removal.reviews.themes(write, project_id, gone.inferences):
            counts["themes"] = themes
        if judge:
            write.many(self._again, [(project_id, "erasure", erasure.id, to_micros(erasure.asked_at), _NO_ID)])
        self._graves.rise(write, ERASED)
        return counts


class _Removal:
    """Prepared deletions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reviews = ReviewRemoval(database)
        self._by = {
            (table, *names): self._gone(table, *names)
            for table, *names in (
                (FEEDBACK.table, "id"),
                (INFERENCES.table, "id"),
                (OPINIONS.table, "inference_id"),
                (OPINIONS.table, "inference_id", "user_id"),
                (OPINIONS.table, "user_id"),
                (OUTCOMES.table, "inference_id"),
                (OUTCOMES.table, "user_id"),
                (AUDITS.table, "inference_id"),
                (CASES.table, "feedback_id"),
                (USERS.table, "id"),
                (joins, "feedback_id"),
                (joins, "inference_id"),
                (orphans, "feedback_id"),
                (aims, "target_kind", "target_key", "feedback_id"),
                (targets, "kind", "key", "inference_id"),
                (turns, "session_id", "inference_id"),
                (votes, "user_id"),
                (backfills, "scope", "key"),
            )
        }
        outcome, inference = OUTCOMES.table.c, INFERENCES.table.c
        there = exists().where(inference.project_id == outcome.project_id, inference.id == outcome.inference_id)
        own = outcome.project_id == bindparam("project_id")
        self._alone = prepare(
            delete(OUTCOMES.table).where(own, outcome.inference_id == bindparam("inference_id"), ~there),
            database.dialect,
            ("project_id", "inference_id"),
        )
        self._voted = prepare(
            delete(OUTCOMES.table).where(own, outcome.voter_id == bindparam("voter_id"), ~there),
            database.dialect,
            ("project_id", "voter_id"),
        )
        left = exists().where(turns.c.project_id == sessions.c.project_id, turns.c.session_id == sessions.c.session_id)
        self._session = prepare(
            delete(sessions).where(
                sessions.c.project_id == bindparam("project_id"),
                sessions.c.session_id == bindparam("session_id"),
                ~left,
            ),
            database.dialect,
            ("project_id", "session_id"),
        )
        watching = select(*MONITORS.fields).where(MONITORS.table.c.project_id == bindparam("project_id"))
        self._watching = prepare(watching, database.dialect, ("project_id",))
        self._monitor = _upsert(database, MONITORS)
        self._case_answers = _answers_gone(database)

    def words(self, write: Transaction, project_id: str, ids: Sequence[str], held: Sequence[Feedback]) -> _Counts:
        """Remove feedback with its joins and what was made of it."""
        keys = [(project_id, id_bytes(each)) for each in ids]
        aimed = [(project_id, kind, key, id_bytes(word.id)) for word in held for kind, key in _aims(word)]
        return _some(
            case_answers=write.many(self._case_answers, keys),
            cases=write.many(self._by[CASES.table, "feedback_id"], keys),
            joins=write.many(self._by[joins, "feedback_id"], keys),
            orphans=write.many(self._by[orphans, "feedback_id"], keys),
            aims=write.many(self._by[aims, "target_kind", "target_key", "feedback_id"], aimed) if aimed else 0,
            feedback=write.many(self._by[FEEDBACK.table, "id"], keys),
            reviews=self.reviews.words(write, project_id, ids),
        )

    def spoken(self, write: Transaction, project_id: str, ids: Sequence[str], users: Sequence[str]) -> _Counts:
        """Remove the person's opinions on others' inferences, and judgements of what is no longer kept."""
        told = [(project_id, id_bytes(each), user) for each in ids for user in users]
        return _some(
            opinions=write.many(self._by[OPINIONS.table, "inference_id", "user_id"], told),
            outcomes=write.many(self._alone, [(project_id, id_bytes(each)) for each in ids]),
        )

    def answers(self, write: Transaction, project_id: str, ids: Sequence[str], held: Sequence[Inference]) -> _Counts:
        """Remove inferences with everything that hangs on them."""
        keys = [(project_id, id_bytes(each)) for each in ids]
        named = [(project_id, kind, key, id_bytes(one.id)) for one in held for kind, key in _targets(one)]
        taken = [(project_id, one.session_id, id_bytes(one.id)) for one in held if one.session_id]
        counts = _some(
            outcomes=write.many(self._by[OUTCOMES.table, "inference_id"], keys),
            opinions=write.many(self._by[OPINIONS.table, "inference_id"], keys),
            audits=write.many(self._by[AUDITS.table, "inference_id"], keys),
            reviews=self.reviews.answers(write, project_id, ids),
            joins=write.many(self._by[joins, "inference_id"], keys),
            targets=write.many(self._by[targets, "kind", "key", "inference_id"], named) if named else 0,
            turns=write.many(self._by[turns, "session_id", "inference_id"], taken) if taken else 0,
        )
        ended = sorted({(project_id, key) for _, key, _ in taken})
        counts["sessions"] = write.many(self._session, ended) if ended else 0
        counts["inferences"] = write.many(self._by[INFERENCES.table, "id"], keys)
        return _some(**counts)

    def sweep(self, write: Transaction, project_id: str, users: Sequence[str]) -> _Counts:
        """Remove what names the person otherwise."""
        keys = [(project_id, user) for user in users]
        counts = _some(
            users=write.many(self._by[USERS.table, "id"], keys),
            votes=write.many(self._by[votes, "user_id"], keys),
            reviewers=self.reviews.people(write, project_id, users),
            opinions=write.many(self._by[OPINIONS.table, "user_id"], keys),
            outcomes=write.many(self._by[OUTCOMES.table, "user_id"], keys) + write.many(self._voted, keys),
        )
        write.many(self._by[backfills, "scope", "key"], [(project_id, "user", user) for user in users])
        watched = [MONITORS.decode(row) for row in write.found(self._watching, (project_id,))]
        cleaned = [(before, without_users(before, users)) for before in watched]
        changed = [after for before, after in cleaned if after is not before]
        if changed:
            write.many(self._monitor, [MONITORS.row(project_id, monitor) for monitor in changed])
            counts["monitors"] = len(changed)
        return counts

    def _gone(self, table: Table, *names: str) -> Prepared:
        told = ("project_id", *names)
        return prepare(
            delete(table).where(*(table.c[name] == bindparam(name, type_=table.c[name].type) for name in told)),
            self._database.dialect,
            told,
        )


def _upsert(database: Database, noun: Noun[Any]) -> Prepared:
    new = database.insert(noun.table).values(holes(noun.inserted))
    changed = {name: new.excluded[name] for name in noun.inserted if name not in ("project_id", "id")}
    statement = new.on_conflict_do_update(index_elements=noun.key, set_=changed)
    return prepare(statement, database.dialect, noun.inserted)


def _answers_gone(database: Database) -> Prepared:
    """Return what deletes the answers to the golden cases that were made of a word."""
    answered, case = CASE_ANSWERS.table.c, CASES.table.c
    told = case.feedback_id == bindparam("feedback_id", type_=case.feedback_id.type)
    of_case = select(case.id).where(case.project_id == bindparam("project_id"), told)
    gone = delete(CASE_ANSWERS.table).where(
        answered.project_id == bindparam("project_id"), answered.case_id.in_(of_case)
    )
    return prepare(gone, database.dialect, ("project_id", "feedback_id"))


def _rows(project_id: str, erasure_id: str, kind: str, keys: Iterable[str]) -> list[tuple[str, ...]]:
    return sorted((project_id, erasure_id, kind, key) for key in set(keys))


def _aims(word: Feedback) -> list[tuple[str, str]]:
    """Return whatever the feedback may have been kept as aiming at."""
    told = [tuple(name.split("\x00", 1)) for name in names_of(word)]
    if word.trace_id and word.span_id:
        told.append(("span", f"{word.trace_id}/{word.span_id}"))
    return [(kind, key) for kind, key in told]


def _targets(one: Inference) -> list[tuple[str, str]]:
    told = [("external", one.external_id), ("trace", one.trace_id)]
    if one.trace_id and one.span_id:
        told.append(("span", f"{one.trace_id}/{one.span_id}"))
    return [(kind, key) for kind, key in told if key]


def _some(**counts: int) -> _Counts:
    return {table: count for table, count in counts.items() if count}
