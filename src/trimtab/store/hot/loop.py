"""The loop's own state: monitors, incidents, changes, runs, cases, cursors, and the commit that writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, exists, select, tuple_

from trimtab.clock import from_micros, to_micros
from trimtab.records import Case, Change, ChangeState, Incident, Monitor, MonitorRule, Run, Silence
from trimtab.store.hot.database import Database
from trimtab.store.hot.page import Port, by_id, chunks, one_id, paged
from trimtab.store.hot.writes import Committer
from trimtab.store.ports import Page, Query, Writes
from trimtab.store.schema import (
    CASES,
    CHANGES,
    INCIDENTS,
    MONITOR_RULES,
    MONITORS,
    RELEASES,
    RUN_STEPS,
    RUNS,
    SILENCES,
    cursors,
    votes,
)

__all__ = ["Loop"]


class Loop(Port):
    """The verbs of `LoopStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._committer = Committer(database)
        self.on_switched: Callable[[], None] | None = None

    def commit(self, writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        """Write all or nothing, durably."""
        self._committer.commit(writes, cursors or {})
        if self.on_switched is not None and any(each.switches for each in writes.values()):
            self.on_switched()

    def cursor(self, stage: str) -> int:
        """Return where the stage stands (0 at first)."""
        rows = self._database.rows(select(cursors.c.seq).where(cursors.c.stage == stage))
        return int(rows[0][0]) if rows else 0

    def votes(self, consumer_id: str, user_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each of these users was last counted by this consumer."""
        found: dict[str, datetime] = {}
        for lot in chunks(list(dict.fromkeys(user_ids))):
            statement = select(votes.c.user_id, votes.c.counted_at).where(
                votes.c.consumer_id == consumer_id, votes.c.user_id.in_(lot)
            )
            found.update((row[0], from_micros(row[1])) for row in self._database.rows(statement))
        return found

    def votes_of(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return when each user was last counted by each consumer, for pairs of (consumer, user)."""
        found: dict[tuple[str, str], datetime] = {}
        for lot in chunks(list(dict.fromkeys(pairs))):
            statement = select(votes.c.consumer_id, votes.c.user_id, votes.c.counted_at).where(
                tuple_(votes.c.consumer_id, votes.c.user_id).in_(lot)
            )
            found.update(((row[0], row[1]), from_micros(row[2])) for row in self._database.rows(statement))
        return found

    def monitors(self, project_id: str, feature: str | None, rule: str = "votes") -> list[Monitor]:
        """Return the monitors of a rule, of one feature or of all, oldest first."""
        columns = MONITORS.table.c
        statement = select(*MONITORS.fields).where(columns.project_id == project_id, columns.rule == rule)
        if feature is not None:
            statement = statement.where(columns.feature == feature)
        return [
            MONITORS.decode(row) for row in self._database.rows(statement.order_by(columns.created_at, columns.seq))
        ]

    def rules(self, project_id: str) -> list[MonitorRule]:
        """Return the watches declared through the API, by name."""
        columns = MONITOR_RULES.table.c
        statement = select(*MONITOR_RULES.fields).where(columns.project_id == project_id).order_by(columns.name)
        return [MONITOR_RULES.decode(row) for row in self._database.rows(statement)]

    def silences(self, project_id: str, now: datetime) -> list[Silence]:
        """Return the silences that last beyond `now`, oldest first."""
        columns = SILENCES.table.c
        statement = select(*SILENCES.fields).where(columns.project_id == project_id, columns.until > to_micros(now))
        return [
            SILENCES.decode(row) for row in self._database.rows(statement.order_by(columns.created_at, columns.seq))
        ]

    def released(self, project_id: str) -> set[str]:
        """Return the ids of the corrections that were set aside and that a person released."""
        statement = select(*RELEASES.fields).where(RELEASES.table.c.project_id == project_id)
        return {RELEASES.decode(row).feedback_id for row in self._database.rows(statement)}

    def incident(self, project_id: str, incident_id: str) -> Incident | None:
        """Return one incident."""
        return by_id(self._database, INCIDENTS, project_id, incident_id)

    def incidents(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[Incident]:
        """Return one page of incidents, of these states if any are given."""
        columns = INCIDENTS.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        if query.version_id is not None:
            conditions.append(columns.version_id == query.version_id)
        return paged(self._database, INCIDENTS, project_id, query, *conditions, time=columns.detected_at)

    def change(self, project_id: str, change_id: str) -> Change | None:
        """Return one change."""
        return by_id(self._database, CHANGES, project_id, change_id)

    def changes(self, project_id: str, query: Query, states: Sequence[ChangeState] = ()) -> Page[Change]:
        """Return one page of changes, of these states if any are given."""
        columns = CHANGES.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        if query.version_id is not None:
            conditions.append(columns.candidate_version_id == query.version_id)
        return paged(self._database, CHANGES, project_id, query, *conditions)

    def cases(self, project_id: str, feature: str, *, retired: bool = False) -> list[Case]:
        """Return the feature's golden cases, oldest first."""
        columns = CASES.table.c
        statement = select(*CASES.fields).where(columns.project_id == project_id, columns.feature == feature)
        if not retired:
            statement = statement.where(columns.retired_at.is_(None))
        return [CASES.decode(row) for row in self._database.rows(statement.order_by(columns.created_at, columns.seq))]

    def run(self, project_id: str, run_id: str) -> Run | None:
        """Return one run with its steps in order of their start."""
        run = by_id(self._database, RUNS, project_id, run_id)
        if run is None:
            return None
        columns = RUN_STEPS.table.c
        statement = select(*RUN_STEPS.fields).where(columns.project_id == project_id, columns.run_id == one_id(run_id))
        rows = self._database.rows(statement.order_by(columns.started_at, columns.seq))
        return msgspec.structs.replace(run, steps=[RUN_STEPS.decode(row) for row in rows])

    def runs(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[Run]:
        """Return one page of runs without their steps, of these states if any; times count from `started_at`."""
        columns, change = RUNS.table.c, CHANGES.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        if query.version_id is not None:
            made = change.candidate_version_id == query.version_id
            conditions.append(
                exists().where(change.project_id == columns.project_id, change.id == columns.change_id, made)
            )
        return paged(self._database, RUNS, project_id, query, *conditions, time=columns.started_at)
