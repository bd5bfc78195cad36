"""Events: what people and models said, appended in bulk and read in order of arrival and by id."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import exists, func, select

from trimtab.clock import to_micros
from trimtab.errors import WallBreach
from trimtab.records import Feedback, Inference, Redacted
from trimtab.store.codec import known_ids
from trimtab.store.hot.counters import MINUTE, Tally, count_feedback, count_inferences
from trimtab.store.hot.database import Database, Transaction, holes, prepare
from trimtab.store.hot.page import Port, after, chunks, within
from trimtab.store.hot.tombstones import ERASING, Tombstones
from trimtab.store.ports import Arrival, Exposure, Stored
from trimtab.store.schema import AUDITS, FEEDBACK, INFERENCES, Noun, exposures

__all__ = ["Events"]

T = TypeVar("T", bound=Struct)

_EXPOSED = ("project_id", "feature", "minute", "version_id", "arm", "inferences")
_INPUT = INFERENCES.codec.names.index("input")


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
        inferences: list[list[Any]] = []
        feedback: list[list[Any]] = []
        slots: list[tuple[list[bool | None], int]] = []  # for each arrival: its table's flags, and its place in them
        new_inferences: list[bool | None] = []
        new_feedback: list[bool | None] = []
        for arrival in arrivals:
            record = _behind_wall(arrival)
            if isinstance(record, Inference):
                slots.append((new_inferences, len(inferences)))
                inferences.append(_inference_row(arrival, record))
            else:
                slots.append((new_feedback, len(feedback)))
                feedback.append(FEEDBACK.row(arrival.project_id, record, *_received(arrival)))
        if not slots:
            return []
        self._database.make_room(max(arrival.received_at for arrival in arrivals))
        with self._database.transaction(beside=[ERASING]) as write:
            gone = [slots[place] for place in self._erased.arrivals(write, arrivals)]
            if inferences:
                dead = {place for flags, place in gone if flags is new_inferences}
                new_inferences.extend(_kept(write, INFERENCES, inferences, dead))
            if feedback:
                dead = {place for flags, place in gone if flags is new_feedback}
                new_feedback.extend(_kept(write, FEEDBACK, feedback, dead))
            # Counters come last: on a server other writers of the same counters wait from here to the commit.
            tally = Tally()
            exposed = count_inferences(tally, compress(inferences, new_inferences))
            count_feedback(tally, compress(feedback, new_feedback))
            if exposed:
                write.many(self._expose, exposed)
            if counts := tally.rows():
                write.count(counts)
        return [flags[place] for flags, place in slots]

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
        columns, drawn = INFERENCES.table.c, AUDITS.table.c
        before = exists().where(drawn.project_id == columns.project_id, drawn.inference_id == columns.id)
        frame = select(columns.seq).where(
            columns.project_id == project_id,
            columns.feature == feature,
            *within(INFERENCES.table.c.created_at, since, until),
        )
        places = sorted(row[0] for row in self._database.rows(frame))
        order = random.Random(seed).sample(places, len(places))  # noqa: S311  a draw to repeat, not a secret
        found: list[Inference] = []
        for lot in chunks(order):
            if len(found) >= count:
                break
            fresh = select(columns.seq, *INFERENCES.fields).where(columns.seq.in_(lot), ~before)
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


def _behind_wall(arrival: Arrival) -> Inference | Feedback:
    event = arrival.event
    if type(event) is not Redacted:
        raise WallBreach(f"expected an event from the redactor, got {type(event).__name__!r}; seal it first")
    record = event.record
    if type(record) not in (Inference, Feedback):
        raise WallBreach(f"expected an inference or a feedback behind the wall, got {type(record).__name__!r}")
    return record


def _received(arrival: Arrival) -> tuple[int, str]:
    return to_micros(arrival.received_at), arrival.event.rules


def _inference_row(arrival: Arrival, record: Inference) -> list[Any]:
    row = INFERENCES.row(arrival.project_id, record, *_received(arrival), "")
    row[3] = hashlib.sha256(row[4 + _INPUT].encode()).hexdigest()
    return row


def _kept(write: Transaction, noun: Noun[Any], rows: Sequence[list[Any]], dead: set[int]) -> list[bool | None]:
    """Insert all rows but those at the places in `dead`."""
    if not dead:
        return list(write.insert_new(noun, rows))
    living = [row for place, row in enumerate(rows) if place not in dead]
    new = iter(write.insert_new(noun, living) if living else [])
    return [None if place in dead else next(new) for place in range(len(rows))]
