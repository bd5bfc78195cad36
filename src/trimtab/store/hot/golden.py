"""Golden cases that are retired, and answers to cases in the store.

An answer is kept while a gate may need it, for good where a person has ruled on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update

from trimtab.clock import to_micros
from trimtab.records import CaseAnswer
from trimtab.store.codec import id_bytes
from trimtab.store.hot.database import Database, Prepared, prepare
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query, Writes
from trimtab.store.schema import CASE_ANSWERS, CASES

__all__ = ["AnswerStatements", "Golden"]

_RULED = ("ruling", "ruled_at")


class Golden(Port):
    """The verbs of `LoopStore` about answers to golden cases; the contract stands there."""

    def case_answer(self, project_id: str, answer_id: str) -> CaseAnswer | None:
        """Return one answer to a golden case."""
        return by_id(self._database, CASE_ANSWERS, project_id, answer_id)

    def case_answers(
        self,
        project_id: str,
        query: Query,
        *,
        runner: str | None = None,
        ruled: bool | None = None,
        judged: bool | None = None,
    ) -> Page[CaseAnswer]:
        """Return one page of answers to golden cases."""
        columns = CASE_ANSWERS.table.c
        conditions: list[ColumnElement[bool]] = []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        if query.version_id is not None:
            conditions.append(columns.version_id == query.version_id)
        if runner is not None:
            conditions.append(columns.runner == runner)
        if judged is not None:
            conditions.append(columns.judge.is_not(None) if judged else columns.judge.is_(None))
        if ruled is not None:
            conditions.append(columns.ruling.is_not(None) if ruled else columns.ruling.is_(None))
        return paged(self._database, CASE_ANSWERS, project_id, query, *conditions)


class AnswerStatements:
    """Prepared once; `jobs` says what to run with which rows."""

    def __init__(self, database: Database) -> None:
        noun = CASE_ANSWERS
        columns = noun.table.c
        told = [bindparam(name, type_=columns[name].type) for name in noun.inserted]
        mine = (CASES.table.c.project_id == bindparam("project_id"), CASES.table.c.id == bindparam("case_id"))
        values = select(*told).where(exists().where(*mine))  # whose case was erased is not answered for any more
        new = database.insert(noun.table).from_select(list(noun.inserted), values)
        changed: dict[str, Any] = {
            name: new.excluded[name] for name in noun.inserted if name not in ("project_id", "id")
        }
        changed |= {name: func.coalesce(new.excluded[name], columns[name]) for name in _RULED}
        statement = new.on_conflict_do_update(index_elements=noun.key, set_=changed)
        self._upsert = prepare(statement, database.dialect, noun.inserted)
        old = delete(noun.table).where(
            columns.project_id == bindparam("project_id"),
            columns.feature == bindparam("feature"),
            columns.created_at < bindparam("before"),
            columns.ruling.is_(None),
        )
        self._prune = prepare(old, database.dialect, ("project_id", "feature", "before"))
        retired = bindparam("at", type_=CASES.table.c.retired_at.type)
        one = (CASES.table.c.project_id == bindparam("project_id"), CASES.table.c.id == bindparam("case_id"))
        retire = update(CASES.table).where(*one).values(retired_at=retired)
        self._retire = prepare(retire, database.dialect, ("at", "project_id", "case_id"))

    def jobs(
        self, project_id: str, writes: Writes, rows: Sequence[Sequence[Any]]
    ) -> list[tuple[Prepared, Iterable[Sequence[Any]]]]:
        """Return the statements and their rows; `rows` are those of `writes.case_answers`."""
        pruned = [(project_id, feature, to_micros(before)) for feature, before in writes.case_answers_before]
        retired = [(None if at is None else to_micros(at), project_id, id_bytes(each)) for each, at in writes.retired]
        return [(self._prune, pruned), (self._upsert, rows), (self._retire, retired)]
