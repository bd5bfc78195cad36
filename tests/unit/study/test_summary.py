from __future__ import annotations

import math

import pytest

from trimtab.study.summary import recovered, spread


def test_interval_is_students() -> None:
    told = spread([1.0, 2.0, 3.0, 4.0])
    half = 3.182446305284263 * math.sqrt(5 / 3) / 2  # t(0.975, 3) from tables
    assert told.mean == 2.5
    assert told.low == pytest.approx(2.5 - half)
    assert told.high == pytest.approx(2.5 + half)


def test_one_world_has_no_interval() -> None:
    told = spread([7.0])
    assert (told.mean, told.low, told.high, told.n) == (7.0, None, None, 1)


def test_share_won_back_is_of_what_was_lost_and_of_the_gap() -> None:
    assert recovered(5.0, 20.0) == 0.75
    assert recovered(5.0, 20.0, best=-10.0) == 0.5
    assert recovered(-0.5, 0.3) is None
