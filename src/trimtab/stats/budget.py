"""One false-alarm budget for all monitors, however many there come to be."""

from __future__ import annotations

from trimtab.stats import expect

__all__ = ["share_of_budget"]


def share_of_budget(budget: float, place: int) -> float:
    """Return the `alpha` of the monitor that is the `place`-th (from 1) to draw on a budget of expected false alarms.

    For a user: over all monitors together, at most `budget` false alarms are expected within their horizons, whatever
    depends on what, and a monitor keeps its share when others come.

    Formula: monitors are paid in blocks of doubling size, block k = floor(log2(place)) has 2^k of them and gets
    budget / ((k + 1)(k + 2)), which sums to `budget` over all k; each of a block gets the same. Beside budget / M for M
    monitors known beforehand that costs ln((k + 1)(k + 2)) nats of evidence, 4.1 at M = 200. One monitor expects
    alpha / (1 - alpha) false alarms within its horizon, as it starts anew after each, so alpha = b / (1 + b) for the
    part b (a union bound needs no independence).

    Raises ValueError for a budget that is not positive or a place below 1.

    >>> round(share_of_budget(1.0, 1), 3)
    0.333
    >>> sum(share_of_budget(1.0, place) / (1 - share_of_budget(1.0, place)) for place in range(1, 100_000)) < 1
    True
    """
    expect.count("place", place, least=1)
    if not budget > 0:
        raise ValueError(f"expected budget to be above 0, got {budget!r}")
    block = place.bit_length() - 1
    part = budget / ((block + 1) * (block + 2)) / (1 << block)
    return part / (1 + part)
