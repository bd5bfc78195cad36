from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trimtab.ids import content_id, derived_id, is_uuid, new_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_new_ids_are_version_7_and_rise_within_one_moment() -> None:
    ids = [new_id(NOW) for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(item).version for item in ids} == {7}
    assert {uuid.UUID(item).variant for item in ids} == {uuid.RFC_4122}


def test_new_id_holds_the_millisecond_it_was_made_in() -> None:
    when = datetime(2031, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    assert uuid.UUID(new_id(when)).int >> 80 == int(when.timestamp() * 1000)


def test_ids_follow_a_clock_that_is_set_to_another_age() -> None:
    late, early = new_id(NOW + timedelta(days=400)), new_id(NOW)
    assert early < late


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_derived_id_is_always_the_same_and_canonical(parts: list[str]) -> None:
    made = derived_id(*parts)
    assert made == derived_id(*parts)
    assert is_uuid(made)


def test_derived_ids_tell_their_parts_apart() -> None:
    assert derived_id("a", "bc") != derived_id("ab", "c")
    assert derived_id("a", "") != derived_id("a")


def test_only_canonical_uuids_are_ids() -> None:
    made = new_id(NOW)
    assert is_uuid(made)
    assert not is_uuid(made.upper())
    assert not is_uuid(made.replace("-", ""))
    assert not is_uuid("nonsense")


def test_equal_content_has_an_equal_id() -> None:
    assert content_id("v", b"one") == content_id("v", b"one") != content_id("v", b"two")
