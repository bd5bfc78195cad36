"""Runs the migrations that a database lacks. Imported only when there is one to run: Alembic costs a start 0.1 s."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

__all__ = ["migrations", "upgrade"]

_one_at_a_time = threading.Lock()  # the operations of Alembic belong to the process, not to a connection


def migrations() -> list[Script]:
    """Return all migrations, oldest first; the revision of each is its number in four digits."""
    return list(ScriptDirectory(str(Path(__file__).parent)).walk_revisions())[::-1]


def upgrade(connection: Connection, version: int) -> None:
    """Run every migration above `version` inside the transaction under way; who calls it stamps and commits."""
    with _one_at_a_time, Operations.context(MigrationContext.configure(connection)):
        for migration in migrations():
            if int(migration.revision) > version:
                migration.module.upgrade()
