"""Intervals, gate, buckets and survival against brute force."""

import math
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats.bucket import bucket, in_candidate
from trimtab.stats.gate import judge_candidate, paired_difference
from trimtab.stats.interval import clopper_pearson, clopper_pearson_upper, wilson
from trimtab.stats.survival import kaplan_meier, median_time

items = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=30)


def tail(bad: int, n: int, p: float) -> float:
    """Return P(X <= bad) for X ~ Binomial(n, p), term by term."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(bad + 1))


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), st.floats(0.5, 0.999))
def test_upper_bound_leaves_exactly_the_stated_tail(counted: tuple[int, int], confidence: float) -> None:
    bad, n = counted
    assert tail(bad, n, clopper_pearson_upper(bad, n, confidence)) == pytest.approx(1 - confidence, rel=1e-6)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_contain_the_rate_and_mirror_when_good_and_bad_swap(counted: tuple[int, int]) -> None:
    bad, n = counted
    for interval in (wilson, clopper_pearson):
        rate, mirror = interval(bad, n), interval(n - bad, n)
        assert 0.0 <= rate.low <= bad / n <= rate.high <= 1.0
        assert rate.low == pytest.approx(1 - mirror.high, abs=1e-9)


@given(
    st.integers(0, 400).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, n)).flatmap(
            lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(0, pair[0] - pair[1]))
        )
    )
)
def test_bonett_price_is_the_wald_bound_of_the_padded_table(counted: tuple[int, int, int]) -> None:
    n, broken, fixed = counted
    changes = [-1] * (broken + 1) + [1] * (fixed + 1) + [0] * (n - broken - fixed)
    mean = statistics.fmean(changes)
    half = 1.6448536269514722 * statistics.pstdev(changes) / math.sqrt(len(changes))
    bounds = paired_difference(n, broken, fixed)
    assert bounds.value == pytest.approx(mean, abs=1e-12)
    assert (bounds.low, bounds.high) == pytest.approx((mean - half, mean + half), abs=1e-9)


def test_a_candidate_worse_by_the_margin_passes_at_most_as_often_as_promised() -> None:
    rng = random.Random(0)
    passed, draws = 0, 4000
    for _ in range(draws):
        roll = [rng.random() for _ in range(200)]
        broken, fixed = sum(r < 0.10 for r in roll), sum(0.10 <= r < 0.15 for r in roll)
        passed += judge_candidate(200, broken=broken, fixed=fixed, margin=0.05).verdict == "pass"
    assert 0.03 < passed / draws < 0.07


@given(st.text(max_size=20), st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_growing_the_share_never_moves_a_unit_back(salt: str, unit_id: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert in_candidate(salt, unit_id, large) or not in_candidate(salt, unit_id, small)
    assert 0.0 <= bucket(salt, unit_id) <= 1.0


def brute_open_share(observed: list[tuple[int, bool]], time: int) -> Fraction:
    """Return S(time) by redistribution to the right: a censored item hands its weight to all later ones."""
    order = sorted(observed, key=lambda item: (item[0], not item[1]))
    weights = [Fraction(1, len(order))] * len(order)
    for index, (_, is_done) in enumerate(order):
        later = len(order) - index - 1
        if not is_done and later:
            for rest in range(index + 1, len(order)):
                weights[rest] += weights[index] / later
            weights[index] = Fraction(0)
    left = sum((w for w, (at, is_done) in zip(weights, order, strict=True) if is_done and at <= time), Fraction(0))
    return 1 - left


@given(items)
def test_kaplan_meier_equals_redistribution_to_the_right(observed: list[tuple[int, bool]]) -> None:
    durations, done = [at for at, _ in observed], [is_done for _, is_done in observed]
    for step in kaplan_meier(durations, done):
        assert step.open_share == pytest.approx(float(brute_open_share(observed, int(step.time))), abs=1e-12)
        assert 0.0 <= step.low <= step.open_share + 1e-12
        assert step.open_share <= step.high + 1e-12


@given(items)
def test_median_is_the_first_time_half_are_done(observed: list[tuple[int, bool]]) -> None:
    durations, done = [at for at, _ in observed], [is_done for _, is_done in observed]
    times = sorted({at for at, is_done in observed if is_done})
    half = Fraction(1, 2)
    expected = next((at for at in times if brute_open_share(observed, at) <= half), None)
    result = median_time(durations, done)
    assert result.value == expected
    if result.value is not None:
        assert result.low is not None
        assert result.low <= result.value
        assert result.high is None or result.value <= result.high


def test_median_interval_covers_the_true_median_under_censoring() -> None:
    rng = random.Random(1)
    true_median, covered, draws = math.log(2), 0, 400
    for _ in range(draws):
        took = [rng.expovariate(1.0) for _ in range(60)]
        age = [rng.uniform(0.0, 3.0) for _ in range(60)]
        result = median_time(
            [min(pair) for pair in zip(took, age, strict=True)], [t <= a for t, a in zip(took, age, strict=True)]
        )
        covered += (result.low or 0.0) <= true_median <= (math.inf if result.high is None else result.high)
    assert 0.91 < covered / draws < 0.99
