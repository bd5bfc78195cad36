"""What keeping takes: counters, taken-back outcomes, erasures, datasets, topics."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text as sql

from trimtab.store.migrations.parts import derived, flag, number, real, text

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _counters()
    _listed()


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


def _listed() -> None:
    for column in (
        text("feature", optional=True),
        text("version_id", optional=True),
        number("created_at", optional=True),
        number("place", optional=True),
        text("kind", optional=True),
        flag("negative", default=False),
        flag("readable", default=False),
    ):
        op.add_column("joins", column)
    said = "feedback.project_id = joins.project_id AND feedback.id = joins.feedback_id"
    about = "inferences.project_id = joins.project_id AND inferences.id = joins.inference_id"
    bad = (
        "NOT retracted AND (kind IN ('reject', 'correction') OR kind IN ('thumb', 'outcome') AND value < 0.5 "
        "OR kind = 'rating' AND 2 * value < best + 1)"
    )
    words = "kind <> 'edit' AND coalesce(text, '') <> '' OR coalesce(label, '') <> ''"
    shown = f"NOT retracted AND source <> 'judge' AND ({bad} OR {words})"
    op.execute(f"UPDATE joins SET (feature, version_id) = (SELECT feature, version_id FROM inferences WHERE {about})")
    op.execute(
        "UPDATE joins SET (created_at, place, kind, negative, readable) = (SELECT created_at, seq, kind, "
        f"coalesce({bad}, false), coalesce({shown}, false) FROM feedback WHERE {said}) "
        f"WHERE EXISTS (SELECT 1 FROM feedback WHERE {said})"
    )
    shown_only = sql("readable IS 1" if op.get_context().dialect.name == "sqlite" else "readable IS true")
    named = sql("feature IS NOT NULL")
    op.create_index(
        "feedback_feature",
        "feedback",
        ["project_id", "feature", "created_at"],
        sqlite_where=named,
        postgresql_where=named,
    )
    listed = ["created_at", "place"]
    for name, owner in (("feature", ["feature"]), ("version", ["feature", "version_id"])):
        op.create_index(f"joins_{name}", "joins", ["project_id", *owner, *listed])
        op.create_index(
            f"inbox_{name}",
            "joins",
            ["project_id", *owner, *listed, "kind", "negative"],
            sqlite_where=shown_only,
            postgresql_where=shown_only,
        )
