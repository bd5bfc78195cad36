"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text as sql

from trimtab.store.migrations.counting import count_all
from trimtab.store.migrations.listing import list_all
from trimtab.store.migrations.parts import blob, derived, flag, number, real, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _counters()
    _set_aside()
    _purges()
    _topics()
    _datasets()
    _erasure()
    list_all()


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


def _topics() -> None:
    record(
        "topics",
        uuid("id"),
        number("found_at"),
        text("space"),
        text("words"),
        number("size"),
        number("users"),
        number("first_seen_at"),
        number("last_seen_at"),
        text("days"),
        real("p_value"),
        real("p_adjusted"),
        text("feature", optional=True),
        text("name"),
        text("state"),
        flag("emerging"),
        text("examples"),
        key=("project_id", "id"),
    )
    op.create_index("topics_feature", "topics", ["project_id", "feature"])
    record(
        "topic_runs",
        uuid("id"),
        text("state"),
        text("by"),
        number("asked_at"),
        text("feature", optional=True),
        number("started_at", optional=True),
        number("ended_at", optional=True),
        text("surveys"),
        text("error"),
        text("note"),
        key=("project_id", "id"),
    )
    op.create_index("topic_runs_state", "topic_runs", ["state"])
    derived(
        "topic_places",
        text("project_id"),
        text("scope"),
        uuid("topic_id"),
        text("space"),
        blob("centroid"),
        blob("feedback"),
        blob("inferences"),
        key=("project_id", "scope", "topic_id"),
    )


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
