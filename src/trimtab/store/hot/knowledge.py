"""What is to change in apps' indexes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select

from trimtab.clock import to_micros
from trimtab.records import KnowledgePatch, PatchState
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import PATCHES

__all__ = ["Patches"]


class Patches(Port):
    """The verbs of `KnowledgeStore`; the contract stands there."""

    def patch(self, project_id: str, patch_id: str) -> KnowledgePatch | None:
        """Return one patch."""
        return by_id(self._database, PATCHES, project_id, patch_id)

    def patches(self, project_id: str, query: Query, states: Sequence[PatchState] = ()) -> Page[KnowledgePatch]:
        """Return one page of patches, of these states if any are given."""
        columns = PATCHES.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        return paged(self._database, PATCHES, project_id, query, *conditions)

    def due_patches(
        self, project_id: str, states: Sequence[PatchState], now: datetime, limit: int, *, checks: int | None = None
    ) -> list[Stored[KnowledgePatch]]:
        """Return at most `limit` patches of these states whose `next_at` has come, oldest first."""
        columns = PATCHES.table.c
        statement = select(*PATCHES.columns).where(
            columns.project_id == project_id, columns.state.in_(list(states)), columns.next_at <= to_micros(now)
        )
        if checks is not None:
            statement = statement.where(columns.kind == "upsert", columns.attempts < checks)
        rows = self._database.rows(statement.order_by(columns.seq).limit(limit))
        return [PATCHES.stored(row) for row in rows]
