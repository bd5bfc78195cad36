from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from trimtab.stats.raters import cohen_kappa, fleiss_kappa

# Fourteen psychiatrists, ten patients, five diagnoses: the table that Fleiss's measure is usually shown with.
PATIENTS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


def test_fleiss_kappa_of_the_known_table() -> None:
    found = fleiss_kappa(PATIENTS)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert found.observed == pytest.approx(0.378, abs=5e-4)
    assert found.n == 10
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.21 < found.high


pairs = st.lists(st.tuples(st.sampled_from(["good", "bad", "odd"]), st.sampled_from(["good", "bad"])), min_size=2)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_cohen_kappa_is_that_of_sklearn(told: list[tuple[str, str]]) -> None:
    found = cohen_kappa(told)
    if len({name for pair in told for name in pair}) < 2:
        assert found.kappa is None
    else:
        first, second = zip(*told, strict=True)
        assert found.kappa is not None
        assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
        assert found.low is not None
        assert found.high is not None
        assert -1 <= found.low <= found.kappa + 1e-12
        assert found.kappa <= found.high + 1e-12 <= 1 + 1e-9


def test_things_with_one_verdict_do_not_count() -> None:
    assert fleiss_kappa([*PATIENTS, (1, 0, 0, 0, 0), (0,) * 5]) == fleiss_kappa(PATIENTS)
    assert fleiss_kappa([(1, 0)]).n == 0
    assert fleiss_kappa([]).kappa is None


def test_few_that_all_agree_prove_little() -> None:
    few, many = fleiss_kappa([(2, 0), (0, 2)] * 3), fleiss_kappa([(2, 0), (0, 2)] * 300)
    assert few.kappa == many.kappa == 1.0
    assert few.low is not None
    assert many.low is not None
    assert few.low < 0.5
    assert many.low > 0.97
    assert fleiss_kappa([(2, 0)] * 9).kappa is None  # one verdict throughout: agreement by chance is certain


def test_the_interval_holds_the_true_kappa_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    right, truth = 0.85, 0.3  # each of two reviewers is right with 85%, 30% of answers are bad
    said_bad = truth * right + (1 - truth) * (1 - right)
    agree = right**2 + (1 - right) ** 2
    chance = said_bad**2 + (1 - said_bad) ** 2
    kappa = (agree - chance) / (1 - chance)
    held = 0
    for _ in range(400):
        bad = random.random(60) < truth
        told = (random.random((60, 2)) < right) == bad[:, None]
        counts = [(int(row.sum()), 2 - int(row.sum())) for row in told]
        found = fleiss_kappa(counts)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= kappa <= found.high
    assert 0.91 <= held / 400 <= 0.985


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        fleiss_kappa([(1, 1), (1, 1, 0)])
    with pytest.raises(ValueError, match="counts >= 0"):
        fleiss_kappa([(2, -1)])
