"""How much better or worse answers fared that used a document, compared with all others: shrunk log-odds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from trimtab.stats import expect

__all__ = ["Boost", "Use", "boosts"]


class Use(NamedTuple):
    """One answer that used a document: how bad people called it (0 to 1), and how long ago that was."""

    document: str
    bad: float
    age_days: float


class Boost(NamedTuple):
    """What a document's answers say of it: `boost` in [-1, 1], 0 for the usual; `good` and `bad` are decayed sums."""

    document: str
    uses: int
    good: float
    bad: float
    boost: float


def boosts(uses: Iterable[Use], *, strength: float = 20.0, half_life_days: float = 90.0) -> list[Boost]:
    """Return a boost for each document, the most harmful first.

    boost = clip(ln((good + a) / (bad + b)) - ln(a / b), -1, 1), where a = strength * p, b = strength * (1 - p) and p is
    the share of good among all uses (kept off 0 and 1 by one answer each way): a document needs about `strength` uses
    before its own record outweighs the usual one. A use weighs 2 ** (-age / half-life). Assumption: which document an
    answer used does not depend on who asks; position and question do, so this ranks documents for a look, and moves a
    score by no more than a few hundredths.
    """
    expect.positive("strength", strength)
    expect.positive("half_life_days", half_life_days)
    sums: dict[str, list[float]] = {}
    for use in uses:
        weight = 2.0 ** (-max(use.age_days, 0.0) / half_life_days)
        held = sums.setdefault(use.document, [0.0, 0.0, 0.0])
        held[0] += 1
        held[1] += weight * (1 - use.bad)
        held[2] += weight * use.bad
    good, bad = (sum(held[place] for held in sums.values()) for place in (1, 2))
    usual = (good + 1) / (good + bad + 2)
    a, b = strength * usual, strength * (1 - usual)
    found = [
        Boost(name, int(count), up, down, max(-1.0, min(1.0, math.log((up + a) / (down + b)) - math.log(a / b))))
        for name, (count, up, down) in sums.items()
    ]
    return sorted(found, key=lambda item: (item.boost, item.document))
