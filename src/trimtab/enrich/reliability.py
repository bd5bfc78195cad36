"""How far a person's votes can be relied on."""

from __future__ import annotations

from trimtab.stats import expect

__all__ = ["reliability"]

_TRUST = 4.0  # as if a new person had agreed four times
_LEAST = 0.3


def reliability(agreed: int, compared: int) -> float:
    """Return the weight of a person whose vote `agreed` with a reviewer in so many of the answers `compared`.

    Formula: (agreed + 4) / (compared + 4), kept within [0.3, 1]: the mean of a Beta posterior that begins with four
    agreements, so that one who was never compared counts in full, and one who always disagrees is not silenced.
    Assumption: reviewers are right. Raises ValueError unless 0 <= agreed <= compared.
    """
    expect.counts("agreed", agreed, "compared", compared)
    return max(_LEAST, (agreed + _TRUST) / (compared + _TRUST))
