from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab.stats.prediction import prediction_powered

unit = st.floats(0, 1)


@given(
    scores=st.lists(unit, min_size=4, max_size=40),
    truths=st.lists(unit, min_size=2, max_size=4),
)
def test_estimate_is_the_mean_score_and_what_the_audit_found_it_off_by(
    scores: list[float], truths: list[float]
) -> None:
    f, y = np.array(scores), np.array([0.5, *truths][-len(truths) :])
    audited = list(zip(scores, truths, strict=False))
    found = prediction_powered(len(f), f.sum(), (f * f).sum(), audited)
    gap = y - f[: len(y)]
    assert found.value == pytest.approx(np.clip(f.mean() + gap.mean(), 0, 1))
    if 0 < sum(truths) < len(truths):
        assert found.se == pytest.approx(np.sqrt(f.var(ddof=1) / len(f) + gap.var(ddof=1) / len(y)), abs=1e-7)
        half = stats.t.ppf(0.975, len(y) - 1) * found.se
        middle = f.mean() + gap.mean()
        assert (found.low, found.high) == pytest.approx(np.clip((middle - half, middle + half), 0, 1), abs=1e-6)


def test_a_useless_score_gives_what_the_audit_alone_says() -> None:
    truths = [1.0] * 30 + [0.0] * 170
    found = prediction_powered(100_000, 40_000.0, 16_000.0, [(0.4, y) for y in truths])
    assert found.value == pytest.approx(0.15)
    assert found.se == pytest.approx(np.std(truths, ddof=1) / np.sqrt(200))


def test_a_perfect_score_leaves_only_the_error_of_counting() -> None:
    found = prediction_powered(10_000, 1500.0, 1500.0, [(y, y) for y in [1.0] * 15 + [0.0] * 85])
    assert found.value == pytest.approx(0.15)
    assert found.se == pytest.approx(np.sqrt(0.15 * 0.85 / 10_000), rel=1e-3)


def test_a_score_that_is_off_is_corrected() -> None:
    found = prediction_powered(10_000, 6000.0, 3600.0, [(0.6, y) for y in [1.0] * 15 + [0.0] * 85])
    assert found.low < 0.15 < found.high < 0.3


def test_an_audit_without_any_bad_answer_does_not_claim_certainty() -> None:
    found = prediction_powered(10_000, 1000.0, 100.0, [(0.1, 0.0)] * 40)
    assert found.value == 0.0
    assert found.high > 0.05


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4])
def test_interval_covers_the_truth_about_as_often_as_it_says(rate: float) -> None:
    random, held = np.random.default_rng(3), 0
    for _ in range(400):
        bad = (random.random(3000) < rate).astype(float)
        f = np.clip(0.2 + 0.4 * bad + random.normal(0, 0.15, 3000), 0, 1)
        drawn = random.choice(3000, 150, replace=False)
        audited = [(float(f[i]), float(bad[i])) for i in drawn]
        found = prediction_powered(3000, float(f.sum()), float((f * f).sum()), audited)
        held += found.low <= bad.mean() <= found.high
    assert 366 <= held <= 396  # 95% of 400, give or take three standard errors


@pytest.mark.parametrize(
    ("n", "audited", "says"),
    [
        (10, [(0.5, 1.0)], "number of audited answers"),
        (2, [(0.5, 1.0)] * 3, "at most n = 2"),
        (10, [(0.5, 1.0), (1.5, 0.0)], "score"),
    ],
)
def test_what_cannot_be_estimated_is_refused(n: int, audited: list[tuple[float, float]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        prediction_powered(n, 1.0, 1.0, audited)


def test_equal_weights_change_nothing() -> None:
    audited = [(0.2, 1.0), (0.2, 0.0), (0.7, 1.0), (0.4, 0.0)]
    plain = prediction_powered(100, 30.0, 12.0, audited)
    weighed = prediction_powered(100, 30.0, 12.0, audited, weights=[7.0] * 4)
    assert (weighed.value, weighed.se) == pytest.approx((plain.value, plain.se))
    assert (weighed.low, weighed.high) == pytest.approx((plain.low, plain.high))


def test_as_many_drawn_from_a_busy_week_as_from_a_quiet_one_are_weighed() -> None:
    random = np.random.default_rng(3)
    weeks, each = ((1000, 0.1), (9000, 0.3)), 100
    truth = (1000 * 0.1 + 9000 * 0.3) / 10_000
    values, held = [], 0
    for _ in range(400):
        audited = [(0.15, float(random.random() < bad)) for _, bad in weeks for _ in range(each)]
        weights = [size / each for size, _ in weeks for _ in range(each)]
        found = prediction_powered(10_000, 1500.0, 225.0, audited, weights=weights)
        values.append(found.value)
        held += found.low <= truth <= found.high
    assert np.mean(values) == pytest.approx(truth, abs=0.01)
    assert 0.92 <= held / 400 <= 0.985


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, float("nan")]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        prediction_powered(10, 2.0, 1.0, [(0.1, 0.0), (0.2, 1.0)], weights=weights)
