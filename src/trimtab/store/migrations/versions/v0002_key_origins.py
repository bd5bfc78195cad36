"""A public key is bound to the origins of its pages."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give keys the list of their origins, empty for those that are there."""
    op.add_column("api_keys", text("origins", default="[]"))
