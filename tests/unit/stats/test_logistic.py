from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from sklearn.linear_model import LogisticRegression

from trimtab.stats.logistic import fit_intercept, fit_slopes, logit, sigmoid

CENTRE = (1.0, -0.5, 0.0)


def drawn(seed: int, n: int) -> tuple[list[list[float]], list[float]]:
    """Return rows of three flags and whether each answer was bad."""
    random = np.random.default_rng(seed)
    rows = (random.random((n, 3)) < 0.3).astype(float)
    bad = random.random(n) < 1 / (1 + np.exp(-(-1.0 + rows @ np.array([1.5, -1.0, 0.3]))))
    return rows.tolist(), bad.astype(float).tolist()


@given(seed=st.integers(0, 10_000), n=st.integers(0, 60), sd=st.floats(0.05, 5))
@settings(max_examples=40, deadline=None)
def test_slopes_are_the_minimum_that_a_general_optimiser_finds(seed: int, n: int, sd: float) -> None:
    rows, bad = drawn(seed, n)
    x, y, centre = np.array(rows).reshape(n, 3), np.array(bad), np.array(CENTRE)
    middle = logit((y.sum() + 0.5) / (n + 1))

    def loss(at: np.ndarray) -> float:
        eta = at[0] + x @ at[1:]
        prior = ((at[1:] - centre) ** 2).sum() / (2 * sd**2) + (at[0] - middle) ** 2 / 18
        return float(np.logaddexp(0, eta).sum() - y @ eta + prior)

    fit = fit_slopes(rows, bad, centre=CENTRE, sd=sd)
    ours = np.array([fit.intercept, *fit.slopes])
    found = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    assert loss(ours) <= found.fun + 1e-9
    assert ours == pytest.approx(found.x, abs=1e-3)


def test_slopes_are_those_of_sklearn_where_the_prior_is_the_same() -> None:
    rows, bad = drawn(1, 400)
    theirs = LogisticRegression(C=0.49, tol=1e-12, max_iter=5000).fit(rows, bad)
    fit = fit_slopes(rows, bad, centre=(0, 0, 0), sd=0.7, intercept_sd=1e4)
    assert fit.slopes == pytest.approx(theirs.coef_[0], abs=1e-5)
    assert fit.intercept == pytest.approx(theirs.intercept_[0], abs=1e-5)


def test_without_data_what_was_believed_stands() -> None:
    assert fit_slopes([], [], centre=CENTRE).slopes == pytest.approx(CENTRE)


@pytest.mark.parametrize("sd", [0.7, 50.0])
def test_separable_votes_have_a_finite_fit(sd: float) -> None:
    rows = [[1.0, 0.0, 0.0]] * 500 + [[0.0, 1.0, 0.0]] * 500
    fit = fit_slopes(rows, [1.0] * 500 + [0.0] * 500, centre=CENTRE, sd=sd)
    assert all(map(math.isfinite, (fit.intercept, *fit.slopes)))
    assert fit.slopes[0] > 1 > -0.5 > fit.slopes[1]
    assert fit.slopes[2] == 0.0
    assert fit.steps < 60


def test_all_bad_votes_have_a_finite_fit() -> None:
    fit = fit_slopes([[1.0, 0.0, 1.0]] * 1000, [1.0] * 1000, centre=CENTRE)
    assert 0 < fit.intercept < 30


def test_more_votes_move_a_slope_further_from_the_table() -> None:
    rows, bad = drawn(2, 4000)
    moved = [abs(fit_slopes(rows[:n], bad[:n], centre=(4, 4, 4)).slopes[1] - 4) for n in (0, 40, 400, 4000)]
    assert moved == sorted(moved)
    assert moved[-1] > 4


@given(
    offsets=st.lists(st.floats(-8, 8), min_size=2, max_size=50),
    share=st.floats(0.05, 0.95),
)
def test_intercept_makes_the_mean_score_the_mean_truth(offsets: list[float], share: float) -> None:
    n = len(offsets)
    bad = [share] * n
    wanted = min(max(share * n, 0.5), n - 0.5)
    found = brentq(lambda b: sum(sigmoid(b + each) for each in offsets) - wanted, -60, 60, xtol=1e-12)
    assert fit_intercept(offsets, bad) == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize(("bad", "rate"), [(0.0, 0.5 / 40), (1.0, 39.5 / 40)])
def test_an_audit_of_one_kind_alone_counts_half_an_answer_of_the_other(bad: float, rate: float) -> None:
    assert sigmoid(fit_intercept([0.0] * 40, [bad] * 40)) == pytest.approx(rate)


def test_votes_decide_the_level_no_more_than_chance_does() -> None:
    assert math.isfinite(fit_intercept([0.3], [1.0]))


@pytest.mark.parametrize("log_odds", [-1e4, -3.0, 0.0, 2.5, 1e4])
def test_sigmoid_is_in_range_and_undone_by_logit(log_odds: float) -> None:
    p = sigmoid(log_odds)
    assert 0.0 <= p <= 1.0
    if 0.0 < p < 1.0:
        assert logit(p) == pytest.approx(log_odds)


@pytest.mark.parametrize(
    ("rows", "bad", "says"),
    [
        ([[1.0]], [0.0], "rows of 3 numbers"),
        ([[1.0, 0.0, math.nan]], [0.0], "finite rows"),
        ([[1.0, 0.0, 0.0]], [2.0], "between 0 and 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: list[list[float]], bad: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fit_slopes(rows, bad, centre=CENTRE)


def test_an_intercept_needs_a_row() -> None:
    with pytest.raises(ValueError, match="number of rows"):
        fit_intercept([], [])


def test_a_row_of_weight_three_counts_as_three_rows() -> None:
    offsets, bad = [0.5, -1.0, 2.0, 0.0], [1.0, 0.0, 0.5, 1.0]
    often = fit_intercept([*offsets, 2.0, 2.0], [*bad, 0.5, 0.5])
    assert fit_intercept(offsets, bad, weights=[1, 1, 3, 1]) == pytest.approx(often)
    assert fit_intercept(offsets, bad, weights=[5.0] * 4) == pytest.approx(fit_intercept(offsets, bad))
    with pytest.raises(ValueError, match="weights above 0"):
        fit_intercept(offsets, bad, weights=[1, 1, 0, 1])
