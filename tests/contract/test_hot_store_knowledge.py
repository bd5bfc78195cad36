"""The contract of `KnowledgeStore`, over every backend."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from trimtab.errors import WallBreach
from trimtab.records import Chunk
from trimtab.store.ports import HotStore, Query, Writes


def test_a_patch_comes_back_as_it_was_written_last(store: HotStore) -> None:
    begun = a.patch()
    done = msgspec.structs.replace(
        begun, state="verified", chunks=[Chunk(id="c-1")], retrieved=[Chunk(id="c-1")], checked_at=a.NOW, attempts=2
    )
    store.commit({a.P: Writes(patches=[a.sealed(begun)])})
    assert store.patch(a.P, begun.id) == begun
    store.commit({a.P: Writes(patches=[a.sealed(done)])})
    assert store.patch(a.P, begun.id) == done
    assert [row.record for row in store.patches(a.P, Query()).rows] == [done]
    assert store.patch("other", begun.id) is None


def test_patches_are_listed_by_feature_and_state(store: HotStore) -> None:
    first, other, done = a.patch(), a.patch(feature="other"), a.patch(state="verified")
    store.commit({a.P: Writes(patches=[a.sealed(each) for each in (first, other, done)])})
    assert a.ids(store.patches(a.P, Query(feature="answer", newest=False))) == [first.id, done.id]
    assert a.ids(store.patches(a.P, Query(newest=False), ("waiting",))) == [first.id, other.id]


def test_due_is_what_waits_no_longer_than_now(store: HotStore) -> None:
    due, later = a.patch(), a.patch(next_at=a.NOW + a.SECOND)
    store.commit({a.P: Writes(patches=[a.sealed(due), a.sealed(later)])})

    def waiting(now: Any, limit: int = 9) -> list[str]:
        return [row.record.id for row in store.due_patches(a.P, ("waiting",), now, limit)]

    assert waiting(a.NOW) == [due.id]
    assert waiting(a.NOW + a.SECOND) == [due.id, later.id]
    assert waiting(a.NOW + a.SECOND, 1) == [due.id]


def test_due_for_a_check_is_what_was_written_and_not_looked_for_too_often(store: HotStore) -> None:
    gone, weary, fresh = (
        a.patch(kind="delete", state="delivered"),
        a.patch(state="unverified", attempts=5),
        a.patch(state="unverified", attempts=4),
    )
    store.commit({a.P: Writes(patches=[a.sealed(each) for each in (gone, weary, fresh)])})
    due = store.due_patches(a.P, ("delivered", "unverified"), a.NOW, 1, checks=5)
    assert [row.record.id for row in due] == [fresh.id]


def test_a_patch_that_did_not_come_from_the_redactor_is_not_written(store: HotStore) -> None:
    with pytest.raises(WallBreach):
        store.commit({a.P: Writes(patches=[a.patch()])})  # type: ignore[list-item]
