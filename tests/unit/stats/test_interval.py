import math

import pytest
from scipy import stats

from trimtab.stats.interval import (
    beta_cdf,
    beta_quantile,
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    difference,
    wilson,
)

COUNTS = [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (25, 500), (1, 100_000), (50_000, 1_000_000), (999, 1000)]


@pytest.mark.parametrize(("bad", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_clopper_pearson_is_the_beta_quantile(bad: int, n: int, confidence: float) -> None:
    upper = 1.0 if bad == n else float(stats.beta.ppf(confidence, bad + 1, n - bad))
    lower = 0.0 if bad == 0 else float(stats.beta.ppf(1 - confidence, bad, n - bad + 1))
    assert clopper_pearson_upper(bad, n, confidence) == pytest.approx(upper, rel=1e-9)
    assert clopper_pearson_lower(bad, n, confidence) == pytest.approx(lower, rel=1e-9)


@pytest.mark.parametrize(("bad", "n"), COUNTS)
@pytest.mark.parametrize("method", ["wilson", "exact"])
def test_two_sided_intervals_agree_with_an_independent_library(bad: int, n: int, method: str) -> None:
    theirs = stats.binomtest(bad, n).proportion_ci(0.95, method="wilson" if method == "wilson" else "exact")
    ours = wilson(bad, n) if method == "wilson" else clopper_pearson(bad, n)
    assert (ours.bad, ours.n, ours.value) == (bad, n, bad / n)
    assert ours.low == pytest.approx(float(theirs.low), rel=1e-9, abs=1e-12)
    assert ours.high == pytest.approx(float(theirs.high), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (3, 700), (700, 3), (40_000, 60_000)])
@pytest.mark.parametrize("x", [1e-9, 0.01, 0.3, 0.4, 0.5, 0.97])
def test_incomplete_beta_agrees_with_an_independent_library(a: float, b: float, x: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(stats.beta.cdf(x, a, b)), rel=1e-8, abs=1e-14)


def test_quantile_undoes_the_distribution() -> None:
    assert beta_cdf(beta_quantile(0.37, 4.0, 9.0), 4.0, 9.0) == pytest.approx(0.37, rel=1e-12)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_nothing_observed_means_nothing_known(interval: type) -> None:
    rate = interval(0, 0)
    assert (rate.value, rate.low, rate.high) == (None, 0.0, 1.0)


@pytest.mark.parametrize(("bad", "n"), [(2, 1), (-1, 5), (0, -1)])
def test_impossible_counts_are_refused(bad: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(bad, n)
    with pytest.raises(ValueError, match="expected"):
        clopper_pearson_upper(bad, n, 0.8)


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan, 95.0])
def test_a_confidence_that_is_no_probability_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="expected confidence to be strictly between 0 and 1"):
        wilson(1, 2, confidence=confidence)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [  # table II of Newcombe 1998, method 10, to its four digits
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_a_difference_of_rates_has_the_published_interval(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    found = difference(wilson(*one), wilson(*other))
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    turned = difference(wilson(*other), wilson(*one))
    assert turned.low == pytest.approx(-found.high)
    assert turned.high == pytest.approx(-found.low)


def test_a_difference_to_an_unknown_rate_is_unknown() -> None:
    found = difference(wilson(3, 10), wilson(0, 0))
    assert (found.value, found.low, found.high) == (None, -1.0, 1.0)
