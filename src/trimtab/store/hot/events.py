"""Events: what people and models said, appended in bulk and read in order of arrival and by id."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, exists, func, select

from trimtab.clock import from_micros, to_micros
from trimtab.records import Feedback, Inference
from trimtab.store.codec import known_ids
from trimtab.store.hot.counters import MINUTE, Tally, count_feedback, count_inferences
from trimtab.store.hot.database import Database, Transaction, holes, prepare
from trimtab.store.hot.page import Port, after, chunks, within
from trimtab.store.hot.tombstones import ERASING, Tombstones
from trimtab.store.packing import pack_arrivals
from trimtab.store.ports import Arrival, Exposure, Packed, Stored
from trimtab.store.schema import AUDITS, FEEDBACK, INFERENCES, Noun, exposures

__all__ = ["Events"]

T = TypeVar("T", bound=Struct)

_LISTED = 50_000  # places of a frame that are listed whole to draw from
_EXPOSED = ("project_id", "feature", "minute", "version_id", "arm", "inferences")


class Events(Port):
    """The verbs of `EventStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        new = database.insert(exposures).values(holes(_EXPOSED))
        counted = new.on_conflict_do_update(
            index_elements=list(exposures.primary_key.columns),
            set_={"inferences": exposures.c.inferences + new.excluded.inferences},
        )
        self._expose = prepare(counted, database.dialect, _EXPOSED)
        self._erased = Tombstones(database)

    def append(self, arrivals: Sequence[Arrival]) -> list[bool | None]:
        """Make the events durable in one transaction and say by position which were new, None for the erased."""
        return self.append_packed(pack_arrivals(arrivals))

    def append_packed(self, packed: Packed) -> list[bool | None]:
        """Do what `append` does with events whose rows are made already."""
        if not packed.order:
            return []
        inferences, feedback = packed.inferences, packed.feedback
        new_inferences: list[bool | None] = []
        new_feedback: list[bool | None] = []
        self._database.make_room(from_micros(packed.received_at))
        with self._database.transaction(beside=[ERASING]) as write:
            dead = self._erased.packed(write, packed)
            if inferences:
                new_inferences = _kept(write, INFERENCES, inferences, dead.inferences)
            if feedback:
                new_feedback = _kept(write, FEEDBACK, feedback, dead.feedback)
            # Counters come last: on a server other writers of the same counters wait from here to the commit.
            tally = Tally()
            exposed = count_inferences(tally, compress(inferences, new_inferences))
            count_feedback(tally, compress(feedback, new_feedback))
            if exposed:
                write.many(self._expose, exposed)
            if counts := tally.rows():
                write.count(counts)
        if not feedback:
            return new_inferences
        flags = (iter(new_inferences), iter(new_feedback))
        return [next(flags[kind]) for kind in packed.order]

    def inferences_after(self, seq: int, limit: int) -> list[Stored[Inference]]:
        """Return at most `limit` inferences of all projects that arrived after `seq`."""
        return after(self._database, INFERENCES, seq, limit)

    def feedback_after(self, seq: int, limit: int) -> list[Stored[Feedback]]:
        """Return at most `limit` feedback events of all projects that arrived after `seq`."""
        return after(self._database, FEEDBACK, seq, limit)

    def inferences(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, Inference]:
        """Return those of the inferences that are stored, by id."""
        return {record.id: record for record in self._by_ids(INFERENCES, project_id, inference_ids)}

    def feedback(self, project_id: str, feedback_ids: Sequence[str]) -> dict[str, Feedback]:
        """Return those of the feedback events that are stored, by id."""
        return {record.id: record for record in self._by_ids(FEEDBACK, project_id, feedback_ids)}

    def sample(
        self, project_id: str, feature: str, since: datetime, until: datetime, count: int, seed: int
    ) -> list[Inference]:
        """Return `count` inferences created in [since, until), drawn uniformly without replacement, or all if fewer."""
        columns = INFERENCES.table.c
        frame = [
            columns.project_id == project_id,
            columns.feature == feature,
            *within(INFERENCES.table.c.created_at, since, until),
        ]
        size = select(func.count(), func.min(columns.seq), func.max(columns.seq)).where(*frame)
        [(rows, first, last)] = self._database.rows(size)
        found = self._undrawn(_guessed(rows, first, last, count, seed), frame, count)
        if len(found) < count:
            places = sorted(row[0] for row in self._database.rows(select(columns.seq).where(*frame)))
            order = random.Random(seed).sample(places, len(places))  # noqa: S311  a draw to repeat, not a secret
            found = self._undrawn(order, frame, count)
        return found

    def _undrawn(self, order: Sequence[int], frame: Sequence[ColumnElement[bool]], count: int) -> list[Inference]:
        """Return the first `count` inferences at these places that are of the frame and were not drawn before."""
        columns, drawn = INFERENCES.table.c, AUDITS.table.c
        before = exists().where(drawn.project_id == columns.project_id, drawn.inference_id == columns.id)
        found: list[Inference] = []
        for lot in chunks(order):
            if len(found) >= count:
                break
            fresh = select(columns.seq, *INFERENCES.fields).where(columns.seq.in_(lot), *frame, ~before)
            fresh = fresh.with_hint(INFERENCES.table, "NOT INDEXED", dialect_name="sqlite")  # by place, not by time
            rows = {row[0]: row[1:] for row in self._database.rows(fresh)}
            found.extend(INFERENCES.decode(rows[place]) for place in lot if place in rows)
        return found[:count]

    def exposures(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[Exposure]:
        """Return served inferences per (version, arm) created in [since, until), in whole minutes, from counters."""
        columns = exposures.c
        statement = (
            select(columns.version_id, columns.arm, func.sum(columns.inferences))
            .where(
                columns.project_id == project_id,
                columns.feature == feature,
                columns.minute >= to_micros(since) // MINUTE,
                columns.minute < -(-to_micros(until) // MINUTE),
            )
            .group_by(columns.version_id, columns.arm)
            .order_by(columns.version_id, columns.arm)
        )
        return [
            Exposure(version_id or None, arm or None, int(count))
            for version_id, arm, count in self._database.rows(statement)
        ]

    def _by_ids(self, noun: Noun[T], project_id: str, texts: Sequence[str]) -> list[T]:
        found: list[T] = []
        columns = noun.table.c
        for lot in chunks(known_ids(texts)):
            statement = select(*noun.fields).where(columns.project_id == project_id, columns.id.in_(lot))
            found.extend(noun.decode(row) for row in self._database.rows(statement))
        return found


def _guessed(rows: int, first: int, last: int, count: int, seed: int) -> Sequence[int]:
    """Return places in random order, some of which hold rows of a frame, four for each that is wanted.

    Each row of the frame is as likely to be hit as any other. Empty where listing the frame is cheaper than guessing.
    """
    if rows <= _LISTED:
        return ()
    tries = 4 * count * (last - first + 1) // rows + 100
    return () if tries > rows // 4 else random.Random(seed).sample(range(first, last + 1), tries)  # noqa: S311  see above


def _kept(write: Transaction, noun: Noun[Any], rows: Sequence[list[Any]], dead: frozenset[int]) -> list[bool | None]:
    """Insert all rows but those at the places in `dead`."""
    if not dead:
        return list(write.insert_new(noun, rows))
    living = [row for place, row in enumerate(rows) if place not in dead]
    new = iter(write.insert_new(noun, living) if living else [])
    return [None if place in dead else next(new) for place in range(len(rows))]
