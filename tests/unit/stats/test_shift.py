"""The exact test of two counts against its reference form."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from trimtab.stats.shift import began_later, least_log_excess, log_excess


@given(st.integers(1, 300), st.integers(1, 3000), st.floats(0, 1), st.floats(0, 1))
def test_excess_is_the_upper_tail_of_the_hypergeometric(of_now: int, of_before: int, share: float, was: float) -> None:
    now, before = round(share * of_now), round(was * of_before)
    exact = hypergeom.logsf(now - 1, of_now + of_before, now + before, of_now)
    if exact > -600:  # further out the reference form has no digits left
        assert log_excess(now, of_now, before, of_before) == pytest.approx(exact, rel=1e-6, abs=1e-6)


@given(st.integers(1, 300), st.integers(1, 3000), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_the_first_terms_of_many_signs_are_those_of_each_and_no_sign_is_surer(
    of_now: int, of_before: int, shares: list[tuple[float, float]]
) -> None:
    now = np.array([round(share * of_now) for share, _ in shares])
    before = np.array([round(share * of_before) for _, share in shares])
    least = least_log_excess(now, of_now, before, of_before)
    for first, one, other in zip(least, now, before, strict=True):
        exact = hypergeom.logpmf(one, of_now + of_before, one + other, of_now)
        assert first == pytest.approx(min(exact, 0.0), rel=1e-6, abs=1e-6)
        assert first <= log_excess(int(one), of_now, int(other), of_before) + 1e-6


def test_p_values_keep_their_promise_when_nothing_changed() -> None:
    dice, level, low = random.Random(5), 0.05, 0
    for _ in range(4000):
        now, before = sum(dice.random() < 0.1 for _ in range(60)), sum(dice.random() < 0.1 for _ in range(200))
        low += log_excess(now, 60, before, 200) <= math.log(level)
    assert low <= 4000 * level + 3 * math.sqrt(4000 * level * (1 - level))


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected now to be at most of_now \(3\), got 4"):
        log_excess(4, 3, 0, 10)


def test_an_onset_that_chance_has_put_late_does_not_make_a_release_good_at_first() -> None:
    dice, blamed, worlds = random.Random(9), 0, 400
    for _ in range(worlds):
        votes = [dice.random() < 0.2 for _ in range(300)]  # as bad from the first vote to the last
        late = max(range(1, 300), key=lambda k: sum(votes[-k:]) / k - sum(votes[:-k]) / (300 - k) if k > 19 else -1.0)
        blamed += began_later(sum(votes[:-late]), 300 - late, sum(votes[-late:]), late)
    assert blamed <= worlds * 0.05
    assert began_later(40, 400, 120, 300)
    assert not began_later(40, 100, 30, 100)
    assert not began_later(0, 0, 30, 100)
