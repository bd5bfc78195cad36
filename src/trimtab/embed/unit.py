"""Rows of length one, and texts fit to be sent: what embedders around a foreign model share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["sayings", "unit_rows"]


def sayings(texts: Sequence[str], chars: int) -> dict[int, str]:
    """Return by place the first `chars` characters of the texts, without those that have no letter and no digit there.

    What is no character (half of a surrogate pair) becomes "?".
    """
    cut = [text[:chars] for text in texts]
    return {
        place: text.encode("utf-8", "replace").decode() for place, text in enumerate(cut) if any(map(str.isalnum, text))
    }


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the rows (n x d) scaled to length 1; a row shorter than 1e-9 becomes 0."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled = np.where(lengths < 1e-9, 0.0, rows / np.maximum(lengths, 1e-9))
    return scaled.astype(np.float32)
