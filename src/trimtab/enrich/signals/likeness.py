"""How alike two requests are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Likeness"]


class Likeness(Protocol):
    """Compares texts; the same pair always gives the same number, whatever was compared before."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return for each pair how alike its texts are: 1 the same, 0 (or less) nothing in common."""
        ...
