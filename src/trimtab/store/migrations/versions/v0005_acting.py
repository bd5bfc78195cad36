"""What acting takes: more kinds of incidents, knowledge in versions and on its way into apps' indexes."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import number, record, text, uuid

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
    op.add_column("monitors", text("rule", default="votes"))
    op.add_column("monitors", text("metric", default="vote"))
    op.add_column("monitors", text("segment", default="{}"))
    op.add_column("monitors", text("life", default="{}"))
    record("monitor_rules", text("name"), number("updated_at"), text("spec"), key=("project_id", "name"))
    record(
        "silences",
        uuid("id"),
        text("rule"),
        number("until"),
        number("created_at"),
        text("feature", optional=True),
        text("reason"),
        key=("project_id", "id"),
    )
    _knowledge()


def _knowledge() -> None:
    """Make the table of what is to change in apps' indexes."""
    record(
        "knowledge_patches",
        uuid("id"),
        text("feature"),
        text("kind"),
        text("state"),
        number("created_at"),
        number("next_at"),
        text("entry_id"),
        text("version_id"),
        text("question"),
        text("text"),
        text("source_id", optional=True),
        number("expires_at", optional=True),
        number("attempts"),
        text("error"),
        number("delivered_at", optional=True),
        number("checked_at", optional=True),
        text("chunks"),
        text("retrieved"),
        key=("project_id", "id"),
    )
    op.create_index("knowledge_patches_state", "knowledge_patches", ["project_id", "feature", "state"])
