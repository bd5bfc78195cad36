"""Rows that a stage could not handle and went on without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from trimtab.clock import from_micros, to_micros
from trimtab.store.codec import id_text
from trimtab.store.hot.database import Database, Prepared, holes, prepare
from trimtab.store.hot.page import Port
from trimtab.store.ports import Aside, Place, StreamKind, Writes
from trimtab.store.schema import FEEDBACK, INFERENCES, OUTCOMES, set_aside

__all__ = ["AsideStatements", "Asides"]

_KEY = ("project_id", "stage", "kind", "record_id")
_NAMES = (*_KEY, "error", "at", "again")
_STREAMS: dict[StreamKind, Any] = {
    "inference": (INFERENCES.table.c, INFERENCES.table.c.id),
    "feedback": (FEEDBACK.table.c, FEEDBACK.table.c.id),
    "outcome": (OUTCOMES.table.c, OUTCOMES.table.c.inference_id),
}


class Asides(Port):
    """The verbs of `AsideStore`; the contract stands there."""

    def asides(
        self, project_id: str | None = None, *, stage: str | None = None, again: bool | None = None, limit: int = 1000
    ) -> list[Aside]:
        """Return at most `limit` rows that are set aside, the oldest first."""
        columns = set_aside.c
        statement = select(*(columns[name] for name in _NAMES))
        for column, wanted in ((columns.project_id, project_id), (columns.stage, stage), (columns.again, again)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        rows = self._database.rows(statement.order_by(columns.at, *(columns[name] for name in _KEY)).limit(limit))
        return [Aside(row[0], row[1], row[2], row[3], row[4], from_micros(row[5]), bool(row[6])) for row in rows]

    def count_asides(self) -> dict[tuple[str, str], int]:
        """Return how many rows of all projects are set aside, by stage and kind."""
        by = (set_aside.c.stage, set_aside.c.kind)
        return {(row[0], row[1]): row[2] for row in self._database.rows(select(*by, func.count()).group_by(*by))}

    def place_after(self, kind: StreamKind, seq: int) -> Place | None:
        """Return where the next row of a stream stands, without reading what is in it."""
        columns, key = _STREAMS[kind]
        statement = select(columns.seq, columns.project_id, key)
        statement = statement.where(columns.seq > seq, *self._database.settled(columns.seq))
        rows = self._database.rows(statement.order_by(columns.seq).limit(1))
        return Place(rows[0][0], rows[0][1], id_text(rows[0][2])) if rows else None


class AsideStatements:
    """Prepared once; `jobs` says what to run with which rows."""

    def __init__(self, database: Database) -> None:
        new = database.insert(set_aside).values(holes(_NAMES))
        upsert = new.on_conflict_do_update(
            index_elements=list(set_aside.primary_key.columns),
            set_={name: new.excluded[name] for name in ("error", "at", "again")},
        )
        self._aside = prepare(upsert, database.dialect, _NAMES)
        gone = delete(set_aside).where(*(set_aside.c[name] == bindparam(f"the_{name}") for name in _KEY))
        self._taken_up = prepare(gone, database.dialect, tuple(f"the_{name}" for name in _KEY))

    def jobs(self, project_id: str, writes: Writes) -> list[tuple[Prepared, Iterable[Sequence[Any]]]]:
        """Return the statements and their rows."""
        rows = ((project_id, *row[1:5], to_micros(row.at), row.again) for row in writes.aside)
        return [(self._aside, rows), (self._taken_up, ((project_id, *row[1:4]) for row in writes.taken_up))]
