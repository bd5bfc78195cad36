from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trimtab.stats.calibration import auc, ece, ece_by_chance

pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.3001, 0.5, 0.95, 1.0]), st.booleans()), max_size=40)


def parts(said: list[tuple[float, bool]]) -> tuple[list[float], list[float]]:
    return [score for score, _ in said], [float(bad) for _, bad in said]


@given(said=pairs)
def test_auc_counts_pairs_with_ties_as_halves(said: list[tuple[float, bool]]) -> None:
    scores, bad = parts(said)
    found = auc(scores, bad, draws=0)
    if 0 < sum(bad) < len(bad):
        assert found.value == pytest.approx(roc_auc_score(bad, scores))
    else:
        assert found.value is None
    assert found.n == len(said)


def test_auc_of_partly_bad_answers_is_that_of_answers_split() -> None:
    whole = auc([0.2, 0.2, 0.7, 0.7, 0.9, 0.9], [1, 0, 1, 1, 0, 1], draws=0)
    halves = auc([0.2, 0.7, 0.9], [0.5, 1.0, 0.5], draws=0)
    assert halves.value == pytest.approx(whole.value)


@given(said=pairs)
def test_ece_is_the_mean_gap_over_ten_bins(said: list[tuple[float, bool]]) -> None:
    scores, bad = parts(said)
    found = ece(scores, bad, draws=0)
    if not said:
        assert found.value is None
        return
    total = 0.0
    for place in range(10):
        inside = [i for i, score in enumerate(scores) if min(int(score * 10), 9) == place]
        total += abs(sum(bad[i] - scores[i] for i in inside))
    assert found.value == pytest.approx(total / len(said))


@settings(max_examples=20, deadline=None)
@given(said=pairs, seed=st.integers(0, 3))
def test_interval_holds_its_value_and_stays_in_range(said: list[tuple[float, bool]], seed: int) -> None:
    scores, bad = parts(said)
    for measure in (auc(scores, bad, draws=50, seed=seed), ece(scores, bad, draws=50, seed=seed)):
        value = measure.low if measure.value is None else measure.value
        assert 0.0 <= measure.low <= value <= measure.high <= 1.0


def test_auc_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(5), 0
    truth = 0.7602  # P(N(1, 1) > N(0, 1))
    for seed in range(120):
        bad = random.random(200) < 0.3
        scores = 1 / (1 + np.exp(-(random.normal(size=200) + bad)))
        found = auc(scores.tolist(), bad.astype(float).tolist(), draws=300, seed=seed)
        held += found.low <= truth <= found.high
    assert 106 <= held <= 119  # 95% of 120, give or take three standard errors


def test_chance_shows_error_in_a_small_audit_though_every_score_is_right() -> None:
    random = np.random.default_rng(1)
    scores = random.beta(1, 6, 20_000)
    shown = [ece_by_chance(scores[:n].tolist()) for n in (100, 1000, 20_000)]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > 0.04
    assert shown[-1] < 0.01
    said = (random.random(20_000) < scores).astype(float)
    assert ece(scores.tolist(), said.tolist(), draws=0).value == pytest.approx(shown[-1], abs=0.006)


def test_the_same_data_give_the_same_interval() -> None:
    scores, bad = [0.1, 0.2, 0.6, 0.8] * 20, [0.0, 0.0, 1.0, 1.0] * 19 + [1.0, 0.0, 0.0, 1.0]
    assert auc(scores, bad) == auc(scores, bad)
    assert ece(scores, bad) == ece(scores, bad)


@pytest.mark.parametrize(("scores", "bad"), [([0.5], []), ([1.5], [1.0]), ([0.5], [float("nan")])])
def test_what_is_no_probability_is_refused(scores: list[float], bad: list[float]) -> None:
    for measure in (auc, ece):
        with pytest.raises(ValueError, match="expected"):
            measure(scores, bad)
