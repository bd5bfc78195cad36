"""What people are told and asked, read: deliveries and review items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, or_, select

from trimtab.clock import to_micros
from trimtab.records import Delivery, DeliveryState, ReviewItem, ReviewState
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import DELIVERIES, REVIEWS

__all__ = ["People"]


class People(Port):
    """The verbs of `PeopleStore`; the contract stands there."""

    def delivery(self, project_id: str, delivery_id: str) -> Delivery | None:
        """Return one delivery."""
        return by_id(self._database, DELIVERIES, project_id, delivery_id)

    def deliveries(self, project_id: str, query: Query, states: Sequence[DeliveryState] = ()) -> Page[Delivery]:
        """Return one page of deliveries, of these states if any are given."""
        columns = DELIVERIES.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        return paged(self._database, DELIVERIES, project_id, query, *conditions)

    def due_deliveries(self, target: str, now: datetime, limit: int) -> list[Stored[Delivery]]:
        """Return at most `limit` waiting deliveries to a target that are due, oldest first."""
        columns = DELIVERIES.table.c
        statement = select(*DELIVERIES.columns).where(
            columns.state == "waiting", columns.next_at <= to_micros(now), columns.target == target
        )
        rows = self._database.rows(statement.order_by(columns.created_at, columns.seq).limit(limit))
        return [DELIVERIES.stored(row) for row in rows]

    def review(self, project_id: str, item_id: str) -> ReviewItem | None:
        """Return one review item."""
        return by_id(self._database, REVIEWS, project_id, item_id)

    def reviews(self, project_id: str, query: Query, states: Sequence[ReviewState] = ()) -> Page[ReviewItem]:
        """Return one page of review items, of these states if any are given."""
        columns = REVIEWS.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        return paged(self._database, REVIEWS, project_id, query, *conditions, time=columns.opened_at)

    def reviewable(
        self, project_id: str, feature: str | None, reviewer: str, now: datetime, limit: int
    ) -> list[ReviewItem]:
        """Return at most `limit` items that `reviewer` may be given, their own reserved ones first."""
        columns = REVIEWS.table.c
        reserved, until = columns.state == "reserved", columns.reserved_until
        mine = and_(reserved, until > to_micros(now), columns.reserved_by == reviewer)
        free = or_(columns.state == "open", and_(reserved, until <= to_micros(now)))
        statement = select(*REVIEWS.fields).where(columns.project_id == project_id, or_(free, mine))
        if feature is not None:
            statement = statement.where(columns.feature == feature)
        order = (case((mine, 0), else_=1), columns.priority.desc(), columns.opened_at, columns.seq)
        return [REVIEWS.decode(row) for row in self._database.rows(statement.order_by(*order).limit(limit))]
