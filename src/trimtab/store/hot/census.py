"""Counting what is held, what has left and what became of each row, in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, Table, and_, exists, func, literal_column, select

from trimtab.clock import to_micros
from trimtab.store.census import Astray, Census, Missing, Received
from trimtab.store.codec import id_text
from trimtab.store.hot.database import Database, Snapshot, holes, prepare
from trimtab.store.hot.page import Port
from trimtab.store.ports import PurgedKind
from trimtab.store.schema import (
    ERASURES,
    FEEDBACK,
    INFERENCES,
    OPINIONS,
    OUTCOMES,
    PROJECTS,
    counters,
    cursors,
    joins,
    orphans,
    purges,
    received,
    sessions,
    set_aside,
)

__all__ = ["Censuses"]

_DAY = 86_400
_PLACE = "hot"
_MOST_ASTRAY = 100_000
_KINDS: tuple[PurgedKind, ...] = get_args(PurgedKind)
_TABLES: dict[PurgedKind, Table] = {
    "inferences": INFERENCES.table,
    "feedback": FEEDBACK.table,
    "outcomes": OUTCOMES.table,
}
_NAMES = ("result", "code", "count")
_inference, _feedback, _outcome, _opinion = (
    INFERENCES.table.c,
    FEEDBACK.table.c,
    OUTCOMES.table.c,
    OPINIONS.table.c,
)
_ZERO: ColumnElement[Any] = literal_column("0")


class Censuses(Port):
    """The verbs of `CensusStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        new = database.insert(received).values(holes(_NAMES))
        added = new.on_conflict_do_update(
            index_elements=list(received.primary_key.columns),
            set_={"count": received.c["count"] + new.excluded["count"]},
        )
        self._receive = prepare(added, database.dialect, _NAMES)

    def census(self, *, said: Sequence[str], enriched: str, upto: Mapping[PurgedKind, int]) -> Census:
        """Count everything at one moment."""
        with self._database.snapshot() as view:
            places = {row[0]: int(row[1]) for row in view.rows(select(cursors.c.stage, cursors.c.seq))}
            aside = _asides(view)
            erased, erasing = _erased(view)
            return Census(
                counted=_counted(view),
                held={kind: _held(view, kind) for kind in _KINDS},
                purged=_purged(view),
                erased=erased,
                erasing=erasing,
                last=_last(view),
                read={kind: _held(view, kind, _TABLES[kind].c.seq <= upto.get(kind, 0)) for kind in _KINDS},
                cursors=places,
                joined=_number(view, select(func.count()).select_from(joins)),
                waiting=_number(view, select(func.count(orphans.c.feedback_id.distinct()))),
                unread=_held(view, "feedback", _feedback.seq > places.get(enriched, 0)),
                astray=_astray(view, places.get(enriched, 0), aside),
                spoken=_number(view, select(func.count(_opinion.inference_id.distinct())).where(*_explicit(said))),
                unjudged=_unjudged(view, said, aside),
                worded=_held(view, "feedback", _feedback.text != "", _feedback.retracted.is_(False)),
                negative=_held(view, "outcomes", _outcome.p_bad > literal_column("0.5"), _answered(_outcome)),
                aside=_counted_aside(view),
                received={(row[0], row[1]): int(row[2]) for row in view.rows(select(*(received.c[n] for n in _NAMES)))},
            )

    def last_places(self) -> dict[PurgedKind, int]:
        """Return the place of the newest row of each stream."""
        with self._database.snapshot() as view:
            return _last(view)

    def count_quiet(self, before: datetime) -> int:
        """Return how many open sessions wait to be closed."""
        quiet = select(func.count()).select_from(sessions)
        quiet = quiet.where(sessions.c.closed.is_(False), sessions.c.last_at < to_micros(before))
        return int(self._database.rows(quiet)[0][0])

    def receive(self, counts: Mapping[tuple[Received, str], int]) -> None:
        """Add to the counts of events that were not stored."""
        rows = [(result, code, count) for (result, code), count in sorted(counts.items()) if count]
        if rows:
            with self._database.transaction() as write:
                write.many(self._receive, rows)


def _number(view: Snapshot, statement: Any) -> int:
    return int(view.rows(statement)[0][0] or 0)


def _last(view: Snapshot) -> dict[PurgedKind, int]:
    return {kind: _number(view, select(func.coalesce(func.max(_TABLES[kind].c.seq), _ZERO))) for kind in _KINDS}


def _held(view: Snapshot, kind: PurgedKind, *conditions: ColumnElement[bool]) -> int:
    """Count the rows of a stream; of outcomes those that stand."""
    stands = [_outcome.withdrawn.is_(False)] if kind == "outcomes" else []
    return _number(view, select(func.count()).select_from(_TABLES[kind]).where(*stands, *conditions))


def _counted(view: Snapshot) -> dict[PurgedKind, int]:
    """Return what the counters say was ever stored, from the days of each project."""
    column = counters.c
    found: dict[PurgedKind, int] = dict.fromkeys(_KINDS, 0)
    for (project_id,) in view.rows(select(PROJECTS.table.c.id)):
        summed = (
            select(column.metric, func.sum(column["count"]))
            .where(column.project_id == project_id, column.group_key == "", column.width == _DAY)
            .group_by(column.metric)
        )
        for metric, count in view.rows(summed):
            if metric == "inferences":
                found["inferences"] += int(count)
            elif metric == "judged":
                found["outcomes"] += int(count)
            elif metric.startswith(("feedback.", "retracted.")):
                found["feedback"] += int(count)
    return found


def _purged(view: Snapshot) -> dict[PurgedKind, int]:
    marks = {row[0]: int(row[1]) for row in view.rows(select(purges.c.kind, purges.c.purged))}
    return {kind: marks.get(kind, 0) for kind in _KINDS}


def _counted_aside(view: Snapshot) -> dict[tuple[str, str], int]:
    by = (set_aside.c.stage, set_aside.c.kind)
    return {(row[0], row[1]): int(row[2]) for row in view.rows(select(*by, func.count()).group_by(*by))}


def _erased(view: Snapshot) -> tuple[dict[str, int], int]:
    """Return by table what erasures removed here, and how many are not done."""
    found: dict[str, int] = {}
    working = 0
    for row in view.rows(select(*ERASURES.fields)):
        erasure = ERASURES.decode(row)
        working += erasure.state == "working"
        for table, count in erasure.removed.get(_PLACE, {}).items():
            found[table] = found.get(table, 0) + count
    return found, working


def _asides(view: Snapshot) -> set[tuple[str, str, str]]:
    names = ("project_id", "kind", "record_id")
    return {(row[0], row[1], row[2]) for row in view.rows(select(*(set_aside.c[name] for name in names)))}


def _astray(view: Snapshot, upto: int, aside: set[tuple[str, str, str]]) -> Missing:
    """Find feedback that was read and neither joined nor kept as an orphan."""
    own = and_(joins.c.project_id == _feedback.project_id, joins.c.feedback_id == _feedback.id)
    waits = and_(orphans.c.project_id == _feedback.project_id, orphans.c.feedback_id == _feedback.id)
    found = select(_feedback.project_id, _feedback.id).where(
        _feedback.seq <= upto, ~exists().where(own), ~exists().where(waits)
    )
    return _named(view, found, "feedback", aside)


def _explicit(said: Sequence[str]) -> list[ColumnElement[bool]]:
    return [_opinion.kind.in_(list(said)), _opinion.retracted.is_(False), _answered(_opinion)]


def _answered(column: Any) -> ColumnElement[bool]:
    """Return that the answer of a judgement or opinion is held."""
    return exists().where(_inference.project_id == column.project_id, _inference.id == column.inference_id)


def _unjudged(view: Snapshot, said: Sequence[str], aside: set[tuple[str, str, str]]) -> Missing:
    """Find answers that somebody spoke of and that have no outcome."""
    judged = exists().where(
        _outcome.project_id == _opinion.project_id,
        _outcome.inference_id == _opinion.inference_id,
        _outcome.withdrawn.is_(False),
    )
    found = select(_opinion.project_id, _opinion.inference_id).where(*_explicit(said), ~judged).distinct()
    return _named(view, found, "outcome", aside)


def _named(view: Snapshot, statement: Any, kind: str, aside: set[tuple[str, str, str]]) -> Missing:
    found = [Astray(row[0], id_text(row[1])) for row in view.rows(statement.limit(_MOST_ASTRAY))]
    rows = [row for row in found if (row.project_id, kind, row.record_id) not in aside]
    return Missing(len(found) - len(rows), rows)
