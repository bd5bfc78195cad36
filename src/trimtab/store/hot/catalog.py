"""The catalog: projects, keys, features, versions, and what each feature serves."""

from __future__ import annotations

from sqlalchemy import select

from trimtab.records import ApiKey, Feature, Project, Rollout, Version
from trimtab.store.hot.page import Port
from trimtab.store.schema import API_KEYS, FEATURES, PROJECTS, ROLLOUTS, VERSIONS

__all__ = ["Catalog"]


class Catalog(Port):
    """The verbs of `CatalogStore`; the contract stands there."""

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
        return VERSIONS.decode(rows[0]) if rows else None

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

    def rollout_history(self, project_id: str, feature: str) -> list[Rollout]:
        """Return every rollout the feature ever had, oldest first."""
        columns = ROLLOUTS.table.c
        statement = select(*ROLLOUTS.fields).where(columns.project_id == project_id, columns.feature == feature)
        return [ROLLOUTS.decode(row) for row in self._database.rows(statement.order_by(columns.revision))]
