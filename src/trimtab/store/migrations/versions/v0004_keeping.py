"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text as sql

from trimtab.store.migrations.counting import count_all
from trimtab.store.migrations.parts import derived, flag, number, real, text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _counters()


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
