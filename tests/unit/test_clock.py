from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.clock import SetClock, SystemClock, from_micros, to_micros

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_set_clock_stands_still_until_it_is_set() -> None:
    clock = SetClock(START)
    assert clock.now() == clock.now() == START
    assert clock.advance(timedelta(days=1)) == clock.now() == START + timedelta(days=1)


def test_set_clock_never_runs_backwards() -> None:
    clock = SetClock(START)
    with pytest.raises(ValueError, match="expected a time at or after"):
        clock.set(START - timedelta(microseconds=1))
    assert clock.now() == START


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="add tzinfo=UTC"):
        SetClock(START.replace(tzinfo=None))


def test_system_clock_tells_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))))
def test_micros_hold_every_time_exactly(when: datetime) -> None:
    assert from_micros(to_micros(when)) == when
