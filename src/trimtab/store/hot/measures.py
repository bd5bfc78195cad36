"""What measuring reads: votes by person, outcomes one after the other, work summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import ColumnElement, and_, func, select

from trimtab.clock import from_micros
from trimtab.records import WorkLog
from trimtab.store.codec import id_text, known_ids
from trimtab.store.hot.page import Port, chunks, paged, within
from trimtab.store.measures import Ballot, CorrectionTime, Judged, WorkSum
from trimtab.store.ports import Page, Query
from trimtab.store.schema import OPINIONS, OUTCOMES, REVIEWS, WORK_LOG, joins

__all__ = ["Measures"]

_outcome = OUTCOMES.table.c
_opinion = OPINIONS.table.c
_review = REVIEWS.table.c
_work = WORK_LOG.table.c


@lru_cache(maxsize=4096)
def _segments(text: str) -> Mapping[str, str]:
    """Return the groups of an answer: few texts, told again by every answer of the same groups."""
    return msgspec.json.decode(text, type=dict[str, str])


class Measures(Port):
    """The verbs of `MeasureStore`; the contract stands there."""

    def ballots(self, project_id: str, feature: str, since: datetime, until: datetime, limit: int) -> list[Ballot]:
        """Return at most `limit` votes of known people on answers created in [since, until), newest first."""
        statement = select(
            _outcome.inference_id,
            _outcome.version_id,
            _outcome.voter_id,
            _outcome.vote,
            _outcome.created_at,
            _outcome.segments,
        ).where(
            *self._in_span(project_id, feature, since, until),
            _outcome.voter_id.is_not(None),
            _outcome.vote.is_not(None),
        )
        order = (_outcome.created_at.desc(), _outcome.seq.desc())
        return [
            Ballot(id_text(row[0]), row[1], row[2], float(row[3]), from_micros(row[4]), _segments(row[5]))
            for row in self._database.rows(statement.order_by(*order).limit(limit))
        ]

    def judgements(self, project_id: str, feature: str, since: datetime, until: datetime, limit: int) -> list[Judged]:
        """Return at most `limit` outcomes, none withdrawn, of answers created in [since, until), oldest first."""
        statement = select(
            _outcome.inference_id,
            _outcome.version_id,
            _outcome.created_at,
            _outcome.voted_at,
            _outcome.p_bad,
            _outcome.segments,
        ).where(*self._in_span(project_id, feature, since, until))
        rows = self._database.rows(statement.order_by(_outcome.created_at, _outcome.seq).limit(limit))
        return [
            Judged(
                id_text(row[0]),
                row[1],
                from_micros(row[2]),
                None if row[3] is None else from_micros(row[3]),
                float(row[4]),
                _segments(row[5]),
            )
            for row in rows
        ]

    def reviewed(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, datetime]:
        """Return when a reviewer first closed an item about each of these answers that one did."""
        found: dict[str, datetime] = {}
        for lot in chunks(known_ids(inference_ids)):
            statement = (
                select(_review.inference_id, func.min(_review.closed_at))
                .where(_review.project_id == project_id, _review.inference_id.in_(lot), _review.closed_at.is_not(None))
                .group_by(_review.inference_id)
            )
            found.update((id_text(row[0]), from_micros(row[1])) for row in self._database.rows(statement))
        return found

    def correction_times(
        self, project_id: str, feature: str, since: datetime, until: datetime, limit: int
    ) -> list[CorrectionTime]:
        """Return at most `limit` corrections given in [since, until) that are joined and still hold, newest first."""
        holds = and_(
            _opinion.project_id == joins.c.project_id,
            _opinion.inference_id == joins.c.inference_id,
            _opinion.kind == "correction",
            _opinion.feedback_id == joins.c.feedback_id,
            _opinion.retracted.is_(False),
        )
        statement = (
            select(joins.c.feedback_id, joins.c.created_at)
            .join_from(joins, OPINIONS.table, holds)
            .where(
                joins.c.project_id == project_id,
                joins.c.feature == feature,
                joins.c.readable.is_(True),
                joins.c.kind == "correction",
                *within(joins.c.created_at, since, until),
            )
            .order_by(joins.c.created_at.desc(), joins.c.place.desc())
            .limit(limit)
        )
        return [CorrectionTime(id_text(row[0]), from_micros(row[1])) for row in self._database.rows(statement)]

    def work_log(self, project_id: str, query: Query) -> Page[WorkLog]:
        """Return one page of the log of work."""
        only = [_work.feature == query.feature] if query.feature is not None else []
        return paged(self._database, WORK_LOG, project_id, query, *only, time=_work.at)

    def work_minutes(self, project_id: str, feature: str | None, since: datetime, until: datetime) -> list[WorkSum]:
        """Return the minutes worked in [since, until) by kind and source, in their order."""
        by = (_work.kind, _work.source)
        only = [_work.feature == feature] if feature is not None else []
        statement = (
            select(*by, func.count(), func.sum(_work.minutes))
            .where(_work.project_id == project_id, *within(_work.at, since, until), *only)
            .group_by(*by)
            .order_by(*by)
        )
        return [WorkSum(row[0], row[1], int(row[2]), float(row[3])) for row in self._database.rows(statement)]

    def _in_span(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[ColumnElement[bool]]:
        return [
            _outcome.project_id == project_id,
            _outcome.feature == feature,
            _outcome.withdrawn.is_(False),
            *within(_outcome.created_at, since, until),
        ]
