"""The contract of what people are told and asked, on every backend."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P, ids
from trimtab.errors import WallBreach
from trimtab.ids import new_id
from trimtab.records import ReviewItem
from trimtab.store.ports import HotStore, Query, ReviewLoad, Writes

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


def card_of(count: int, **fields: object) -> list[ReviewItem]:
    key = new_id(a.NOW)
    return [a.review_item(card_id=key, seat=seat + 1, inference_id=key, **fields) for seat in range(count)]


def test_of_one_card_a_reviewer_is_given_one_item_and_never_a_second(store: HotStore) -> None:
    card, alone = card_of(3, priority=2.0), a.review_item(priority=1.0)
    store.commit({P: Writes(reviews=[*card, alone])})
    assert [item.id for item in store.reviewable(P, None, "r-1", a.NOW, 10)] == [card[0].id, alone.id]
    store.commit({P: Writes(reviewed=[a.sealed(held(card[0], "r-1"))])})
    assert [item.id for item in store.reviewable(P, None, "r-1", a.NOW, 10)] == [card[0].id, alone.id]
    assert [item.id for item in store.reviewable(P, None, "r-2", a.NOW, 10)] == [card[1].id, alone.id]
    done = msgspec.structs.replace(held(card[0], "r-1"), state="done", verdict="good", reserved_until=None)
    store.commit({P: Writes(reviewed=[a.sealed(done)])})
    assert [item.id for item in store.reviewable(P, None, "r-1", a.NOW, 10)] == [alone.id]
    assert [item.id for item in store.reviewable(P, None, "r-2", a.NOW, 10)] == [card[1].id, alone.id]


def test_a_reviewer_whose_time_ran_out_is_given_the_same_seat_again(store: HotStore) -> None:
    card = card_of(2)
    store.commit({P: Writes(reviews=[card[0]], reviewed=[a.sealed(held(card[1], "r-1"))])})
    assert [item.id for item in store.reviewable(P, None, "r-1", a.NOW + HOUR, 10)] == [card[1].id]
    assert [item.id for item in store.reviewable(P, None, "r-2", a.NOW + HOUR, 10)] == [card[0].id]


def test_what_is_asked_of_one_person_nobody_else_is_given(store: HotStore) -> None:
    item = a.review_item(asked_of="ada")
    store.commit({P: Writes(reviews=[item])})
    assert store.reviewable(P, None, "r-1", a.NOW, 10) == []
    assert store.reviewable(P, None, "ada", a.NOW, 10) == [item]


def test_items_are_found_by_answer_and_by_card(store: HotStore) -> None:
    card, alone = card_of(2), a.review_item()
    store.commit({P: Writes(reviews=[*reversed(card), alone])})
    assert store.reviews_on(P, [card[0].inference_id, new_id(a.NOW), "x"]) == {card[0].inference_id: card}
    assert store.reviews_on("q", [alone.inference_id]) == {}
    assert store.review_card(P, str(card[0].card_id)) == card
    assert store.review_card(P, "x") == store.review_card("q", str(card[0].card_id)) == []


def test_batches_and_themes_are_written_once_and_listed(store: HotStore) -> None:
    first, second = a.review_batch(), a.review_batch(feature="search", created_at=a.NOW + HOUR)
    mine, other = a.review_theme(batch_id=first.id), a.review_theme(batch_id=second.id, feature="search")
    changed = msgspec.structs.replace(mine, words=["other"])
    for themes in ([mine, other], [changed]):
        store.commit({P: Writes(review_batches=[first, second], review_themes=themes)})
    assert ids(store.review_batches(P, Query())) == [second.id, first.id]
    assert ids(store.review_batches(P, Query(feature="answer"))) == [first.id]
    assert ids(store.review_batches(P, Query(since=a.NOW + HOUR))) == [second.id]
    assert [row.record for row in store.review_themes(P, Query(), first.id).rows] == [mine]
    assert ids(store.review_themes(P, Query(feature="search"))) == [other.id]
    assert ids(store.review_themes(P, Query(), "x")) == ids(store.review_themes("q", Query())) == []


def test_a_link_is_found_by_its_hash_in_any_project_and_can_be_revoked(store: HotStore) -> None:
    link, other = a.review_link(), a.review_link()
    store.commit({P: Writes(review_links=[a.sealed(link), a.sealed(other)])})
    found = store.review_link(link.sha256)
    assert found is not None
    assert (found.project_id, found.record) == (P, link)
    assert store.review_link("") is None
    revoked = msgspec.structs.replace(link, revoked_at=a.NOW)
    store.commit({P: Writes(review_links=[a.sealed(revoked)])})
    assert store.review_links(P, link.item_id) == [revoked]
    assert store.review_links(P, "x") == store.review_links("q", link.item_id) == []


def test_load_counts_what_is_not_closed_and_tells_the_oldest(store: HotStore) -> None:
    old = a.review_item(opened_at=a.NOW - HOUR)
    rest = [a.review_item(), held(a.review_item(), "r-1"), a.review_item(state="done"), a.review_item(feature="search")]
    store.commit({P: Writes(reviews=[old, *rest[:1], *rest[2:]], reviewed=[a.sealed(rest[1])])})
    assert store.review_load() == [
        ReviewLoad(P, "answer", "open", 2, a.NOW - HOUR),
        ReviewLoad(P, "answer", "reserved", 1, a.NOW),
        ReviewLoad(P, "search", "open", 1, a.NOW),
    ]


def test_looks_are_the_items_about_examples_of_a_feature_oldest_first(store: HotStore) -> None:
    looks = [a.review_item(source="example", exemplar_id="x_1", opened_at=a.NOW + hours * HOUR) for hours in (2, 0, 1)]
    elsewhere = a.review_item(source="example", exemplar_id="x_1", feature="search")
    store.commit({P: Writes(reviews=[*looks, elsewhere, a.review_item()])})
    assert [item.id for item in store.review_looks(P, "answer", a.NOW)] == [looks[1].id, looks[2].id, looks[0].id]
    assert store.review_looks(P, "answer", a.NOW + 2 * HOUR) == looks[:1]
    assert store.review_looks("q", "answer", a.NOW) == []
