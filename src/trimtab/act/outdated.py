"""Answers that newer reviews contradict as a whole: where one seems out of date, people are asked about its examples.

When what is right for a kind of question changes, each review mends one example, while the old ones keep voting for the
old answer. A review counts as a contradiction only where the question is a typical one of the old answer, else it is
merely hard to tell apart. Two towards the same new answer within eight weeks raise the suspicion; people then look at a
few of the old examples, and only if every one of them is answered anew now, all are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

__all__ = ["SAMPLE", "WINDOW", "Outdated", "Suspected"]

SAMPLE = 3
"""How many of its old examples people look at before an answer counts as out of date."""

WINDOW = timedelta(weeks=8)
"""How long a contradiction counts; examples older than it are what it contradicts."""

_LEAST = 2
_REST = timedelta(weeks=4)


class Suspected(NamedTuple):
    """An answer that seems out of date, and the one that reviews give instead."""

    old: str
    new: str


class Outdated:
    """Collects contradictions and says what to ask about. Keep one for each feature."""

    def __init__(self) -> None:
        self._heard: dict[Suspected, list[datetime]] = {}
        self._asked: dict[Suspected, datetime] = {}

    def hear(self, now: datetime, typical: Sequence[str | None], rights: Sequence[str]) -> None:
        """Take reviews: the answer that each question is typical of (None: of none), and what was said is right."""
        for old, right in zip(typical, rights, strict=True):
            if old is not None and old != right:
                self._heard.setdefault(Suspected(old, right), []).append(now)

    def due(self, now: datetime) -> list[Suspected]:
        """Return what is to be asked about now, the most contradicted first."""
        counts = {pair: sum(at > now - WINDOW for at in heard) for pair, heard in self._heard.items()}
        rested = (pair for pair in counts if pair not in self._asked or now - self._asked[pair] >= _REST)
        return sorted((pair for pair in rested if counts[pair] >= _LEAST), key=lambda pair: (-counts[pair], pair))

    def ask(self, pair: Suspected, now: datetime) -> None:
        """Take down that people look at it now: it is not due again for four weeks."""
        self._asked[pair] = now
