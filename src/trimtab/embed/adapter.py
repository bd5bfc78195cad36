"""A linear adapter in front of a space: it learns from labelled examples which directions tell their labels apart.

In a general space, texts with one answer differ in ways that do not matter to this feature (politeness, names, tense).
Whitening the scatter within labels shrinks those directions and leaves the ones between labels: S = sum over examples
of w (v - mean of its label)(v - mean)^T / sum w, regularised as S + shrinkage (trace S / d) I; rows are multiplied by
a W with W W^T = S^-1, here the inverse of its Cholesky factor, and set to length 1. Any other such W, as the symmetric
root, differs by a rotation, which no cosine sees. Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical
Learning", 4.3 (discriminant analysis as whitening). Assumption: the scatter is alike for all labels, so that new ones
profit from what old ones taught.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

__all__ = ["Adapter", "fit_adapter", "sums"]


class Adapter:
    """A fitted adapter; immutable."""

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self._matrix = matrix

    def apply(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the rows (n x d) in the adapted space, each of length 1, or 0 where it was 0."""
        moved: NDArray[np.float32] = rows @ self._matrix
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        moved /= np.where(lengths < 1e-9, 1.0, lengths)
        return moved


def fit_adapter(
    rows: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float32], *, shrinkage: float = 1.0
) -> Adapter | None:
    """Return the adapter of `rows` (n x d) with their `labels` (0, 1, ...) and how much each counts.

    None where nothing differs within labels: then there is nothing to learn. Raises ValueError for a `shrinkage` that
    is not positive.
    """
    if not shrinkage > 0:
        raise ValueError(f"expected shrinkage above 0, got {shrinkage!r}")
    if not len(rows):
        return None
    examples = rows.astype(np.float64)
    count = np.bincount(labels, weights)
    total = sums(examples, labels, weights.astype(np.float64), len(count))
    means = total / np.maximum(count, 1e-9)[:, None]
    spread = np.subtract(examples, means[labels], out=examples)
    spread *= np.sqrt(weights)[:, None]
    scatter = spread.T @ spread / max(float(weights.sum()), 1e-9)
    width = scatter.shape[0]
    level = float(np.trace(scatter)) / width
    if level <= 1e-12:
        return None
    scatter[np.diag_indices(width)] += shrinkage * level
    root = linalg.cholesky(scatter, overwrite_a=True)
    return Adapter(linalg.solve_triangular(root, np.eye(width)).astype(np.float32))


def sums(rows: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[Any], count: int) -> NDArray[Any]:
    """Return for each of `count` labels the weighted sum of its rows (count x d), added up in their order."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count + 1))
    return np.asarray(sparse.csr_matrix((weights[order], order, starts), shape=(count, len(rows))) @ rows)
