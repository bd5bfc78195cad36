"""Which groups the bad ones of an incident are in: a description for the reader, never a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["MOST_ROWS", "Grouped", "lifts"]

MOST_ROWS = 2000
"""How many rows are looked at, the newest first."""

_MOST = 10
_LEAST_BAD = 3
_LEAST_LIFT = 1.2


class Grouped(NamedTuple):
    """One sample since the onset: how bad it was and to which groups its answer belongs."""

    x: float
    groups: Mapping[str, str]


def lifts(samples: Iterable[Grouped]) -> list[dict[str, Any]]:
    """Return groups that are over-represented among the bad ones, at most ten, those that explain most first.

    lift = (share of the bad that is in the group) / (share of all that is in the group). Groups with fewer than 3 bad
    ones or a lift below 1.2 are left out, and so are those that hold everything. They are ordered by how many more bad
    ones they have than their share of all explains. Many groups are looked at, so a high lift alone proves nothing.
    """
    n, bad = 0, 0.0
    found: dict[tuple[str, str], list[float]] = {}
    for x, groups in samples:
        n, bad = n + 1, bad + x
        for key in groups.items():
            held = found.setdefault(key, [0, 0.0])
            held[0] += 1
            held[1] += x
    told = []
    for (group, value), (mine, worse) in found.items():
        if worse < _LEAST_BAD or mine == n:
            continue
        lift = (worse / bad) / (mine / n)
        if lift >= _LEAST_LIFT:
            rounded = {"n": int(mine), "bad": round(worse, 2), "lift": round(lift, 2)}
            told.append((worse - bad * mine / n, {"group": group, "value": value, **rounded}))
    told.sort(key=lambda each: (-each[0], each[1]["group"], each[1]["value"]))
    return [each for _, each in told[:_MOST]]
