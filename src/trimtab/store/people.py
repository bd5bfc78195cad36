"""What the engine asks of a hot store about people, a part of `HotStore`: what they are told, what they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from trimtab.records import (
    Delivery,
    DeliveryState,
    ReviewBatch,
    ReviewItem,
    ReviewLink,
    ReviewState,
    ReviewTheme,
)
from trimtab.store.exchange import Page, Query, ReviewLoad, Stored

__all__ = ["PeopleStore"]


class PeopleStore(Protocol):
    """Deliveries on their way out, and answers that wait for reviewers."""

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
        then oldest first. Of the items of one card at most one, and none where the reviewer has or had another; none
        that is asked of somebody else.
        """
        ...

    def reviews_on(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[ReviewItem]]:
        """Return the review items of each of these answers that has any, the first seat first."""
        ...

    def review_card(self, project_id: str, card_id: str) -> list[ReviewItem]:
        """Return all items of one card, by seat."""
        ...

    def review_looks(self, project_id: str, feature: str, since: datetime) -> list[ReviewItem]:
        """Return the items about examples of a feature that were opened at `since` or later, the oldest first."""
        ...

    def review_batches(self, project_id: str, query: Query) -> Page[ReviewBatch]:
        """Return one page of batches."""
        ...

    def review_themes(self, project_id: str, query: Query, batch_id: str | None = None) -> Page[ReviewTheme]:
        """Return one page of themes, of this batch if one is given."""
        ...

    def review_link(self, sha256: str) -> Stored[ReviewLink] | None:
        """Return the link, of any project, whose token has this hash."""
        ...

    def review_links(self, project_id: str, item_id: str) -> list[ReviewLink]:
        """Return all links to an item, expired and revoked ones too, the oldest first."""
        ...

    def review_load(self) -> list[ReviewLoad]:
        """Return how many items of each project, feature and state are not closed, and since when the oldest waits."""
        ...
