"""Many tests at once: p-values adjusted so that one bound holds for all of them together."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values, in the order of the given ones: reject those that are at most alpha.

    The k-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= k, at most 1. The chance of any false
    rejection is then at most alpha, whatever the tests have to do with each other; nothing is rejected less often than
    with Bonferroni's m p. Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6, 1979.

    >>> holm([0.5, 0.01, 0.02])
    [0.5, 0.03, 0.04]
    """
    adjusted = [0.0] * len(p_values)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = most
    return adjusted
