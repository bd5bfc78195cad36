"""The inbox: feedback that a person should read, newest first, from two indexes that hold nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select

from trimtab.records import Feedback, FeedbackKind
from trimtab.store.hot.lists import Lists, Spot, after_spot, by_time
from trimtab.store.hot.page import within
from trimtab.store.ports import Page, Query
from trimtab.store.schema import FEEDBACK, joins

__all__ = ["Inbox"]

_LOOK = 20_000  # entries of the index looked at for one page; a filter that nothing passes ends it there


class Inbox(Lists):
    """The verb of `EventStore` that lists what to read; the contract stands there."""

    def inbox(
        self, project_id: str, query: Query, *, kind: FeedbackKind | None = None, negative: bool | None = None
    ) -> Page[Feedback]:
        """Return one page of joined feedback that has words or says that the answer was bad."""
        found: list[Spot] = []
        looked: list[Spot] = []
        columns = (joins.c.created_at, joins.c.place, joins.c.feedback_id)
        for feature in self._features(joins.c.feature, project_id, query):
            shown = select(*columns, joins.c.kind, joins.c.negative).where(
                joins.c.project_id == project_id, joins.c.feature == feature, joins.c.readable.is_(True)
            )
            if query.version_id is not None:
                shown = shown.where(joins.c.version_id == query.version_id)
            if kind is None and negative is None:
                found += self._spots(by_time(shown.with_only_columns(*columns), *columns[:2], query))
                continue
            own, end = self._sought(shown, query, kind=kind, negative=negative)
            found += own
            if end is not None and len(own) <= query.limit:
                looked.append(end)
        if looked:  # what lies behind the nearest end of looking was not looked for in every feature
            end = max(looked) if query.newest else min(looked)
            within_reach = [spot for spot in found if (spot >= end if query.newest else spot <= end)]
            if len(within_reach) <= query.limit:
                page = self._page(FEEDBACK, project_id, query, within_reach)
                return page._replace(next=end.cursor)
        return self._page(FEEDBACK, project_id, query, found)

    def _sought(
        self, shown: Select[Any], query: Query, *, kind: FeedbackKind | None, negative: bool | None
    ) -> tuple[list[Spot], Spot | None]:
        """Return what passes the filter among the next entries, and where looking ended if it did not reach the end."""
        times = (joins.c.created_at, joins.c.place)
        near = shown.where(*within(times[0], query.since, query.until), *after_spot(*times, query))
        window = near.order_by(*_ordered(times, query)).limit(_LOOK).subquery("near")
        passing = select(window.c.created_at, window.c.place, window.c.feedback_id)
        if kind is not None:
            passing = passing.where(window.c.kind == kind)
        if negative is not None:
            passing = passing.where(window.c.negative.is_(negative))
        ends = (window.c.created_at, window.c.place)
        found = self._spots(passing.order_by(*_ordered(ends, query)).limit(query.limit + 1))
        if len(found) > query.limit:
            return found, None
        last = near.with_only_columns(*times, joins.c.feedback_id)
        return found, next(iter(self._spots(last.order_by(*_ordered(times, query)).offset(_LOOK - 1).limit(1))), None)


def _ordered(columns: Sequence[Any], query: Query) -> list[Any]:
    return [column.desc() for column in columns] if query.newest else list(columns)
