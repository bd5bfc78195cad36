"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from trimtab.store.migrations.parts import number, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _datasets()


def _datasets() -> None:
    record(
        "datasets",
        uuid("id"),
        text("kind"),
        text("format"),
        text("state"),
        number("created_at"),
        text("request"),
        text("content_id", optional=True),
        text("rows"),
        text("left_out"),
        text("files"),
        text("path"),
        number("finished_at", optional=True),
        number("revised_at", optional=True),
        number("erased"),
        text("error"),
        key=("project_id", "id"),
    )
