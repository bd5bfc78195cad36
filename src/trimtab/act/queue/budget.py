"""How many answers people may be asked about in a week, and how many of these are left."""

from __future__ import annotations

from datetime import datetime, timedelta

from trimtab.config import Settings
from trimtab.store.ports import HotStore, Query

__all__ = ["WEEK", "left", "weekly"]

WEEK = timedelta(days=7)

_PAGE = 1000


def weekly(settings: Settings, feature: str) -> int:
    """Return how many answers of the feature people are asked about in a week."""
    own = settings.features.get(feature)
    told = own.review_items if own else None
    return settings.review.weekly_items if told is None else told


def left(store: HotStore, settings: Settings, project_id: str, feature: str, now: datetime) -> int:
    """Return how many answers and examples of the feature may still be asked about this week.

    Incidents have a limit of their own.
    """
    asked: set[str] = set()
    since = now - WEEK + timedelta(microseconds=1)  # a batch a week ago to the moment was last week's
    query: Query | None = Query(feature=feature, since=since, limit=_PAGE)
    while query is not None:
        page = store.reviews(project_id, query)
        items = (row.record for row in page.rows)
        asked |= {item.inference_id for item in items if item.batch_id is not None or item.source == "example"}
        query = Query(feature=feature, since=since, limit=_PAGE, after=page.next) if page.next else None
    return max(0, weekly(settings, feature) - len(asked))
