"""What acting takes: more kinds of incidents, knowledge and its way into indexes, deliveries, review items, jobs."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import derived, flag, number, real, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the new tables, and room in the old ones."""
    _holdback()
    op.add_column("versions", text("knowledge", default="[]"))
    op.add_column("runs", text("progress", default="{}"))
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
    op.add_column("audits", real("inclusion", optional=True))
    _deliveries()
    _reviews()
    _batches()
    _jobs()
    _case_answers()
    _work()
    _received()
    _guards()
    _knowledge()


def _guards() -> None:
    """Make room for releases; say when each voter was first heard of and first pleased, as the act stage does now."""
    record("releases", uuid("feedback_id"), number("released_at"), key=("project_id", "feedback_id"))
    for what, which in (("heard", "voter_id IS NOT NULL"), ("pleased", "voter_id IS NOT NULL AND vote < 0.5")):
        op.execute(
            "INSERT INTO votes (consumer_id, user_id, project_id, counted_at) "
            f"SELECT project_id || '/' || feature || '/{what}', voter_id, project_id, MIN(judged_at) "
            f"FROM outcomes WHERE {which} GROUP BY project_id, feature, voter_id"
        )


def _deliveries() -> None:
    """Make the table of what people are told."""
    record(
        "deliveries",
        uuid("id"),
        text("target"),
        text("kind"),
        text("state"),
        number("created_at"),
        number("next_at"),
        text("feature", optional=True),
        text("body"),
        number("attempts"),
        text("error"),
        number("sent_at", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("deliveries_due", "deliveries", ["state", "next_at"])


def _reviews() -> None:
    """Make the tables of what people are asked."""
    record(
        "reviews",
        uuid("id"),
        text("feature"),
        uuid("inference_id"),
        text("source"),
        text("state"),
        text("reason"),
        real("priority"),
        number("opened_at"),
        uuid("incident_id", optional=True),
        uuid("batch_id", optional=True),
        uuid("card_id", optional=True),
        number("seat"),
        flag("referee"),
        text("asked_of", optional=True),
        real("p_wrong", optional=True),
        text("known"),
        real("inclusion", optional=True),
        text("exemplar_id", optional=True),
        uuid("doubt_id", optional=True),
        uuid("instead_id", optional=True),
        flag("confirms", optional=True),
        text("reserved_by", optional=True),
        number("reserved_until", optional=True),
        number("taken_at", optional=True),
        number("closed_at", optional=True),
        text("verdict", optional=True),
        real("minutes", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("reviews_inference", "reviews", ["project_id", "inference_id"])
    op.create_index("reviews_state", "reviews", ["project_id", "state", "feature"])
    op.create_index("reviews_card", "reviews", ["project_id", "card_id"])
    op.create_index("reviews_source", "reviews", ["project_id", "source", "feature"])


def _batches() -> None:
    """Make the tables of how it was chosen, and of who may judge without a key."""
    record(
        "review_batches",
        uuid("id"),
        text("feature"),
        number("created_at"),
        text("by"),
        number("since"),
        number("until"),
        *(number(name) for name in ("budget", "answers", "pool", "themes", "audits")),
        real("inclusion"),
        number("reviews"),
        number("drawn"),
        text("weights"),
        key=("project_id", "id"),
    )
    record(
        "review_themes",
        uuid("id"),
        text("feature"),
        uuid("batch_id"),
        uuid("inference_id"),
        number("created_at"),
        number("size"),
        real("weight"),
        text("words"),
        text("members"),
        key=("project_id", "id"),
    )
    record(
        "review_links",
        uuid("id"),
        uuid("item_id"),
        uuid("inference_id"),
        text("reviewer"),
        text("sha256"),
        number("created_at"),
        number("expires_at"),
        number("revoked_at", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("review_links_sha256", "review_links", ["sha256"])


def _holdback() -> None:
    op.add_column("rollouts", text("holdback_version_id", optional=True))
    op.add_column("rollouts", real("holdback_share", default=0.0))


def _jobs() -> None:
    record(
        "jobs",
        uuid("id"),
        text("feature"),
        text("kind"),
        text("state"),
        number("created_at"),
        text("base_version_id"),
        uuid("incident_id", optional=True),
        uuid("dataset_id", optional=True),
        text("model", optional=True),
        number("attempts"),
        number("started_at", optional=True),
        number("ended_at", optional=True),
        text("error"),
        text("progress"),
        key=("project_id", "id"),
    )


def _case_answers() -> None:
    """Make the table of what versions answered to golden cases."""
    op.add_column("cases", real("likeness", optional=True))
    op.add_column("cases", number("retired_at", optional=True))
    record(
        "case_answers",
        uuid("id"),
        text("feature"),
        uuid("case_id"),
        text("version_id"),
        text("runner"),
        number("sample"),
        number("created_at"),
        text("output"),
        flag("passed", optional=True),
        text("judge", optional=True),
        text("opinion", optional=True),
        text("ruling", optional=True),
        number("ruled_at", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("case_answers_version", "case_answers", ["project_id", "feature", "version_id"])
    op.create_index("case_answers_case", "case_answers", ["project_id", "case_id"])


def _work() -> None:
    """Make the table of what people worked, measured or assumed."""
    record(
        "work_log",
        uuid("id"),
        number("at"),
        text("kind"),
        real("minutes"),
        text("source"),
        text("feature", optional=True),
        uuid("incident_id", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("work_log_time", "work_log", ["project_id", "at"])


def _received() -> None:
    """Make the counts of events that came and were not stored."""
    derived("received", text("result"), text("code"), number("count"), key=("result", "code"))


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
