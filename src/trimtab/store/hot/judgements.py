"""Judgements: which inference a feedback means, what people think of it, and what the engine made of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, case, func, literal_column, select

from trimtab.clock import from_micros, to_micros
from trimtab.records import Correction, Feedback, Opinion, Outcome
from trimtab.store.codec import id_text, known_ids
from trimtab.store.hot.page import Port, after, chunks, cut, paged, placed, within
from trimtab.store.ports import ArmVotes, Page, Query, Stored, Target
from trimtab.store.schema import FEEDBACK, INFERENCES, OPINIONS, OUTCOMES, orphans, targets

__all__ = ["Judgements"]

_PAYLOAD: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_feedback = FEEDBACK.table.c
_inference = INFERENCES.table.c
_opinion = OPINIONS.table.c
_outcome = OUTCOMES.table.c


class Judgements(Port):
    """The verbs of `JudgementStore`; the contract stands there."""

    def resolve(self, project_id: str, targets: Sequence[Target]) -> dict[Target, str]:
        """Return the inference id for each known target."""
        found: dict[Target, str] = {}
        for kind, keys in _keys_by_kind(targets).items():
            found.update(
                self._own_ids(project_id, keys) if kind == "inference" else self._named(project_id, kind, keys)
            )
        return found

    def waiting(self, project_id: str, targets: Sequence[Target]) -> list[tuple[Target, Feedback]]:
        """Return orphaned feedback that waits for one of the targets, in order of arrival."""
        found: list[tuple[int, Target, Feedback]] = []
        here = and_(_feedback.project_id == orphans.c.project_id, _feedback.id == orphans.c.feedback_id)
        for kind, keys in _keys_by_kind(targets).items():
            for lot in chunks(keys):
                statement = (
                    select(_feedback.seq, orphans.c.target_key, *FEEDBACK.fields)
                    .join_from(orphans, FEEDBACK.table, here)
                    .where(
                        orphans.c.project_id == project_id,
                        orphans.c.target_kind == kind,
                        orphans.c.target_key.in_(lot),
                    )
                )
                rows = self._database.rows(statement)
                found.extend((row[0], Target(kind, row[1]), FEEDBACK.decode(row[2:])) for row in rows)
        found.sort(key=lambda item: (item[0], item[1]))
        return [(target, feedback) for _, target, feedback in found]

    def opinions(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[Opinion]]:
        """Return the latest opinions (retracted ones too) on each inference, ordered by (created_at, feedback_id)."""
        found: dict[str, list[Opinion]] = {}
        for lot in chunks(known_ids(inference_ids)):
            statement = (
                select(*OPINIONS.fields)
                .where(_opinion.project_id == project_id, _opinion.inference_id.in_(lot))
                .order_by(_opinion.created_at, _opinion.feedback_id)
            )
            for row in self._database.rows(statement):
                opinion = OPINIONS.decode(row)
                found.setdefault(opinion.inference_id, []).append(opinion)
        return found

    def outcomes_after(self, seq: int, limit: int) -> list[Stored[Outcome]]:
        """Return at most `limit` outcomes of all projects written or rewritten after `seq`, in that order."""
        return after(self._database, OUTCOMES, seq, limit)

    def arm_votes(self, project_id: str, feature: str, since: datetime) -> list[ArmVotes]:
        """Return the votes on the feature's answers created since then, by arm."""
        negative = func.sum(
            case((_outcome.vote > literal_column("0.5"), literal_column("1")), else_=literal_column("0"))
        )
        statement = (
            select(_outcome.arm, func.count(), negative)
            .where(
                _outcome.project_id == project_id,
                _outcome.feature == feature,
                _outcome.created_at >= to_micros(since),
                _outcome.vote.is_not(None),
                _outcome.withdrawn.is_(False),
            )
            .group_by(_outcome.arm)
            .order_by(_outcome.arm)
        )
        return [ArmVotes(arm, int(voted), int(bad)) for arm, voted, bad in self._database.rows(statement)]

    def outcomes(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return the outcomes of those inferences that have one."""
        found: dict[str, Outcome] = {}
        for lot in chunks(known_ids(inference_ids)):
            statement = select(*OUTCOMES.fields).where(
                _outcome.project_id == project_id, _outcome.inference_id.in_(lot), _outcome.withdrawn.is_(False)
            )
            for row in self._database.rows(statement):
                outcome = OUTCOMES.decode(row)
                found[outcome.inference_id] = outcome
        return found

    def list_outcomes(self, project_id: str, query: Query) -> Page[Outcome]:
        """Return one page of outcomes."""
        conditions: list[ColumnElement[bool]] = [_outcome.withdrawn.is_(False)]
        if query.feature is not None:
            conditions.append(_outcome.feature == query.feature)
        if query.version_id is not None:
            conditions.append(_outcome.version_id == query.version_id)
        return paged(self._database, OUTCOMES, project_id, query, *conditions)

    def corrections(self, project_id: str, query: Query) -> Page[Correction]:
        """Return the latest, not retracted corrections that are joined to an inference."""
        said = and_(_feedback.project_id == _opinion.project_id, _feedback.id == _opinion.feedback_id)
        about = and_(_inference.project_id == _opinion.project_id, _inference.id == _opinion.inference_id)
        statement = (
            select(
                _opinion.seq,
                _opinion.project_id,
                _opinion.feedback_id,
                _opinion.inference_id,
                _opinion.source,
                _feedback.created_at,
                _feedback.text,
                _feedback.user_id.label("author_id"),
                _inference.feature,
                _inference.version_id,
                _inference.user_id,
                _inference.input,
                _inference.output,
            )
            .join_from(OPINIONS.table, FEEDBACK.table, said)
            .join(INFERENCES.table, about)
            .where(
                _opinion.project_id == project_id,
                _opinion.kind == "correction",
                _opinion.retracted.is_(False),
                _feedback.text.is_not(None),
                *within(FEEDBACK.table.c.created_at, query.since, query.until),
            )
        )
        if query.feature is not None:
            statement = statement.where(_inference.feature == query.feature)
        if query.version_id is not None:
            statement = statement.where(_inference.version_id == query.version_id)
        rows = self._database.rows(placed(statement, OPINIONS.table.c.seq, query))
        return cut([_correction(row) for row in rows], query)

    def orphans(self, project_id: str, query: Query) -> Page[Feedback]:
        """Return one page of feedback whose target has not arrived."""
        inner = FEEDBACK.table.alias("waiting")
        own = and_(inner.c.project_id == orphans.c.project_id, inner.c.id == orphans.c.feedback_id)
        places = select(inner.c.seq).join_from(orphans, inner, own).where(orphans.c.project_id == project_id)
        conditions: list[ColumnElement[bool]] = [_feedback.seq.in_(places)]
        if query.feature is not None:
            conditions.append(_feedback.feature == query.feature)
        if query.version_id is not None:
            conditions.append(_feedback.seq < 0)  # what has no inference has no version
        return paged(self._database, FEEDBACK, project_id, query, *conditions)

    def _own_ids(self, project_id: str, keys: Sequence[str]) -> dict[Target, str]:
        found: dict[Target, str] = {}
        for lot in chunks(known_ids(keys)):
            statement = select(_inference.id).where(_inference.project_id == project_id, _inference.id.in_(lot))
            for row in self._database.rows(statement):
                text = id_text(row[0])
                found[Target("inference", text)] = text
        return found

    def _named(self, project_id: str, kind: Any, keys: Sequence[str]) -> dict[Target, str]:
        found: dict[Target, str] = {}
        for lot in chunks(keys):
            statement = select(targets.c.key, targets.c.inference_id).where(
                targets.c.project_id == project_id, targets.c.kind == kind, targets.c.key.in_(lot)
            )
            for row in self._database.rows(statement):
                found[Target(kind, row[0])] = id_text(row[1])
        return found


def _keys_by_kind(wanted: Sequence[Target]) -> dict[Any, list[str]]:
    found: dict[Any, dict[str, None]] = {}
    for target in wanted:
        found.setdefault(target.kind, {})[target.key] = None
    return {kind: list(keys) for kind, keys in found.items()}


def _correction(row: Sequence[Any] | Row[Any]) -> Stored[Correction]:
    (seq, project_id, feedback_id, inference_id, source, created_at, text, author_id) = row[:8]
    (feature, version_id, user_id, given, output) = row[8:]
    payload = _PAYLOAD.decode
    record = Correction(
        feedback_id=id_text(feedback_id),
        inference_id=id_text(inference_id),
        feature=feature,
        created_at=from_micros(created_at),
        input=payload(given),
        corrected=text,
        source=source,
        version_id=version_id,
        rejected=None if output is None else payload(output),
        user_id=user_id,
        author_id=author_id,
    )
    return Stored(seq, project_id, record)
