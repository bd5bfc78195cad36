"""Conversations: what was said about what, which answers make a session, and what has to be judged again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, select

from trimtab.clock import from_micros, to_micros
from trimtab.records import Feedback, Outcome
from trimtab.store.codec import id_bytes, id_text, known_ids
from trimtab.store.hot.page import Port, chunks
from trimtab.store.ports import Backfill, Session, Target, Turn
from trimtab.store.schema import FEEDBACK, OUTCOMES, aims, backfills, erasing, joins, sessions, turns

__all__ = ["Conversations"]

_NO_ID = bytes(16)
_feedback = FEEDBACK.table.c


class Conversations(Port):
    """The verbs of `JudgementStore` about sessions and joins; the contract stands there."""

    def aimed(self, project_id: str, targets: Sequence[Target]) -> list[tuple[Target, Feedback]]:
        """Return all feedback that was said about one of the targets, joined or not, in order of arrival."""
        found: list[tuple[int, Target, Feedback]] = []
        here = and_(_feedback.project_id == aims.c.project_id, _feedback.id == aims.c.feedback_id)
        for kind in dict.fromkeys(target.kind for target in targets):
            keys = list(dict.fromkeys(target.key for target in targets if target.kind == kind))
            for lot in chunks(keys):
                statement = (
                    select(_feedback.seq, aims.c.target_key, *FEEDBACK.fields)
                    .join_from(aims, FEEDBACK.table, here)
                    .where(aims.c.project_id == project_id, aims.c.target_kind == kind, aims.c.target_key.in_(lot))
                )
                rows = self._database.rows(statement)
                found.extend((row[0], Target(kind, row[1]), FEEDBACK.decode(row[2:])) for row in rows)
        found.sort(key=lambda item: (item[0], item[1]))
        return [(target, feedback) for _, target, feedback in found]

    def joined(self, project_id: str, feedback_ids: Sequence[str]) -> dict[str, str]:
        """Return the inference id of each of these that is joined."""
        found: dict[str, str] = {}
        for lot in chunks(known_ids(feedback_ids)):
            statement = select(joins.c.feedback_id, joins.c.inference_id).where(
                joins.c.project_id == project_id, joins.c.feedback_id.in_(lot)
            )
            found.update((id_text(row[0]), id_text(row[1])) for row in self._database.rows(statement))
        return found

    def joined_to(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[Feedback]]:
        """Return all feedback that is joined to each inference, in order of arrival."""
        found: list[tuple[int, str, Feedback]] = []
        here = and_(_feedback.project_id == joins.c.project_id, _feedback.id == joins.c.feedback_id)
        for lot in chunks(known_ids(inference_ids)):
            statement = (
                select(_feedback.seq, joins.c.inference_id, *FEEDBACK.fields)
                .join_from(joins, FEEDBACK.table, here)
                .where(joins.c.project_id == project_id, joins.c.inference_id.in_(lot))
            )
            rows = self._database.rows(statement)
            found.extend((row[0], id_text(row[1]), FEEDBACK.decode(row[2:])) for row in rows)
        told: dict[str, list[Feedback]] = {}
        for _, inference_id, feedback in sorted(found, key=lambda item: item[0]):
            told.setdefault(inference_id, []).append(feedback)
        return told

    def turns(self, project_id: str, session_ids: Sequence[str], *, limit: int = 1000) -> dict[str, list[Turn]]:
        """Return the newest `limit` answers of each session in the order of (`created_at`, id)."""
        found: dict[str, list[Turn]] = {}
        for lot in chunks(list(dict.fromkeys(session_ids))):
            statement = (
                select(turns.c.session_id, turns.c.created_at, turns.c.inference_id, turns.c.feature)
                .where(turns.c.project_id == project_id, turns.c.session_id.in_(lot))
                .order_by(turns.c.session_id, turns.c.created_at, turns.c.inference_id)
            )
            for session_id, at, inference_id, feature in self._database.rows(statement):
                turn = Turn(session_id, from_micros(at), id_text(inference_id), feature)
                found.setdefault(session_id, []).append(turn)
        return {session_id: taken[-limit:] for session_id, taken in found.items()}

    def sessions(self, project_id: str, session_ids: Sequence[str]) -> dict[str, Session]:
        """Return those of the sessions that are known."""
        found: dict[str, Session] = {}
        columns = (sessions.c.session_id, sessions.c.last_at, sessions.c.closed)
        for lot in chunks(list(dict.fromkeys(session_ids))):
            statement = select(*columns).where(sessions.c.project_id == project_id, sessions.c.session_id.in_(lot))
            for key, at, closed in self._database.rows(statement):
                found[key] = Session(project_id, key, from_micros(at), bool(closed))
        return found

    def quiet_sessions(self, before: datetime, limit: int) -> list[Session]:
        """Return at most `limit` open sessions of all projects where nothing happened since `before`, oldest first."""
        statement = (
            select(sessions.c.project_id, sessions.c.session_id, sessions.c.last_at)
            .where(sessions.c.closed.is_(False), sessions.c.last_at < to_micros(before))
            .order_by(sessions.c.last_at, sessions.c.project_id, sessions.c.session_id)
            .limit(limit)
        )
        rows = self._database.rows(statement)
        return [Session(project_id, key, from_micros(at), closed=False) for project_id, key, at in rows]

    def backfills(self, limit: int) -> list[Backfill]:
        """Return at most `limit` backfills of all projects that are not done, the one asked for first ahead."""
        columns = backfills.c
        statement = (
            select(columns.project_id, columns.scope, columns.key, columns.asked_at, columns["after"])
            .order_by(columns.asked_at, columns.project_id, columns.scope, columns.key)
            .limit(limit)
        )
        return [
            Backfill(project_id, scope, key, from_micros(at), "" if after == _NO_ID else id_text(after))
            for project_id, scope, key, at, after in self._database.rows(statement)
        ]

    def outcomes_in(self, backfill: Backfill, limit: int) -> list[Outcome]:
        """Return at most `limit` outcomes of the backfill's scope after its `after`, by inference id."""
        columns = OUTCOMES.table.c
        if backfill.scope == "erasure":
            return self._spoken_on(backfill, limit)
        whose = columns.user_id if backfill.scope == "user" else columns.feature
        conditions = [columns.project_id == backfill.project_id, whose == backfill.key, columns.withdrawn.is_(False)]
        if backfill.after:
            conditions.append(columns.inference_id > id_bytes(backfill.after))
        statement = select(*OUTCOMES.fields).where(*conditions).order_by(columns.inference_id).limit(limit)
        return [OUTCOMES.decode(row) for row in self._database.rows(statement)]

    def _spoken_on(self, backfill: Backfill, limit: int) -> list[Outcome]:
        """Return outcomes of what an erased person spoke on; those that no outcome is left of are passed over."""
        found: list[Outcome] = []
        reached = backfill.after
        while len(found) < limit:
            ahead = (
                select(erasing.c.key)
                .where(
                    erasing.c.project_id == backfill.project_id,
                    erasing.c.erasure_id == backfill.key,
                    erasing.c.kind == "judge",
                    erasing.c.key > reached,
                )
                .order_by(erasing.c.key)
                .limit(limit - len(found))
            )
            ids = [row[0] for row in self._database.rows(ahead)]
            if not ids:
                break
            reached = ids[-1]
            columns = OUTCOMES.table.c
            for lot in chunks(known_ids(ids)):
                statement = select(*OUTCOMES.fields).where(
                    columns.project_id == backfill.project_id, columns.inference_id.in_(lot)
                )
                found += [OUTCOMES.decode(row) for row in self._database.rows(statement.order_by(columns.inference_id))]
        return found
