"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from trimtab.store.migrations.parts import derived, number, text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _purges()


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
