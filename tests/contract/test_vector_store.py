"""The contract of a vector store, sentence by sentence, over every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contract.vector_backend import BACKENDS
from trimtab.errors import Conflict, NotFound, Unavailable
from trimtab.ids import derived_id
from trimtab.store.vectors.port import Item, VectorStore, Where, user_mark

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
P, S = "p", "space-a"
Vectors = NDArray[np.float32]


@pytest.fixture(params=sorted(BACKENDS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], VectorStore]]:
    with BACKENDS[request.param](tmp_path) as opener:
        opened: list[VectorStore] = []

        def again() -> VectorStore:
            for store in opened:
                store.close()
            opened.append(opener())
            return opened[-1]

        yield again
        for store in opened:
            store.close()


@pytest.fixture
def store(reopen: Callable[[], VectorStore]) -> VectorStore:
    return reopen()


def name(number: int) -> str:
    return derived_id("item", str(number))


def item(number: int, **facts: Any) -> Item:
    return Item(**{"kind": "feedback", "id": name(number), "created_at": NOW + number * DAY, **facts})


def unit(count: int, *, seed: int = 0, dimensions: int = 16) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def put(store: VectorStore, items: Sequence[Item], *, seed: int = 0, space: str = S, project: str = P) -> Vectors:
    vectors = unit(len(items), seed=seed)
    assert all(store.upsert(project, space, items, vectors))
    return vectors


def found(store: VectorStore, vector: Vectors, k: int = 10, where: Where | None = None, *, space: str = S) -> list[str]:
    return [hit.id for hit in store.nearest(P, space, vector, k, where or Where())]


def test_nearest_returns_the_exact_order_with_cosines(store: VectorStore) -> None:
    vectors = put(store, [item(number) for number in range(50)])
    asked = unit(1, seed=9)[0]
    hits = store.nearest(P, S, asked, 7)
    cosines = vectors @ asked
    assert [hit.id for hit in hits] == [name(int(place)) for place in np.argsort(-cosines)[:7]]
    assert [hit.cosine for hit in hits] == pytest.approx(np.sort(cosines)[::-1][:7].tolist(), abs=2e-3)
    assert {hit.kind for hit in hits} == {"feedback"}


def test_each_filter_narrows_and_all_together_do(store: VectorStore) -> None:
    items = [
        item(
            number,
            kind="feedback" if number % 2 else "inference",
            feature=f"a-feature-with-a-long-name-{number % 3}",
            version_id=f"v{number % 4}" if number % 5 else None,
            negative=number % 7 < 3,
        )
        for number in range(200)
    ]
    vectors = put(store, items)
    asked = vectors[0]
    since, until = NOW + 20 * DAY, NOW + 170 * DAY
    narrowed: dict[Where, Callable[[Item], bool]] = {
        Where(kind="inference"): lambda each: each.kind == "inference",
        Where(feature="a-feature-with-a-long-name-1"): lambda each: each.feature == "a-feature-with-a-long-name-1",
        Where(version_id="v2"): lambda each: each.version_id == "v2",
        Where(negative=True): lambda each: each.negative,
        Where(negative=False): lambda each: not each.negative,
        Where(since=since): lambda each: each.created_at >= since,
        Where(until=until): lambda each: each.created_at < until,
        Where(
            kind="feedback",
            feature="a-feature-with-a-long-name-0",
            version_id="v1",
            since=since,
            until=until,
            negative=True,
        ): lambda each: (
            each.kind == "feedback"
            and each.feature == "a-feature-with-a-long-name-0"
            and each.version_id == "v1"
            and since <= each.created_at < until
            and each.negative
        ),
        Where(feature="nothing-has-this-name"): lambda _: False,
    }
    for where, matches in narrowed.items():
        expected = {each.id for each in items if matches(each)}
        assert set(found(store, asked, 1000, where)) == expected, where
        assert store.count(P, S, where) == len(expected), where
        assert {each.id for each in store.recent(P, S, 1000, where)[0]} == expected, where


def test_a_second_write_takes_the_place_of_the_first(store: VectorStore) -> None:
    put(store, [item(1, feature="old"), item(2)])
    there = unit(1, seed=5)
    assert store.upsert(P, S, [item(1, feature="new", negative=True)], there) == [True]
    assert store.count(P, S) == 2
    assert found(store, there[0], 1) == [name(1)]
    assert found(store, there[0], 5, Where(feature="old")) == []
    assert found(store, there[0], 5, Where(feature="new", negative=True)) == [name(1)]
    assert store.get(P, S, "feedback", [name(1)])[name(1)] == pytest.approx(there[0], abs=1e-3)


def test_writing_the_same_twice_leaves_what_once_left(store: VectorStore) -> None:
    items = [item(number, feature="f") for number in range(20)]
    vectors = put(store, items)
    once = store.nearest(P, S, vectors[3], 20)
    put(store, items)
    assert store.nearest(P, S, vectors[3], 20) == once
    assert store.count(P, S) == 20


def test_of_an_item_that_repeats_in_a_call_the_last_counts(store: VectorStore) -> None:
    vectors = unit(2)
    assert store.upsert(P, S, [item(1), item(1)], vectors) == [True, True]
    assert store.count(P, S) == 1
    assert store.nearest(P, S, vectors[1], 1)[0].cosine == pytest.approx(1, abs=1e-3)


def test_one_id_may_be_of_two_kinds(store: VectorStore) -> None:
    vectors = put(store, [item(1), item(1, kind="inference")])
    assert store.count(P, S) == 2
    assert [hit.kind for hit in store.nearest(P, S, vectors[1], 2)] == ["inference", "feedback"]


def test_projects_and_spaces_never_see_each_other(store: VectorStore) -> None:
    vectors = put(store, [item(1)])
    put(store, [item(2)], project="other")
    put(store, [item(3)], space="space-b")
    assert found(store, vectors[0]) == [name(1)]
    assert found(store, vectors[0], space="space-b") == [name(3)]
    assert store.delete("other", "feedback", [name(1)]) == 0
    assert store.erase("other", user_ids=[], ids=[name(1)]) == 0
    assert [space.name for space in store.spaces(P)] == [S, "space-b"]
    assert [space.name for space in store.spaces("other")] == [S]
    assert store.count(P, S) == 1


def test_a_space_that_does_not_exist_is_empty(store: VectorStore) -> None:
    asked = unit(1)[0]
    assert store.nearest(P, S, asked, 3) == []
    assert store.get(P, S, "feedback", [name(1)]) == {}
    assert store.count(P, S) == 0
    assert store.recent(P, S, 5)[0] == []
    assert store.missing(P, S, "feedback", [name(1)]) == [name(1)]
    assert store.spaces(P) == []
    store.drop(P, S)


def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(store: VectorStore) -> None:
    put(store, [item(1)])
    for items, vectors, words in (
        ([item(2)], unit(1, dimensions=8), "16 dimensions"),
        ([item(2), item(3)], unit(1), "one vector per item"),
        ([item(2)], unit(1) * 2, "length 1 or 0"),
        ([item(2)], np.full((1, 16), np.nan, dtype=np.float32), "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            store.upsert(P, S, items, vectors)
    with pytest.raises(ValueError, match="16 dimensions"):
        store.nearest(P, S, unit(1, dimensions=8)[0], 1)
    for k in (0, 1001):
        with pytest.raises(ValueError, match="from 1 to 1000"):
            store.nearest(P, S, unit(1)[0], k)
    assert store.count(P, S) == 1


def test_a_vector_of_zeros_is_kept_and_never_found(store: VectorStore) -> None:
    vectors = unit(3)
    vectors[1] = 0
    store.upsert(P, S, [item(0), item(1), item(2)], vectors)
    assert store.count(P, S) == 3
    assert store.missing(P, S, "feedback", [name(1)]) == []
    assert not store.get(P, S, "feedback", [name(1)])[name(1)].any()
    assert name(1) not in found(store, vectors[0])
    assert found(store, vectors[1]) == []
    store.upsert(P, S, [item(1), item(0)], np.stack([unit(1, seed=4)[0], np.zeros(16, dtype=np.float32)]))
    assert set(found(store, vectors[2])) == {name(1), name(2)}


def test_deleted_items_go_from_every_space_and_may_come_back(store: VectorStore) -> None:
    items = [item(number) for number in range(4)]
    vectors = put(store, items)
    put(store, items, space="space-b")
    put(store, [item(0, kind="inference")], space="space-b")
    assert store.delete(P, "feedback", [name(0), name(1), name(99), "no-uuid"]) == 2
    assert set(found(store, vectors[0])) == {name(2), name(3)}
    assert store.count(P, "space-b") == 3
    assert store.delete(P, "feedback", [name(0), name(1)]) == 0
    assert store.upsert(P, S, [item(0)], vectors[:1]) == [True]
    assert found(store, vectors[0], 1) == [name(0)]


def test_what_was_erased_does_not_come_back(reopen: Callable[[], VectorStore]) -> None:
    store = reopen()
    items = [item(0, user_id="anna"), item(1, user_id="ben"), item(2), item(3, user_id="anna")]
    vectors = put(store, items)
    put(store, items, space="space-b")
    assert store.erase(P, user_ids=["anna"], ids=[name(2), name(50)]) == 3
    for space in (S, "space-b"):
        assert found(store, vectors[0], space=space) == [name(1)]
    store = reopen()
    again = [*items, item(50), item(7, user_id="anna"), item(8, user_id="carl"), item(2, kind="inference")]
    assert store.upsert(P, "space-c", again, unit(8)) == [False, True, False, False, False, False, True, False]
    assert store.count(P, "space-c") == 2
    assert store.missing(P, "space-c", "feedback", [name(2), name(3), name(8)]) == [name(3)]
    assert store.upsert("other", S, [item(2), item(0, user_id="anna")], unit(2)) == [True, True]
    assert store.erase(P, user_ids=["anna"], ids=[name(2)]) == 0


def test_an_erasure_wins_over_writes_beside_it(store: VectorStore) -> None:
    items = [item(number, user_id=f"user-{number % 3}") for number in range(60)]
    vectors = unit(60)
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set():
                store.upsert(P, S, items, vectors)
        except BaseException as error:  # noqa: BLE001 handed to the test's own thread
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    store.upsert(P, S, items, vectors)
    for writer in writers:
        writer.start()
    try:
        store.erase(P, user_ids=["user-0"])
        store.erase(P, ids=[name(1)])
        for _ in range(3):
            assert len(found(store, vectors[0], 100)) == 39
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failed == []
    assert store.count(P, S) == 39


def test_recent_returns_the_newest_with_their_facts_and_vectors(store: VectorStore) -> None:
    items = [item(number, feature="f", version_id="v1", user_id="anna", negative=True) for number in range(5)]
    items.append(item(5))
    vectors = put(store, items)
    told, rows = store.recent(P, S, 3)
    assert [each.id for each in told] == [name(5), name(4), name(3)]
    assert rows == pytest.approx(vectors[[5, 4, 3]], abs=1e-3)
    assert told[0] == item(5)
    assert told[1] == item(4, feature="f", version_id="v1", user_id=user_mark(P, "anna").hex(), negative=True)


def test_missing_names_what_has_no_vector_in_their_order(store: VectorStore) -> None:
    put(store, [item(1), item(3)])
    put(store, [item(4)], space="space-b")
    asked = [name(4), name(3), name(2), name(1)]
    assert store.missing(P, S, "feedback", asked) == [name(4), name(2)]
    assert store.missing(P, S, "inference", asked) == asked


def test_the_current_space_switches_in_one_step_and_is_not_dropped(reopen: Callable[[], VectorStore]) -> None:
    store = reopen()
    put(store, [item(1)])
    assert store.current(P) is None
    store.switch(P, S)
    vectors = put(store, [item(number) for number in range(3)], space="space-b", seed=3)
    assert store.current(P) == S
    with pytest.raises(Conflict, match="switch to another"):
        store.drop(P, S)
    with pytest.raises(NotFound, match="fill it first"):
        store.switch(P, "space-c")
    store.switch(P, "space-b")
    store.switch(P, "space-b")
    store.drop(P, S)
    store = reopen()
    assert [space[:3] for space in store.spaces(P)] == [("space-b", 16, True)]
    assert found(store, vectors[2], 1, space="space-b") == [name(2)]
    assert found(store, vectors[2]) == []
    # The index of a current space takes what comes later.
    store.upsert(P, "space-b", [item(9)], unit(1, seed=77))
    assert found(store, unit(1, seed=77)[0], 1, space="space-b") == [name(9)]
    store.delete(P, "feedback", [name(9)])
    assert name(9) not in found(store, unit(1, seed=77)[0], space="space-b")


def test_a_dropped_space_can_be_filled_anew_with_another_width(store: VectorStore) -> None:
    put(store, [item(1)])
    before = store.spaces(P)[0]
    store.drop(P, S)
    assert store.upsert(P, S, [item(1)], unit(1, dimensions=8)) == [True]
    again = store.spaces(P)[0]
    assert again.dimensions == 8
    assert before.mark != again.mark


def test_a_write_of_no_items_makes_the_space(store: VectorStore) -> None:
    assert store.upsert(P, S, [], unit(0)) == []
    assert [(space.name, space.dimensions) for space in store.spaces(P)] == [(S, 16)]
    mark = store.spaces(P)[0].mark
    put(store, [item(1)])
    assert store.spaces(P)[0].mark == mark


def test_many_threads_read_and_write_at_once(store: VectorStore) -> None:
    vectors = put(store, [item(number) for number in range(40)])
    failed: list[BaseException] = []

    def work(part: int) -> None:
        try:
            for turn in range(10):
                if part % 2:
                    number = 1000 + part * 100 + turn
                    store.upsert(P, S, [item(number)], unit(1, seed=number))
                else:
                    assert found(store, vectors[turn], 1) == [name(turn)]
        except BaseException as error:  # noqa: BLE001 handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.count(P, S) == 70


def test_a_closed_store_says_so(store: VectorStore) -> None:
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.count(P, S)
