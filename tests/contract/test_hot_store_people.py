"""The contract of what people are told and asked, on every backend."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P, ids
from trimtab.errors import WallBreach
from trimtab.records import ReviewItem
from trimtab.store.ports import HotStore, Query, Writes

HOUR = timedelta(hours=1)


def test_a_delivery_written_again_changes_nothing_until_it_is_moved_on(store: HotStore) -> None:
    first = a.delivery()
    sent = msgspec.structs.replace(first, state="sent", attempts=1, sent_at=a.NOW)
    store.commit({P: Writes(deliveries=[first])})
    store.commit({P: Writes(delivered=[sent])})
    store.commit({P: Writes(deliveries=[first])})
    assert store.delivery(P, first.id) == sent
    assert store.delivery("q", first.id) is None


def test_due_deliveries_are_those_of_the_target_that_wait_no_longer_oldest_first(store: HotStore) -> None:
    late = a.delivery(created_at=a.NOW + a.SECOND)
    early, other = a.delivery(), a.delivery(target="chat")
    rest = [a.delivery(next_at=a.NOW + HOUR), a.delivery(state="sent"), a.delivery(state="failed")]
    store.commit({P: Writes(deliveries=[late, early]), "q": Writes(deliveries=[other, *rest])})
    assert [row.record for row in store.due_deliveries("ops", a.NOW, 10)] == [early, late]
    assert [row.record for row in store.due_deliveries("ops", a.NOW, 1)] == [early]
    assert [(row.project_id, row.record) for row in store.due_deliveries("chat", a.NOW, 10)] == [("q", other)]
    assert len(store.due_deliveries("ops", a.NOW + HOUR, 10)) == 3


def test_deliveries_are_listed_by_state_and_feature(store: HotStore) -> None:
    failed, waiting = a.delivery(state="failed", feature="answer"), a.delivery()
    store.commit({P: Writes(deliveries=[failed, waiting])})
    assert ids(store.deliveries(P, Query())) == [waiting.id, failed.id]
    assert ids(store.deliveries(P, Query(), ("failed",))) == [failed.id]
    assert ids(store.deliveries(P, Query(feature="answer"))) == [failed.id]


def test_a_review_item_added_again_keeps_its_reservation(store: HotStore) -> None:
    item = a.review_item()
    reserved = held(item, "r-1")
    store.commit({P: Writes(reviews=[item])})
    store.commit({P: Writes(reviewed=[a.sealed(reserved)])})
    store.commit({P: Writes(reviews=[item])})
    assert store.review(P, item.id) == reserved


def held(item: ReviewItem, reviewer: str) -> ReviewItem:
    return msgspec.structs.replace(item, state="reserved", reserved_by=reviewer, reserved_until=a.NOW + HOUR)


def test_reviewable_are_ones_own_then_free_ones_by_priority_then_age(store: HotStore) -> None:
    low, high = a.review_item(priority=0.1), a.review_item(priority=0.9)
    older = a.review_item(priority=0.9, opened_at=a.NOW - HOUR)
    mine, others = held(a.review_item(priority=0.0), "r-1"), held(a.review_item(priority=2.0), "r-2")
    closed = [a.review_item(state="done"), a.review_item(state="skipped")]
    store.commit({P: Writes(reviews=[low, high, older, *closed], reviewed=[a.sealed(mine), a.sealed(others)])})
    assert [item.id for item in store.reviewable(P, None, "r-1", a.NOW, 10)] == [mine.id, older.id, high.id, low.id]
    assert [item.id for item in store.reviewable(P, None, "r-3", a.NOW, 2)] == [older.id, high.id]
    assert store.reviewable(P, None, "r-3", a.NOW + HOUR, 1) == [others]
    assert store.reviewable(P, "search", "r-1", a.NOW, 10) == []


def test_reviews_are_listed_by_state_and_feature(store: HotStore) -> None:
    opened, done = a.review_item(), a.review_item(state="done", feature="search")
    store.commit({P: Writes(reviews=[opened, done])})
    assert ids(store.reviews(P, Query(), ("done",))) == [done.id]
    assert ids(store.reviews(P, Query(feature="answer"))) == [opened.id]
    assert ids(store.reviews("q", Query())) == []


def test_a_reviewer_who_did_not_pass_the_redactor_is_refused(store: HotStore) -> None:
    item: object = held(a.review_item(), "jane.doe@example.com")
    with pytest.raises(WallBreach):
        store.commit({P: Writes(reviewed=[item])})  # type: ignore[list-item]
