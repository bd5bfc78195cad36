"""What the engine asks of a hot store about people, a part of `HotStore`: what they are told, what they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trimtab.records import Delivery, DeliveryState, ReviewItem, ReviewState
from trimtab.store.exchange import Page, Query, Stored

__all__ = ["PeopleStore"]


class PeopleStore(Protocol):
    """Deliveries on their way out, and answers that wait for a reviewer."""

    def delivery(self, project_id: str, delivery_id: str) -> Delivery | None:
        """Return one delivery."""
        ...

    def deliveries(self, project_id: str, query: Query, states: Sequence[DeliveryState] = ()) -> Page[Delivery]:
        """Return one page of deliveries, of these states if any are given."""
        ...

    def due_deliveries(self, target: str, now: datetime, limit: int) -> list[Stored[Delivery]]:
        """Return at most `limit` waiting deliveries of all projects to a target, due by `now`, oldest first."""
        ...

    def review(self, project_id: str, item_id: str) -> ReviewItem | None:
        """Return one review item."""
        ...

    def reviews(self, project_id: str, query: Query, states: Sequence[ReviewState] = ()) -> Page[ReviewItem]:
        """Return one page of review items, of these states if any are given; times are compared with `opened_at`."""
        ...

    def reviewable(
        self, project_id: str, feature: str | None, reviewer: str, now: datetime, limit: int
    ) -> list[ReviewItem]:
        """Return at most `limit` items that `reviewer` may be given at `now`.

        First those reserved by the same reviewer, then open ones and those whose reservation is over; each by priority,
        then oldest first.
        """
        ...
