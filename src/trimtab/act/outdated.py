"""Answers that newer reviews contradict as a whole: where one seems out of date, people are asked about its examples.

When what is right for a kind of question changes, each review mends one example, while the old ones keep voting for the
old answer. A review counts as a contradiction only where the question is a typical one of the old answer, else it is
merely hard to tell apart. Two towards the same new answer within eight weeks raise the suspicion; people then look at a
few of the old examples, and only if every one of them is answered anew now, all are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

__all__ = ["LEAST", "REST", "SAMPLE", "WINDOW", "Suspected", "suspected"]

SAMPLE = 3
"""How many of its old examples people look at before an answer counts as out of date."""

WINDOW = timedelta(weeks=8)
"""How long a contradiction counts; examples older than it are what it contradicts."""

REST = timedelta(weeks=4)
"""For how long people are not asked about the same suspicion again, and what they said of it holds."""

LEAST = 2
"""How many contradictions towards the same new answer raise a suspicion."""


class Suspected(NamedTuple):
    """An answer that seems out of date, and the one that reviews give instead."""

    old: str
    new: str


def suspected(
    heard: Mapping[Suspected, Sequence[datetime]], asked: Mapping[Suspected, datetime], now: datetime
) -> list[Suspected]:
    """Return what is to be asked about now, the most contradicted first.

    `heard` tells when each contradiction was said, `asked` when people last looked at it.
    """
    counts = {pair: sum(at > now - WINDOW for at in told) for pair, told in heard.items()}
    rested = (pair for pair in counts if pair not in asked or now - asked[pair] >= REST)
    return sorted((pair for pair in rested if counts[pair] >= LEAST), key=lambda pair: (-counts[pair], pair))
