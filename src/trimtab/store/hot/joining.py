"""Joining a feedback to its answer: the row says of both what lists look for, so that they need not read either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, literal_column, select

from trimtab.store.codec import id_bytes
from trimtab.store.hot.database import Database, holes, prepare
from trimtab.store.hot.page import chunks
from trimtab.store.schema import FEEDBACK, INFERENCES, joins

__all__ = ["Joining"]

_COPIED = ("feature", "version_id", "created_at", "place", "kind", "negative", "readable")
_NAMES = ("project_id", "feedback_id", "inference_id", *_COPIED)
_said = FEEDBACK.table.c
_about = INFERENCES.table.c


class _Word(NamedTuple):
    """What of a feedback decides where it is listed."""

    created_at: int | None = None
    place: int | None = None
    kind: str | None = None
    source: str = ""
    value: float | None = None
    best: float | None = None
    retracted: bool = False
    worded: bool = False

    @property
    def negative(self) -> bool:
        """Whether it says outright that the answer was bad: the same as a vote above 0.5."""
        if self.retracted:
            return False
        if self.kind in ("reject", "correction"):
            return True
        if self.value is None:
            return False
        if self.kind == "rating":
            return self.best is not None and 2 * self.value < self.best + 1
        return self.kind in ("thumb", "outcome") and self.value < 0.5

    @property
    def readable(self) -> bool:
        """Whether a person should read it: people's words, and their bad votes; not what somebody did, as edits."""
        return not self.retracted and self.source != "judge" and (self.negative or self.worded)


class Joining:
    """The statement that joins a feedback to an inference, now or another one than before, and its rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        new = database.insert(joins).values(holes(_NAMES))
        statement = new.on_conflict_do_update(
            index_elements=list(joins.primary_key.columns),
            set_={name: new.excluded[name] for name in ("inference_id", *_COPIED)},
        )
        self.statement = prepare(statement, database.dialect, _NAMES)

    def rows(self, project_id: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[Any, ...]]:
        """Return the row of each (feedback, inference); what is not stored leaves its columns empty."""
        ids = [(id_bytes(feedback_id), id_bytes(inference_id)) for feedback_id, inference_id in pairs]
        words = self._words(project_id, [feedback_id for feedback_id, _ in ids])
        answers = self._answers(project_id, list(dict.fromkeys(inference_id for _, inference_id in ids)))
        found: list[tuple[Any, ...]] = []
        for feedback_id, inference_id in ids:
            word = words.get(feedback_id, _Word())
            feature, version_id = answers.get(inference_id, (None, None))
            copied = (feature, version_id, word.created_at, word.place, word.kind, word.negative, word.readable)
            found.append((project_id, feedback_id, inference_id, *copied))
        return found

    def _words(self, project_id: str, ids: Sequence[bytes]) -> dict[bytes, _Word]:
        empty: ColumnElement[str] = literal_column("''")
        kept: ColumnElement[str] = literal_column("'edit'")
        said = and_(_said.kind != kept, func.coalesce(_said.text, empty) != empty)
        columns = (_said.created_at, _said.seq, _said.kind, _said.source, _said.value, _said.best, _said.retracted)
        found: dict[bytes, _Word] = {}
        for lot in chunks(ids):
            statement = select(_said.id, *columns, said | (func.coalesce(_said.label, empty) != empty))
            rows = self._database.rows(statement.where(_said.project_id == project_id, _said.id.in_(lot)))
            found.update((bytes(row[0]), _Word(*row[1:])) for row in rows)
        return found

    def _answers(self, project_id: str, ids: Sequence[bytes]) -> dict[bytes, tuple[str, str | None]]:
        found: dict[bytes, tuple[str, str | None]] = {}
        for lot in chunks(ids):
            statement = select(_about.id, _about.feature, _about.version_id)
            rows = self._database.rows(statement.where(_about.project_id == project_id, _about.id.in_(lot)))
            found.update((bytes(row[0]), (row[1], row[2])) for row in rows)
        return found
