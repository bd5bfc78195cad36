from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.stats.calibration import auc
from trimtab.stats.logistic import logit, sigmoid
from trimtab.stats.suspect import COLUMNS, LEAST_REVIEWS, around, by_answer, suspicion

SIGNS = (1, -1, -1, 1, 1)
Rows = NDArray[np.float64]


def world(seed: int, n: int, slopes: tuple[float, ...] = (1.0, -2.0, -1.0, 0.6, 0.3)) -> tuple[Rows, Rows]:
    """Return rows and whether each answer was wrong, by these slopes at a level of 15% or so."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, len(COLUMNS)))
    rows[:, 0] = np.where(random.random(n) < 0.1, 2.0, -0.2)
    wrong = random.random(n) < 1 / (1 + np.exp(-(-2.0 + rows @ np.array(slopes))))
    return rows, wrong.astype(float)


def test_without_reviews_the_shipped_slopes_and_level_stand() -> None:
    rows, wrong = world(1, 500)
    few = LEAST_REVIEWS - 1
    blank, held = suspicion(rows), suspicion(rows, rows[:few], wrong[:few].tolist())
    assert blank.slopes == held.slopes
    assert blank.base == held.base == logit(0.15)
    assert blank.reviews == held.reviews == 0
    assert all(slope * sign > 0 for slope, sign in zip(blank.slopes, SIGNS, strict=True))


def test_an_answer_of_which_nothing_is_known_has_the_base_rate() -> None:
    nothing = [[0.0, *[math.nan] * 4]]
    assert suspicion(nothing, base_rate=0.2).p_wrong(nothing) == pytest.approx([0.2])


def test_reviews_teach_slopes_that_rank_new_answers_better_than_the_shipped_ones() -> None:
    rows, wrong = world(2, 6000)
    model, shipped = suspicion(rows, rows[:1000], wrong[:1000].tolist()), suspicion(rows)
    learned, before = (auc(m.p_wrong(rows[1000:]).tolist(), wrong[1000:].tolist()).value for m in (model, shipped))
    assert learned is not None
    assert before is not None
    assert learned > before
    assert model.slopes[1] == pytest.approx(-2.0, abs=0.4)


def test_answers_drawn_at_random_set_the_level_whatever_the_others_show() -> None:
    rows, wrong = world(3, 20_000)
    picked = np.argsort(-rows[:, 1])[-300:]  # the most suspect
    drawn = np.random.default_rng(3).choice(20_000, 400, replace=False)
    both = np.concatenate((picked, drawn))
    model = suspicion(rows, rows[both], wrong[both].tolist(), drawn=[False] * 300 + [True] * 400)
    assert model.drawn == 400
    assert model.p_wrong(rows).mean() == pytest.approx(wrong.mean(), abs=0.03)


@given(
    seed=st.integers(0, 10_000),
    slopes=st.tuples(*[st.floats(-4, 4)] * len(COLUMNS)),
    n=st.integers(LEAST_REVIEWS, 300),
    separable=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_more_complaints_never_make_an_answer_less_suspect(
    seed: int, slopes: tuple[float, ...], n: int, separable: bool
) -> None:
    rows, wrong = world(seed, n, slopes)
    if separable:
        wrong = (rows[:, 1] > 0).astype(float)  # and the wrong way round
    model = suspicion(rows, rows, wrong.tolist())
    base = model.p_wrong(rows)
    assert np.isfinite(base).all()
    for column, sign in enumerate(SIGNS):
        moved = rows.copy()
        moved[:, column] += 0.5 * sign
        assert (model.p_wrong(moved) >= base - 1e-12).all()


@given(scale=st.floats(1e-6, 1e6), shift=st.floats(-1e3, 1e3))
@settings(max_examples=40, deadline=None)
def test_the_unit_of_an_apps_certainty_does_not_matter(scale: float, shift: float) -> None:
    rows, wrong = world(4, 400)
    moved = rows.copy()
    moved[:, 1] = moved[:, 1] * scale + shift * scale
    one, other = suspicion(rows, rows, wrong.tolist()), suspicion(moved, moved, wrong.tolist())
    assert other.p_wrong(moved) == pytest.approx(one.p_wrong(rows), abs=1e-5)


@given(
    rows=st.lists(
        st.tuples(*[st.floats(-1e8, 1e8) | st.just(math.nan)] * len(COLUMNS)), min_size=LEAST_REVIEWS, max_size=80
    ),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_fitting_never_diverges(rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    wrong = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(rows), max_size=len(rows)))
    model = suspicion(rows, rows, wrong)
    assert all(map(math.isfinite, (model.base, *model.slopes)))
    p = model.p_wrong(rows)
    assert ((p >= 0) & (p <= 1)).all()


def test_what_neighbours_say_is_the_mean_over_the_nearest_without_the_row_itself() -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(40, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    said = random.normal(size=40)
    found = around(vectors, said, range(40), nearest=7)
    for place in range(40):
        others = sorted(
            (row for row in range(40) if row != place), key=lambda row: -float(vectors[row] @ vectors[place])
        )
        expected = sum(max(0.0, float(vectors[row] @ vectors[place])) * said[row] for row in others[:7]) / 7
        assert found[place] == pytest.approx(expected)
    assert around(vectors[:1], said[:1], [0]).tolist() == [0.0]
    assert around(vectors, said, [3, 1], nearest=7).tolist() == found[[3, 1]].tolist()


def test_what_an_answer_is_said_of_leaves_out_the_row_itself_and_shrinks_rare_ones() -> None:
    found = by_answer(["a", "b", "a", "a"], [3.0, 2.0, -1.0, 2.0], [0, 1, 2], shrink=10)
    assert found.tolist() == pytest.approx([1.0 / 12, 0.0, 5.0 / 12])


def test_p_wrong_follows_the_log_odds_of_signals() -> None:
    model = suspicion([[0.0, *[math.nan] * 4]])
    assert model.p_wrong([[2.0, *[math.nan] * 4]])[0] == pytest.approx(sigmoid(logit(0.15) + 2.0))


@pytest.mark.parametrize(
    ("rows", "message"),
    [([[1.0, 2.0]], "rows of 5 numbers"), ([[math.inf] * 5], "NaN for what is not known")],
)
def test_rows_of_another_shape_are_refused(rows: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suspicion(rows)
    with pytest.raises(ValueError, match="expected 0 verdicts and as many flags, got 1"):
        suspicion([], [], [1.0])
