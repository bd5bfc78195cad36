"""Agreement with people, against counting by hand, and the promise of its interval against every possible sample."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats.agreement import Judged, agreement, kappa

ANSWERS = st.lists(st.builds(Judged, st.booleans(), st.booleans(), st.integers(0, 5000)), max_size=40)


def by_hand(answers: list[Judged]) -> float | None:
    """Cohen's kappa from the shares of the four cells."""
    n = len(answers)
    if n == 0:
        return None
    cells = dict.fromkeys(product((True, False), repeat=2), 0)
    for each in answers:
        cells[each.person_good, each.judge_good] += 1
    observed = (cells[True, True] + cells[False, False]) / n
    people = (cells[True, True] + cells[True, False]) / n
    judge = (cells[True, True] + cells[False, True]) / n
    chance = people * judge + (1 - people) * (1 - judge)
    return None if chance == 1 else (observed - chance) / (1 - chance)


@given(ANSWERS)
def test_kappa_is_what_counting_the_four_cells_gives_and_lies_in_its_interval(answers: list[Judged]) -> None:
    found = agreement(answers)
    assert (found.n, found.bad, found.good) == (len(answers), found.sensitivity.n, found.specificity.n)
    if found.bad and found.good:
        assert found.kappa == pytest.approx(by_hand(answers), abs=1e-12)
        assert found.kappa is not None
        assert found.kappa_low - 1e-12 <= found.kappa <= found.kappa_high + 1e-12
    else:
        assert (found.kappa, found.kappa_low, found.kappa_high) == (None, -1.0, 1.0)


@given(ANSWERS)
def test_order_does_not_matter_and_calling_good_bad_leaves_kappa_alone(answers: list[Judged]) -> None:
    found, turned = agreement(answers), agreement(answers[::-1])
    assert found == turned
    swapped = agreement([Judged(not each.person_good, not each.judge_good, each.length) for each in answers])
    assert swapped.kappa == (None if found.kappa is None else pytest.approx(found.kappa, abs=1e-12))
    assert (swapped.kappa_low, swapped.kappa_high) == pytest.approx((found.kappa_low, found.kappa_high), abs=1e-12)


@pytest.mark.parametrize(("bad", "good"), [(5, 5), (12, 8), (4, 16)])
@pytest.mark.parametrize("truth", [(0.5, 0.5), (0.9, 0.9), (0.99, 0.7), (0.6, 1.0)])
def test_the_interval_of_kappa_covers_at_least_95_of_100_samples(
    bad: int, good: int, truth: tuple[float, float]
) -> None:
    sensitivity, specificity = truth
    right = kappa(sensitivity, specificity, bad / (bad + good))
    assert right is not None
    covered = 0.0
    for caught, spared in product(range(bad + 1), range(good + 1)):
        told = [Judged(False, place >= caught) for place in range(bad)]
        told += [Judged(True, place < spared) for place in range(good)]
        found = agreement(told)
        if found.kappa_low - 1e-12 <= right <= found.kappa_high + 1e-12:
            covered += binomial(caught, bad, sensitivity) * binomial(spared, good, specificity)
    assert covered >= 0.95


def binomial(count: int, n: int, p: float) -> float:
    return math.comb(n, count) * p**count * (1 - p) ** (n - count)


def test_a_dozen_answers_all_agreed_upon_prove_less_than_a_hundred() -> None:
    few = agreement([Judged(place % 2 == 0, place % 2 == 0) for place in range(12)])
    many = agreement([Judged(place % 2 == 0, place % 2 == 0) for place in range(100)])
    assert (few.kappa, many.kappa) == (1.0, 1.0)
    assert few.kappa_low < 0.3
    assert many.kappa_low > 0.8


def test_a_judge_that_says_the_same_of_everything_agrees_no_better_than_chance() -> None:
    found = agreement([Judged(place % 2 == 0, True) for place in range(50)])
    assert found.kappa == 0.0
    assert found.kappa_low <= 0.0


def test_a_judge_that_lets_long_bad_answers_pass_is_found_out_and_one_that_does_not_is_not() -> None:
    fooled = [Judged(False, length > 400, length) for length in range(300, 500, 5)]
    even = [Judged(False, length % 2 == 0, length) for length in range(300, 340)]
    assert agreement(fooled).favours_length
    assert not agreement(even).favours_length
    assert not agreement([]).favours_length
