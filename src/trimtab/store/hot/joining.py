"""Joining a feedback to its answer: the row says of both what lists look for, so that they need not read either."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Text, and_, bindparam, false, func, literal_column, or_, select, true

from trimtab.store.hot.database import Database, Prepared, prepare
from trimtab.store.schema import FEEDBACK, INFERENCES, joins

__all__ = ["join_statement"]

_NAMES = ("project_id", "feedback_id", "inference_id")
_said = FEEDBACK.table.c
_about = INFERENCES.table.c


def join_statement(database: Database) -> Prepared:
    """Return what joins a feedback to an inference, now or another one than before: project, feedback, inference."""
    named = select(
        bindparam("project_id", type_=Text()).label("project_id"),
        bindparam("feedback_id", type_=LargeBinary()).label("feedback_id"),
        bindparam("inference_id", type_=LargeBinary()).label("inference_id"),
    ).subquery("named")
    copied: dict[str, ColumnElement[Any]] = {
        "feature": _about.feature,
        "version_id": _about.version_id,
        "created_at": _said.created_at,
        "place": _said.seq,
        "kind": _said.kind,
        "negative": func.coalesce(_negative(), false()),
        "readable": func.coalesce(_readable(), false()),
    }
    values = (
        select(*named.c, *copied.values())
        .select_from(named)
        .outerjoin(FEEDBACK.table, and_(_said.project_id == named.c.project_id, _said.id == named.c.feedback_id))
        .outerjoin(INFERENCES.table, and_(_about.project_id == named.c.project_id, _about.id == named.c.inference_id))
        .where(true())  # SQLite takes ON CONFLICT for a join without it
    )
    new = database.insert(joins).from_select([*_NAMES, *copied], values)
    statement = new.on_conflict_do_update(
        index_elements=list(joins.primary_key.columns),
        set_={name: new.excluded[name] for name in ("inference_id", *copied)},
    )
    return prepare(statement, database.dialect, _NAMES)


def _negative() -> ColumnElement[bool]:
    """Return whether the feedback says outright that the answer was bad: the same as a vote above 0.5."""
    half, two, one = _literal("0.5"), _literal("2"), _literal("1")
    bad = or_(
        _said.kind.in_([_word("reject"), _word("correction")]),
        and_(_said.kind.in_([_word("thumb"), _word("outcome")]), _said.value < half),
        and_(_said.kind == _word("rating"), two * _said.value < _said.best + one),
    )
    return and_(_said.retracted.is_(False), bad)


def _readable() -> ColumnElement[bool]:
    """Return whether a person should read the feedback: people's words, and their bad votes; not the text of edits."""
    empty = _literal("''")
    words = or_(
        and_(_said.kind != _word("edit"), func.coalesce(_said.text, empty) != empty),
        func.coalesce(_said.label, empty) != empty,
    )
    return and_(_said.retracted.is_(False), _said.source != _word("judge"), or_(_negative(), words))


def _word(text: str) -> ColumnElement[Any]:
    return _literal(f"'{text}'")


def _literal(sql: str) -> ColumnElement[Any]:
    return literal_column(sql)
