"""What acting takes: more kinds of incidents, knowledge in versions."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    op.add_column("versions", text("knowledge", default="[]"))
    op.add_column("incidents", text("kind", default="rate"))
    op.add_column("incidents", text("metric", default="vote"))
    op.add_column("incidents", text("rule", default="votes"))
    op.add_column("incidents", text("segment", default="{}"))
    op.add_column("incidents", text("held", default=""))
    op.add_column("incidents", text("detail", default="{}"))
