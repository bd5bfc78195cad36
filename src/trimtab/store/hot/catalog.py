"""The catalog: projects, keys, features, versions, and what each feature serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, literal_column, select, tuple_

from trimtab.records import ApiKey, AuditItem, Calibration, Feature, Project, Rollout, User, Version
from trimtab.store.hot.database import Database
from trimtab.store.hot.page import Port, after, chunks, paged
from trimtab.store.ports import Page, Query, Stored
from trimtab.store.schema import API_KEYS, AUDITS, CALIBRATIONS, FEATURES, PROJECTS, ROLLOUTS, USERS, VERSIONS, segments

__all__ = ["Catalog"]

_VERSIONS_READ = 4
_ID = VERSIONS.codec.names.index("id")


class Catalog(Port):
    """The verbs of `CatalogStore`; the contract stands there."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._read: dict[str, tuple[tuple[Any, ...], Version]] = {}

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key with that hash, revoked or not."""
        rows = self._database.rows(select(*API_KEYS.fields).where(API_KEYS.table.c.sha256 == sha256))
        return API_KEYS.decode(rows[0]) if rows else None

    def keys(self, project_id: str) -> list[ApiKey]:
        """Return all keys of the project, oldest first."""
        columns = API_KEYS.table.c
        statement = select(*API_KEYS.fields).where(columns.project_id == project_id)
        return [
            API_KEYS.decode(row) for row in self._database.rows(statement.order_by(columns.created_at, columns.seq))
        ]

    def projects(self) -> list[Project]:
        """Return all projects, oldest first."""
        columns = PROJECTS.table.c
        statement = select(*PROJECTS.fields).order_by(columns.created_at, columns.seq)
        return [PROJECTS.decode(row) for row in self._database.rows(statement)]

    def features(self, project_id: str) -> list[Feature]:
        """Return all features, by name."""
        columns = FEATURES.table.c
        statement = select(*FEATURES.fields).where(columns.project_id == project_id).order_by(columns.name)
        return [FEATURES.decode(row) for row in self._database.rows(statement)]

    def version(self, project_id: str, feature: str, version_id: str) -> Version | None:
        """Return one version."""
        columns = VERSIONS.table.c
        statement = select(*VERSIONS.fields).where(
            columns.project_id == project_id, columns.feature == feature, columns.id == version_id
        )
        rows = self._database.rows(statement)
        return self._decoded(tuple(rows[0])) if rows else None

    def _decoded(self, row: tuple[Any, ...]) -> Version:
        """Return a row's version; thousands of exemplars are not made anew while the row says what it said."""
        version_id = row[_ID]
        known = self._read.get(version_id)
        if known is not None and known[0] == row:
            return known[1]
        version = VERSIONS.decode(row)
        lately = list(self._read.items())[1 - _VERSIONS_READ :]
        self._read = {**dict(lately), version_id: (row, version)}
        return version

    def versions(self, project_id: str, feature: str) -> list[Version]:
        """Return all versions of a feature, oldest first."""
        columns = VERSIONS.table.c
        statement = select(*VERSIONS.fields).where(columns.project_id == project_id, columns.feature == feature)
        return [
            VERSIONS.decode(row) for row in self._database.rows(statement.order_by(columns.created_at, columns.seq))
        ]

    def rollout(self, project_id: str, feature: str) -> Rollout | None:
        """Return what the feature serves now."""
        columns = ROLLOUTS.table.c
        statement = select(*ROLLOUTS.fields).where(columns.project_id == project_id, columns.feature == feature)
        rows = self._database.rows(statement.order_by(columns.revision.desc()).limit(1))
        return ROLLOUTS.decode(rows[0]) if rows else None

    def rollouts(self, project_id: str) -> dict[str, Rollout]:
        """Return by feature what each serves now."""
        columns = ROLLOUTS.table.c
        mine = columns.project_id == project_id
        newest = select(columns.feature, func.max(columns.revision)).where(mine).group_by(columns.feature)
        statement = select(*ROLLOUTS.fields).where(mine, tuple_(columns.feature, columns.revision).in_(newest))
        found = [ROLLOUTS.decode(row) for row in self._database.rows(statement)]
        return {rollout.feature: rollout for rollout in found}

    def users(self, project_id: str, user_ids: Sequence[str]) -> dict[str, User]:
        """Return what is known of these users."""
        found: dict[str, User] = {}
        columns = USERS.table.c
        for lot in chunks(list(dict.fromkeys(user_ids))):
            statement = select(*USERS.fields).where(columns.project_id == project_id, columns.id.in_(lot))
            known = [USERS.decode(row) for row in self._database.rows(statement)]
            found.update((user.id, user) for user in known)
        return found

    def segments(self, project_id: str, feature: str) -> dict[str, list[str]]:
        """Return the values that each grouping of the feature's answers has, sorted."""
        statement = (
            select(segments.c["key"], segments.c.value)
            .where(segments.c.project_id == project_id, segments.c.feature == feature)
            .order_by(segments.c["key"], segments.c.value)
        )
        found: dict[str, list[str]] = {}
        for key, value in self._database.rows(statement):
            found.setdefault(key, []).append(value)
        return found

    def calibration(self, project_id: str, feature: str) -> Calibration | None:
        """Return the newest calibration of the feature."""
        columns = CALIBRATIONS.table.c
        statement = select(*CALIBRATIONS.fields).where(columns.project_id == project_id, columns.feature == feature)
        rows = self._database.rows(statement.order_by(columns.created_at.desc(), columns.seq.desc()).limit(1))
        return CALIBRATIONS.decode(rows[0]) if rows else None

    def audits(self, project_id: str, query: Query) -> Page[AuditItem]:
        """Return one page of what was drawn for audits; times are compared with the inference's `created_at`."""
        columns = AUDITS.table.c
        conditions = [columns.feature == query.feature] if query.feature is not None else []
        if query.version_id is not None:
            conditions.append(columns.version_id == query.version_id)
        return paged(self._database, AUDITS, project_id, query, *conditions)

    def rollout_history(self, project_id: str, feature: str) -> list[Rollout]:
        """Return every rollout the feature ever had, oldest first."""
        columns = ROLLOUTS.table.c
        statement = select(*ROLLOUTS.fields).where(columns.project_id == project_id, columns.feature == feature)
        return [ROLLOUTS.decode(row) for row in self._database.rows(statement.order_by(columns.revision))]

    def rollouts_after(self, seq: int, limit: int) -> list[Stored[Rollout]]:
        """Return at most `limit` switches of all projects after `seq`, in order of arrival."""
        return after(self._database, ROLLOUTS, seq, limit)

    def last_rollout(self) -> int:
        """Return the place of the newest switch that `rollouts_after` would return (0 when there never was one)."""
        place = ROLLOUTS.table.c.seq
        newest = select(func.coalesce(func.max(place), literal_column("0"))).where(*self._database.settled(place))
        return int(self._database.rows(newest)[0][0])
