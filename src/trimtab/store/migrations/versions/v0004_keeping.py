"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from trimtab.store.migrations.parts import derived, flag, number, text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _set_aside()


def _set_aside() -> None:
    derived(
        "set_aside",
        text("project_id"),
        text("stage"),
        text("kind"),
        text("record_id"),
        text("error"),
        number("at"),
        flag("again"),
        key=("project_id", "stage", "kind", "record_id"),
    )
