"""What people are told and asked, read: deliveries and review items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from trimtab.clock import from_micros, to_micros
from trimtab.records import (
    Delivery,
    DeliveryState,
    ReviewBatch,
    ReviewItem,
    ReviewLink,
    ReviewState,
    ReviewTheme,
)
from trimtab.store.codec import known_ids
from trimtab.store.hot.page import Port, by_id, chunks, one_id, paged
from trimtab.store.ports import Page, Query, ReviewLoad, Stored
from trimtab.store.schema import DELIVERIES, REVIEW_BATCHES, REVIEW_LINKS, REVIEW_THEMES, REVIEWS, Noun

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
        columns, other = REVIEWS.table.c, REVIEWS.table.alias("other").c
        mine = and_(
            columns.state == "reserved", columns.reserved_until > to_micros(now), columns.reserved_by == reviewer
        )
        theirs = and_(other.state != "open", other.reserved_by == reviewer)
        not_own = or_(columns.reserved_by.is_(None), columns.reserved_by != reviewer)
        earlier = and_(_free(other, reviewer, now), other.seat < columns.seat, not_own)
        same_card = and_(
            other.project_id == columns.project_id, other.card_id == columns.card_id, other.id != columns.id
        )
        free = and_(_free(columns, reviewer, now), ~exists().where(same_card, or_(theirs, earlier)))
        statement = select(*REVIEWS.fields).where(
            columns.project_id == project_id, columns.state.in_(("open", "reserved")), or_(mine, free)
        )
        if feature is not None:
            statement = statement.where(columns.feature == feature)
        order = (case((mine, 0), else_=1), columns.priority.desc(), columns.opened_at, columns.seq)
        return [REVIEWS.decode(row) for row in self._database.rows(statement.order_by(*order).limit(limit))]

    def reviews_on(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[ReviewItem]]:
        """Return the review items of each of these answers that has any, the first seat first."""
        columns = REVIEWS.table.c
        found: dict[str, list[ReviewItem]] = {}
        for lot in chunks(known_ids(inference_ids)):
            statement = select(*REVIEWS.fields).where(columns.project_id == project_id, columns.inference_id.in_(lot))
            for row in self._database.rows(statement.order_by(columns.seat, columns.seq)):
                item = REVIEWS.decode(row)
                found.setdefault(item.inference_id, []).append(item)
        return found

    def review_card(self, project_id: str, card_id: str) -> list[ReviewItem]:
        """Return all items of one card, by seat."""
        columns, key = REVIEWS.table.c, one_id(card_id)
        if key is None:
            return []
        statement = select(*REVIEWS.fields).where(columns.project_id == project_id, columns.card_id == key)
        return [REVIEWS.decode(row) for row in self._database.rows(statement.order_by(columns.seat, columns.seq))]

    def review_looks(self, project_id: str, feature: str, since: datetime) -> list[ReviewItem]:
        """Return the items about examples of a feature that were opened at `since` or later, the oldest first."""
        columns = REVIEWS.table.c
        statement = select(*REVIEWS.fields).where(
            columns.project_id == project_id,
            columns.source == "example",
            columns.feature == feature,
            columns.opened_at >= to_micros(since),
        )
        return [REVIEWS.decode(row) for row in self._database.rows(statement.order_by(columns.opened_at, columns.seq))]

    def review_batches(self, project_id: str, query: Query) -> Page[ReviewBatch]:
        """Return one page of batches."""
        return paged(self._database, REVIEW_BATCHES, project_id, query, *_of_feature(REVIEW_BATCHES, query))

    def review_themes(self, project_id: str, query: Query, batch_id: str | None = None) -> Page[ReviewTheme]:
        """Return one page of themes, of this batch if one is given."""
        conditions = _of_feature(REVIEW_THEMES, query)
        if batch_id is not None:
            conditions.append(REVIEW_THEMES.table.c.batch_id == (one_id(batch_id) or b""))
        return paged(self._database, REVIEW_THEMES, project_id, query, *conditions)

    def review_link(self, sha256: str) -> Stored[ReviewLink] | None:
        """Return the link whose token has this hash."""
        rows = self._database.rows(select(*REVIEW_LINKS.columns).where(REVIEW_LINKS.table.c.sha256 == sha256).limit(1))
        return REVIEW_LINKS.stored(rows[0]) if rows else None

    def review_links(self, project_id: str, item_id: str) -> list[ReviewLink]:
        """Return all links to an item, the oldest first."""
        columns, key = REVIEW_LINKS.table.c, one_id(item_id)
        if key is None:
            return []
        statement = select(*REVIEW_LINKS.fields).where(columns.project_id == project_id, columns.item_id == key)
        return [REVIEW_LINKS.decode(row) for row in self._database.rows(statement.order_by(columns.seq))]

    def review_load(self) -> list[ReviewLoad]:
        """Return how many items of each project, feature and state are not closed, and the oldest of them."""
        columns = REVIEWS.table.c
        kinds = (columns.project_id, columns.feature, columns.state)
        statement = (
            select(*kinds, func.count(), func.min(columns.opened_at))
            .where(columns.state.in_(("open", "reserved")))
            .group_by(*kinds)
            .order_by(*kinds)
        )
        return [
            ReviewLoad(project_id, feature, state, int(items), from_micros(oldest))
            for project_id, feature, state, items, oldest in self._database.rows(statement)
        ]


def _free(columns: Any, reviewer: str, now: datetime) -> ColumnElement[bool]:
    """Say which items nobody has, and which this reviewer may be asked about."""
    over = and_(columns.state == "reserved", columns.reserved_until <= to_micros(now))
    return and_(or_(columns.state == "open", over), or_(columns.asked_of.is_(None), columns.asked_of == reviewer))


def _of_feature(noun: Noun[Any], query: Query) -> list[ColumnElement[bool]]:
    return [] if query.feature is None else [noun.table.c.feature == query.feature]
