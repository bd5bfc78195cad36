"""What enriching writes beside judgements: aims, turns, sessions, users, segments, audits and what is to be redone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, true, update

from trimtab.clock import to_micros
from trimtab.store.codec import id_bytes
from trimtab.store.hot.database import Database, Prepared, holes, prepare
from trimtab.store.ports import Backfill, Writes
from trimtab.store.schema import (
    AUDITS,
    CALIBRATIONS,
    OPINIONS,
    USERS,
    aims,
    backfills,
    segments,
    sessions,
    turns,
)

__all__ = ["EnrichingStatements"]

_NO_ID = bytes(16)
_Found = tuple[Prepared, Iterable[Sequence[Any]]]


class EnrichingStatements:
    """Prepared once; `jobs` says what to run with which rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._aim = self._once(aims, ("project_id", "target_kind", "target_key", "feedback_id"))
        self._turn = self._once(turns, ("project_id", "session_id", "created_at", "inference_id", "feature"))
        self._segment = self._once(segments, ("project_id", "feature", "key", "value"))
        self._calibration = self._once(CALIBRATIONS.table, CALIBRATIONS.inserted)
        self._audit = self._once(AUDITS.table, AUDITS.inserted)
        self._session = self._session_statement()
        self._closed = self._closed_statement()
        self._user = self._user_statement()
        self._backfill, self._backfilled = self._backfill_statements()
        self._replaced = self._replaced_statement()

    def replaced(self, project_id: str, writes: Writes) -> _Found:
        """Return what makes room for opinions that are given anew; it must run before they are written."""
        return self._replaced, ((project_id, id_bytes(inference_id)) for inference_id in writes.replaced)

    def jobs(self, project_id: str, writes: Writes, users: Sequence[Sequence[Any]]) -> list[_Found]:
        """Return the statements and their rows; `users` are the rows of the users behind the wall."""
        # Random keys go into their index in sorted lots.
        aimed = sorted((project_id, aim.kind, aim.key, id_bytes(feedback_id)) for feedback_id, aim in writes.aims)
        taken = sorted(
            (project_id, turn.session_id, to_micros(turn.created_at), id_bytes(turn.inference_id), turn.feature)
            for turn in writes.turns
        )
        closed = ((project_id, session.session_id, to_micros(session.last_at)) for session in writes.closed)
        return [
            (self._aim, aimed),
            (self._turn, taken),
            (self._session, sorted((project_id, key, to_micros(at), False) for key, at in writes.sessions)),
            (self._closed, closed),
            (self._segment, sorted((project_id, *segment) for segment in writes.segments)),
            (self._user, users),
            (self._calibration, (CALIBRATIONS.row(project_id, item) for item in writes.calibrations)),
            (self._audit, (AUDITS.row(project_id, item) for item in writes.audits)),
            (self._backfill, (_backfill_row(project_id, item) for item in writes.backfills)),
            (self._backfilled, (_done_row(project_id, item) for item in writes.backfilled)),
        ]

    def _once(self, table: Any, names: Sequence[str]) -> Prepared:
        statement = self._database.insert(table).values(holes(names)).on_conflict_do_nothing()
        return prepare(statement, self._database.dialect, names)

    def _session_statement(self) -> Prepared:
        names = ("project_id", "session_id", "last_at", "closed")
        new = self._database.insert(sessions).values(holes(names))
        statement = new.on_conflict_do_update(
            index_elements=list(sessions.primary_key.columns),
            set_={"last_at": new.excluded.last_at, "closed": new.excluded.closed},
            where=new.excluded.last_at > sessions.c.last_at,
        )
        return prepare(statement, self._database.dialect, names)

    def _closed_statement(self) -> Prepared:
        statement = (
            update(sessions)
            .where(
                sessions.c.project_id == bindparam("project"),
                sessions.c.session_id == bindparam("session"),
                sessions.c.last_at == bindparam("at"),
            )
            .values(closed=true())
        )
        return prepare(statement, self._database.dialect, ("project", "session", "at"))

    def _user_statement(self) -> Prepared:
        new = self._database.insert(USERS.table).values(holes(USERS.inserted))
        changed = {name: new.excluded[name] for name in USERS.inserted if name not in ("project_id", "id")}
        statement = new.on_conflict_do_update(
            index_elements=USERS.key, set_=changed, where=new.excluded.updated_at >= USERS.table.c.updated_at
        )
        return prepare(statement, self._database.dialect, USERS.inserted)

    def _backfill_statements(self) -> tuple[Prepared, Prepared]:
        names = ("project_id", "scope", "key", "asked_at", "after")
        new = self._database.insert(backfills).values(holes(names))
        asked = new.on_conflict_do_update(
            index_elements=list(backfills.primary_key.columns),
            set_={"asked_at": new.excluded.asked_at, "after": new.excluded["after"]},
            where=new.excluded.asked_at >= backfills.c.asked_at,
        )
        told = ("project_id", "scope", "key", "asked_at")
        done = delete(backfills).where(*(backfills.c[name] == bindparam(name) for name in told))
        dialect = self._database.dialect
        return prepare(asked, dialect, names), prepare(done, dialect, told)

    def _replaced_statement(self) -> Prepared:
        columns = OPINIONS.table.c
        gone = delete(OPINIONS.table).where(
            columns.project_id == bindparam("project_id"), columns.inference_id == bindparam("inference_id")
        )
        return prepare(gone, self._database.dialect, ("project_id", "inference_id"))


def _done_row(project_id: str, item: Backfill) -> tuple[Any, ...]:
    if item.project_id != project_id:
        raise ValueError(f"expected a backfill of project {project_id!r}, got one of {item.project_id!r}")
    return (project_id, item.scope, item.key, to_micros(item.asked_at))


def _backfill_row(project_id: str, item: Backfill) -> tuple[Any, ...]:
    return (*_done_row(project_id, item), id_bytes(item.after) if item.after else _NO_ID)
