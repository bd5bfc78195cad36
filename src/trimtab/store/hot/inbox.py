"""The inbox: feedback that a person should read, newest first, from two indexes that hold nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Select, select

from trimtab.records import Feedback, FeedbackKind
from trimtab.store.hot.lists import Lists, Spot, by_time
from trimtab.store.ports import Page, Query
from trimtab.store.schema import FEEDBACK, joins

__all__ = ["Inbox"]

_LOOK = 10_000  # entries of the index looked at for one page; a filter that nothing passes ends it there
_LOTS = 4  # pages, in the first look; each look goes so many times as far as the one before


class Inbox(Lists):
    """The verb of `EventStore` that lists what to read; the contract stands there."""

    def inbox(
        self, project_id: str, query: Query, *, kind: FeedbackKind | None = None, negative: bool | None = None
    ) -> Page[Feedback]:
        """Return one page of joined feedback that has words or says that the answer was bad."""
        features = self._features(joins.c.feature, project_id, query)
        found: list[Spot] = []
        ends: list[Spot] = []
        for feature in features:
            shown = select(joins.c.created_at, joins.c.place).where(
                joins.c.project_id == project_id, joins.c.feature == feature, joins.c.readable.is_(True)
            )
            if query.version_id is not None:
                shown = shown.where(joins.c.version_id == query.version_id)
            if kind is None and negative is None:
                found += self._spots(by_time(shown, joins.c.created_at, joins.c.place, query))
                continue
            passing, end = self._sought(shown, query, max(1, _LOOK // len(features)), kind=kind, negative=negative)
            found += passing
            if end is not None:
                ends.append(end)
        if ends:  # what lies behind the nearest end of looking was not looked for in every feature
            end = max(ends) if query.newest else min(ends)
            reached = [spot for spot in found if (spot >= end if query.newest else spot <= end)]
            if len(reached) <= query.limit:
                return self._page(FEEDBACK, project_id, query, reached)._replace(next=end.cursor)
        return self._page(FEEDBACK, project_id, query, found)

    def _sought(
        self, shown: Select[Any], query: Query, look: int, *, kind: FeedbackKind | None, negative: bool | None
    ) -> tuple[list[Spot], Spot | None]:
        """Return what passes among the next `look` entries, and the last of those when it ended the looking."""
        told = shown.add_columns(joins.c.kind, joins.c.negative)
        found: list[Spot] = []
        end: Spot | None = None
        looked, lot = 0, _LOTS * query.limit
        while looked < look:
            lot = min(lot, look - looked)
            near = by_time(told, joins.c.created_at, joins.c.place, msgspec.structs.replace(query, limit=lot))
            rows = self._database.rows(near)
            for at, place, its_kind, its_negative in rows[:lot]:
                if kind in (None, its_kind) and negative in (None, its_negative):
                    found.append(Spot(int(at), int(place)))
            if len(rows) <= lot or len(found) > query.limit:
                return found, None
            end = Spot(int(rows[lot - 1][0]), int(rows[lot - 1][1]))
            looked, lot = looked + lot, lot * _LOTS
            query = msgspec.structs.replace(query, after=end.cursor)
        return found, end
