import math
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

from trimtab.stats.survival import kaplan_meier, median_time

# remission times of 21 patients on 6-mercaptopurine (Freireich et al. 1963), the textbook example; + is censored
REMISSION = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
ENDED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_curve_matches_the_textbook() -> None:
    steps = kaplan_meier(REMISSION, [bool(x) for x in ENDED])
    assert [step.time for step in steps] == [6, 7, 10, 13, 16, 22, 23]
    published = [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert [step.open_share for step in steps] == pytest.approx(published, abs=5e-5)


def test_interval_matches_the_textbook() -> None:
    steps = kaplan_meier(REMISSION, [bool(x) for x in ENDED])
    # log(-log) limits at 6 and 10 weeks as printed by the usual packages
    assert (steps[0].low, steps[0].high) == pytest.approx((0.6197, 0.9516), abs=5e-4)
    assert (steps[2].low, steps[2].high) == pytest.approx((0.5032, 0.8894), abs=5e-4)


def test_median_and_its_interval_match_the_textbook() -> None:
    result = median_time(REMISSION, [bool(x) for x in ENDED])
    assert (result.value, result.low, result.high, result.n, result.done) == (23, 13, None, 21, 9)


def test_median_is_none_while_fewer_than_half_are_done() -> None:
    result = median_time([1, 2, 9, 9, 9], [True, True, False, False, False])
    assert result.value is None
    assert result.high is None


def test_open_items_raise_the_median_that_finished_ones_alone_would_show() -> None:
    finished = median_time([1, 2, 3], [True] * 3)
    with_open = median_time([1, 2, 3, 50, 60], [True] * 3 + [False] * 2)
    assert finished.value == 2
    assert with_open.value == 3


def test_without_censoring_it_is_the_first_time_half_are_done() -> None:
    assert median_time([4, 1, 3, 2], [True] * 4).value == 2
    assert median_time([5, 1, 3, 2, 4], [True] * 5).value == 3


def test_a_rounding_error_does_not_move_the_median() -> None:
    for size in range(2, 200, 2):
        assert median_time(range(1, size + 1), [True] * size).value == size // 2


def test_no_items_have_no_median() -> None:
    result = median_time([], [])
    assert (result.value, result.low, result.high, result.n) == (None, None, None, 0)


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
def test_a_duration_that_is_no_time_is_refused(duration: float) -> None:
    with pytest.raises(ValueError, match="expected durations to be finite numbers >= 0"):
        median_time([duration], [True])


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match=r"expected as many durations as done flags \(1\), got 2"):
        median_time([1, 2], [True])


def test_curve_and_interval_are_those_of_another_implementation() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        durations, done = rng.integers(1, 30, 40).astype(float), rng.random(40) < 0.6
        steps = kaplan_meier(list(durations), [bool(each) for each in done])
        found = stats.ecdf(stats.CensoredData(uncensored=durations[done], right=durations[~done]))
        times = [step.time for step in steps]
        assert [step.open_share for step in steps] == pytest.approx(list(found.sf.evaluate(times)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it divides by zero where the curve reaches 0
            interval: Any = found.sf.confidence_interval(method="log-log")
        inner = [step for step in steps if step.open_share > 0]
        assert [step.low for step in inner] == pytest.approx(list(interval.low.evaluate(times))[: len(inner)])
        assert [step.high for step in inner] == pytest.approx(list(interval.high.evaluate(times))[: len(inner)])
