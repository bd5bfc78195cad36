"""The contract of `DatasetStore`, over every backend."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from tests.contract import hot_store_sample as a
from trimtab.ids import new_id
from trimtab.records import Dataset, DatasetFile
from trimtab.store.ports import HotStore, Query, Writes


def dataset(**fields: Any) -> Dataset:
    told = {
        "id": new_id(a.NOW),
        "kind": "sft",
        "format": "trl",
        "state": "building",
        "created_at": a.NOW,
        "request": {"kind": "sft", "features": ["answer"]},
    }
    return Dataset(**{**told, **fields})


def test_a_dataset_comes_back_as_it_was_written_last(store: HotStore) -> None:
    begun = dataset()
    file = DatasetFile(name="train.jsonl", rows=3, size_bytes=9, sha256="0" * 64)
    done = msgspec.structs.replace(
        begun, state="done", rows={"train": 3}, files=[file], path="datasets/x/1", finished_at=a.NOW + a.SECOND
    )
    store.commit({a.P: Writes(datasets=[begun])})
    assert store.dataset(a.P, begun.id) == begun
    store.commit({a.P: Writes(datasets=[done])})
    assert store.dataset(a.P, begun.id) == done
    assert [row.record for row in store.datasets(a.P, Query()).rows] == [done]


def test_a_deleted_dataset_is_found_by_its_id_and_in_no_list(store: HotStore) -> None:
    kept, gone = dataset(), dataset(state="deleted")
    store.commit({a.P: Writes(datasets=[kept, gone])})
    assert store.dataset(a.P, gone.id) == gone
    assert a.ids(store.datasets(a.P, Query())) == [kept.id]


def test_datasets_are_paged_and_of_one_project(store: HotStore) -> None:
    mine = [dataset(created_at=a.NOW + timedelta(hours=place)) for place in range(5)]
    store.commit({a.P: Writes(datasets=mine), "q": Writes(datasets=[dataset()])})
    first = store.datasets(a.P, Query(limit=2))
    rest = store.datasets(a.P, Query(limit=10, after=first.next))
    assert a.ids(first) + a.ids(rest) == [one.id for one in reversed(mine)]
    assert a.ids(store.datasets(a.P, Query(since=a.NOW + timedelta(hours=3)))) == [mine[4].id, mine[3].id]
    assert store.dataset("q", mine[0].id) is None
    assert store.dataset(a.P, "no id") is None
