from __future__ import annotations

import numpy as np
import pytest

from trimtab.embed.adapter import fit_adapter, sums

RANDOM = np.random.default_rng(0)


def test_directions_in_which_like_labels_differ_count_less() -> None:
    labels = np.repeat([0, 1], 200)
    rows = RANDOM.normal(0, [0.1] + [1.0] * 9, (400, 10)).astype(np.float32)
    rows[:, 0] += np.where(labels == 0, -0.4, 0.4)  # the labels differ in the first direction, the others are noise
    adapter = fit_adapter(rows, labels, np.ones(400, np.float32), shrinkage=0.01)
    assert adapter is not None

    def right(space: np.ndarray) -> float:
        unit = space / np.linalg.norm(space, axis=1, keepdims=True)
        likeness = unit @ unit.T
        np.fill_diagonal(likeness, -2)
        return float(np.mean(labels[likeness.argmax(axis=1)] == labels))

    assert right(rows) < 0.8
    assert right(adapter.apply(rows)) > 0.98


def test_rows_come_out_with_length_one_and_nothing_stays_nothing() -> None:
    rows = RANDOM.normal(size=(50, 5)).astype(np.float32)
    adapter = fit_adapter(rows, np.arange(50) % 5, np.ones(50, np.float32))
    assert adapter is not None
    moved = adapter.apply(np.vstack([rows, np.zeros((1, 5), np.float32)]))
    np.testing.assert_allclose(np.linalg.norm(moved[:-1], axis=1), 1.0, atol=1e-5)
    assert not moved[-1].any()


def test_much_shrinkage_leaves_the_space_as_it_was() -> None:
    rows = RANDOM.normal(size=(60, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    adapter = fit_adapter(rows, np.arange(60) % 3, np.ones(60, np.float32), shrinkage=1e6)
    assert adapter is not None
    np.testing.assert_allclose(adapter.apply(rows), rows, atol=1e-3)


def test_examples_of_no_weight_change_nothing() -> None:
    rows = RANDOM.normal(size=(40, 3)).astype(np.float32)
    labels = np.arange(40) % 2
    weights = np.ones(40, np.float32)
    weights[30:] = 0
    some, all_of_them = fit_adapter(rows[:30], labels[:30], weights[:30]), fit_adapter(rows, labels, weights)
    assert some is not None
    assert all_of_them is not None
    np.testing.assert_allclose(some.apply(rows), all_of_them.apply(rows), atol=1e-5)


def test_there_is_nothing_to_learn_where_labels_hold_one_point() -> None:
    assert fit_adapter(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3, np.float32)) is None
    assert fit_adapter(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)) is None


def test_shrinkage_must_be_positive() -> None:
    with pytest.raises(ValueError, match="expected shrinkage above 0, got 0"):
        fit_adapter(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3, np.float32), shrinkage=0)


def test_sums_are_those_of_the_rows_one_by_one() -> None:
    rows = RANDOM.normal(size=(101, 7))
    labels, weights = RANDOM.integers(0, 5, 101), RANDOM.random(101)
    labels[labels == 3] = 2  # one label has no rows
    expected = np.zeros((6, 7))
    for row, label, weight in zip(rows, labels, weights, strict=True):
        expected[label] += row * weight
    np.testing.assert_array_equal(sums(rows, labels, weights, 6), expected)
