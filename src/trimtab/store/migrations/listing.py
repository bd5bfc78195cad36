"""Version 4: joins say what lists look for, filled from both rows; indexes by time for what is looked for."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text as sql

from trimtab.store.migrations.parts import flag, number, text

__all__ = ["fill", "list_all"]

_SAID = "feedback.project_id = joins.project_id AND feedback.id = joins.feedback_id"
_ABOUT = "inferences.project_id = joins.project_id AND inferences.id = joins.inference_id"
_BAD = (
    "NOT retracted AND (kind IN ('reject', 'correction') OR kind IN ('thumb', 'outcome') AND value < 0.5 "
    "OR kind = 'rating' AND 2 * value < best + 1)"
)
_WORDS = "kind <> 'edit' AND coalesce(text, '') <> '' OR coalesce(label, '') <> ''"
_SHOWN = f"NOT retracted AND source <> 'judge' AND ({_BAD} OR {_WORDS})"


def list_all() -> None:
    """Make the columns and indexes, and fill them for what is joined already."""
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
    fill()
    named = sql("feature IS NOT NULL")
    readable = sql("readable IS 1" if op.get_context().dialect.name == "sqlite" else "readable IS true")
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
            sqlite_where=readable,
            postgresql_where=readable,
        )


def fill() -> None:
    """Copy into every join what lists look for, as a commit does from now on."""
    op.execute(f"UPDATE joins SET (feature, version_id) = (SELECT feature, version_id FROM inferences WHERE {_ABOUT})")
    op.execute(
        "UPDATE joins SET (created_at, place, kind, negative, readable) = (SELECT created_at, seq, kind, "
        f"coalesce({_BAD}, false), coalesce({_SHOWN}, false) FROM feedback WHERE {_SAID}) "
        f"WHERE EXISTS (SELECT 1 FROM feedback WHERE {_SAID})"
    )
