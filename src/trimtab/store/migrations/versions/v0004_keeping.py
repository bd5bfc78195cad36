"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from trimtab.store.migrations.parts import derived, number, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _erasure()


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
