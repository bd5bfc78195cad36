"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text as sql

from trimtab.store.migrations.counting import count_all
from trimtab.store.migrations.parts import derived, flag, number, real, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _counters()
    _purges()
    _erasure()


def _counters() -> None:
    op.add_column("outcomes", flag("withdrawn", default=False))
    voted = sql("voter_id IS NOT NULL")
    op.create_index(
        "outcomes_voter",
        "outcomes",
        ["project_id", "feature", "created_at", "version_id", "voter_id"],
        sqlite_where=voted,
        postgresql_where=voted,
    )
    derived(
        "counters",
        text("project_id"),
        text("group_key"),
        number("width"),
        number("start"),
        text("metric"),
        text("feature"),
        text("version_id"),
        text("group_value"),
        number("count"),
        real("total"),
        key=("project_id", "group_key", "width", "start", "metric", "feature", "version_id", "group_value"),
    )
    count_all()


def _purges() -> None:
    derived(
        "purges",
        text("kind"),
        number("purged"),
        number("until"),
        number("safe"),
        number("noted"),
        number("noted_at"),
        key=("kind",),
    )


def _erasure() -> None:
    record(
        "erasures",
        uuid("id"),
        text("person"),
        number("asked_at"),
        text("state"),
        text("removed"),
        text("finished"),
        text("notes"),
        text("problem"),
        number("finished_at", optional=True),
        key=("project_id", "id"),
    )
    derived("tombstones", text("project_id"), text("hash"), text("kind"), key=("project_id", "hash", "kind"))
    derived(
        "erasing",
        text("project_id"),
        text("erasure_id"),
        text("kind"),
        text("key"),
        key=("project_id", "erasure_id", "kind", "key"),
    )
