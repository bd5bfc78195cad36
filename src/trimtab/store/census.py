"""What a hot store holds, counted at one moment: what a reconciliation compares. A part of `HotStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from trimtab.store.exchange import PurgedKind

__all__ = ["Astray", "Census", "CensusStore", "Missing", "Received"]

Received = Literal["duplicate", "refused"]
"""What became of an event that was not stored."""


class Astray(NamedTuple):
    """A row of which nothing shows what became of it."""

    project_id: str
    record_id: str


class Missing(NamedTuple):
    """Rows that something should show of and does not: those that are known to be set aside, and the others."""

    aside: int
    rows: Sequence[Astray]


class Census(NamedTuple):
    """Counts over all projects, of one snapshot. Streams are named as what leaves by age is: inferences and so on.

    `counted` are rows that were ever stored and judgements that ever stood, by the counters, which no row's leaving
    changes; `held` the rows there are (outcomes: not withdrawn), `purged` those that left by age, `erased` those that
    left with a person. `last` is the newest row's place; `cursors` says where each stage stands, and `read` how many of
    the rows held are at or below the places that were asked for.

    Feedback is `joined` to its answer, is `waiting` for it, or `unread` by enriching; what does none of these is set
    aside or `astray`. `spoken` are held answers with an explicit word that was not taken back; those of them without an
    outcome are set aside or `unjudged`. `worded` is feedback with words, `negative` held answers that count as bad:
    both have a vector.
    """

    counted: Mapping[PurgedKind, int]
    held: Mapping[PurgedKind, int]
    purged: Mapping[PurgedKind, int]
    erased: Mapping[str, int]
    erasing: int
    last: Mapping[PurgedKind, int]
    read: Mapping[PurgedKind, int]
    cursors: Mapping[str, int]
    joined: int
    waiting: int
    unread: int
    astray: Missing
    spoken: int
    unjudged: Missing
    worded: int
    negative: int
    aside: Mapping[tuple[str, str], int]
    received: Mapping[tuple[Received, str], int]


class CensusStore(Protocol):
    """Counting everything, and keeping count of what is not stored."""

    def census(self, *, said: Sequence[str], enriched: str, upto: Mapping[PurgedKind, int]) -> Census:
        """Count everything at one moment. Reads several indexes whole: seconds on millions of rows.

        `said` names the kinds of opinions that make an outcome, `enriched` the cursor that joins feedback, `upto` the
        places for `read`.
        """
        ...

    def last_places(self) -> dict[PurgedKind, int]:
        """Return the place of the newest row of each stream, 0 where there never was one. Cheap."""
        ...

    def count_quiet(self, before: datetime) -> int:
        """Return how many open sessions of all projects wait to be closed: nothing happened in them since `before`."""
        ...

    def receive(self, counts: Mapping[tuple[Received, str], int]) -> None:
        """Add to the counts of events that were not stored: what became of them, and by which code ("" for none)."""
        ...
