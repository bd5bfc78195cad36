import math

import numpy as np
import pytest
from scipy import stats

from trimtab.stats.discovery import Comparison, benjamini_yekutieli, discoveries, fisher


def told(rng: np.random.Generator, rate: float, before: float, *, n: int = 200, most: int = 600) -> Comparison:
    return Comparison(int(rng.binomial(n, rate)), n, int(rng.binomial(most, before)), most)


def test_fisher_is_twice_the_smaller_tail_of_the_hypergeometric() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        n, most = int(rng.integers(1, 400)), int(rng.integers(1, 400))
        each = Comparison(int(rng.integers(0, n + 1)), n, int(rng.integers(0, most + 1)), most)
        law = stats.hypergeom(n + most, each.bad + each.bad_before, n)
        expected = min(1.0, 2 * min(law.cdf(each.bad), law.sf(each.bad - 1)))
        assert fisher(each) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_nothing_known_is_no_evidence() -> None:
    assert fisher(Comparison(0, 0, 3, 9)) == 1.0
    assert fisher(Comparison(0, 9, 0, 9)) == 1.0


def test_benjamini_yekutieli_is_as_published() -> None:
    rng = np.random.default_rng(2)
    p_values = [float(value) for value in rng.uniform(0, 0.05, 40)]
    expected = stats.false_discovery_control(p_values, method="by")
    assert benjamini_yekutieli(p_values) == pytest.approx(list(expected))
    assert benjamini_yekutieli([]) == []


def test_of_unchanged_rates_nearly_nothing_is_told() -> None:
    rng = np.random.default_rng(3)
    worlds = [discoveries([told(rng, 0.1, 0.1) for _ in range(100)], rate=0.05) for _ in range(200)]
    assert sum(bool(world) for world in worlds) / 200 <= 0.05


def test_what_changed_is_told_the_surely_largest_first_and_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(4)
    truth = [0.3, 0.2] + [0.1] * 48
    missed = shown = first = 0
    for _ in range(200):
        found = discoveries([told(rng, rate, 0.1) for rate in truth], rate=0.05)
        shown += len(found)
        missed += sum(not each.difference.low <= truth[each.place] - 0.1 <= each.difference.high for each in found)
        assert [each.size for each in found] == sorted((each.size for each in found), reverse=True)
        first += found[0].place == 0
    assert first >= 190
    assert missed / shown <= 0.05


def test_what_got_better_counts_by_its_size_too() -> None:
    (found,) = discoveries([Comparison(5, 300, 300, 1000)], rate=0.05)
    assert found.difference.value is not None
    assert found.difference.value < 0 < found.size == -found.difference.high


def test_large_counts_are_quick_and_finite() -> None:
    assert 0.0 <= fisher(Comparison(60_000, 500_000, 50_000, 500_000)) < 1e-200
    assert math.isfinite(fisher(Comparison(50_000, 500_000, 50_000, 500_000)))
