"""What enriching reads and writes: sessions, aims, users, segments, calibrations, audits, redaction by project."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import derived, flag, number, real, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    op.add_column("inferences", text("profile", optional=True))
    op.add_column("feedback", text("profile", optional=True))
    op.add_column("outcomes", real("log_odds", optional=True))
    op.add_column("outcomes", real("estimate", optional=True))
    op.add_column("outcomes", uuid("calibration_id", optional=True))
    op.add_column("outcomes", text("segments", default="{}"))
    op.create_index("outcomes_user", "outcomes", ["project_id", "user_id"])
    op.create_index("joins_inference", "joins", ["project_id", "inference_id"])
    _records()
    _derived()
    # What waits by a name is found through aims from now on.
    op.execute(
        "INSERT INTO aims (project_id, target_kind, target_key, feedback_id) "
        "SELECT project_id, target_kind, target_key, feedback_id FROM orphans WHERE target_kind <> 'inference'"
    )


def _records() -> None:
    record(
        "users",
        text("id"),
        number("updated_at"),
        text("plan", optional=True),
        text("locale", optional=True),
        text("tenant", optional=True),
        text("properties"),
        key=("project_id", "id"),
    )
    record(
        "calibrations",
        uuid("id"),
        text("feature"),
        number("created_at"),
        real("base"),
        text("weights"),
        number("votes"),
        number("audited"),
        real("auc", optional=True),
        real("ece", optional=True),
        flag("calibrated"),
        text("reason"),
        key=("project_id", "id"),
    )
    op.create_index("calibrations_feature", "calibrations", ["project_id", "feature"])
    record(
        "audits",
        uuid("inference_id"),
        text("feature"),
        number("created_at"),
        number("drawn_at"),
        text("version_id", optional=True),
        key=("project_id", "inference_id"),
    )
    op.create_index("audits_feature", "audits", ["project_id", "feature"])
    record(
        "redactions",
        number("revision"),
        number("updated_at"),
        text("mode"),
        text("disabled"),
        text("allow"),
        text("extra"),
        uuid("updated_by", optional=True),
        key=("project_id", "revision"),
    )


def _derived() -> None:
    derived(
        "aims",
        text("project_id"),
        text("target_kind"),
        text("target_key"),
        uuid("feedback_id"),
        key=("project_id", "target_kind", "target_key", "feedback_id"),
    )
    derived(
        "backfills",
        text("project_id"),
        text("scope"),
        text("key"),
        number("asked_at"),
        uuid("after"),
        key=("project_id", "scope", "key"),
    )
    derived(
        "rescans",
        text("project_id"),
        text("kind"),
        text("rules"),
        number("seq"),
        number("rewritten"),
        key=("project_id", "kind"),
    )
    derived(
        "segments",
        text("project_id"),
        text("feature"),
        text("key"),
        text("value"),
        key=("project_id", "feature", "key", "value"),
    )
    derived(
        "sessions",
        text("project_id"),
        text("session_id"),
        number("last_at"),
        flag("closed"),
        key=("project_id", "session_id"),
    )
    op.create_index("sessions_open", "sessions", ["closed", "last_at"])
    derived(
        "turns",
        text("project_id"),
        text("session_id"),
        number("created_at"),
        uuid("inference_id"),
        text("feature"),
        key=("project_id", "session_id", "created_at", "inference_id"),
    )
