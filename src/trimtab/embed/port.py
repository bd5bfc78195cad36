"""What the engine asks of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder"]


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how alike they are in meaning (cosine).

    Both verbs may be called from several threads. What an embedder is given has been through the redactor.
    """

    @property
    def space(self) -> str:
        """Id of the vector space. Vectors of two embedders may be compared only when their spaces are equal.

        The same model in the same form has the same id in every process, another model another.
        """
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text, in order (n x d, float32), of length 1, or 0 where the text has nothing to embed.

        A text's row depends on nothing but the text (but for rounding, where rows are computed together). No texts give
        no rows; then d may be 0 where it is not known yet. Raises Unavailable when what computes the vectors cannot be
        reached; embedders that compute in this process never do.
        """
        ...
