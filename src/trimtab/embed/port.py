"""What the engine asks of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder"]


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how alike they are in meaning (cosine)."""

    @property
    def space(self) -> str:
        """Id of the vector space. Vectors of two embedders may be compared only when their spaces are equal."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text (n x d, float32) of length 1, or 0 when the text has nothing the space knows."""
        ...
