"""The tables of the first release."""

from __future__ import annotations

from alembic import op

from trimtab.store.migrations.parts import derived, events, flag, number, number_key, real, record, text, uuid

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    _events()
    _judgements()
    _monitors()
    _changes()
    _runs()
    _rollouts()
    _catalog()
    _counters()
    _references()


def _events() -> None:
    events(
        "inferences",
        number("received_at"),
        text("rules"),
        text("input_hash"),
        uuid("id"),
        text("feature"),
        number("created_at"),
        text("input"),
        text("output", optional=True),
        text("version_id", optional=True),
        text("arm", optional=True),
        text("model", optional=True),
        text("session_id", optional=True),
        text("user_id", optional=True),
        text("external_id", optional=True),
        text("trace_id", optional=True),
        text("span_id", optional=True),
        text("context"),
        text("tags"),
        real("latency_ms", optional=True),
        number("input_tokens", optional=True),
        number("output_tokens", optional=True),
        real("cost_usd", optional=True),
        text("error", optional=True),
    )
    op.create_index("inferences_time", "inferences", ["project_id", "feature", "created_at", "version_id"])
    events(
        "feedback",
        number("received_at"),
        text("rules"),
        uuid("id"),
        text("kind"),
        number("created_at"),
        uuid("inference_id", optional=True),
        text("external_id", optional=True),
        text("trace_id", optional=True),
        text("span_id", optional=True),
        text("session_id", optional=True),
        text("feature", optional=True),
        text("user_id", optional=True),
        text("source"),
        real("value", optional=True),
        real("best", optional=True),
        text("label", optional=True),
        text("text", optional=True),
        flag("retracted"),
    )
    op.create_index("feedback_time", "feedback", ["project_id", "created_at"])


def _judgements() -> None:
    record(
        "opinions",
        uuid("inference_id"),
        uuid("feedback_id"),
        text("kind"),
        text("source"),
        number("created_at"),
        text("user_id", optional=True),
        real("value", optional=True),
        real("best", optional=True),
        flag("retracted"),
        key=("project_id", "inference_id", "kind", "source", "user_id"),
    )
    op.create_index("opinions_kind", "opinions", ["project_id", "kind"])
    record(
        "outcomes",
        uuid("inference_id"),
        text("feature"),
        number("created_at"),
        number("judged_at"),
        real("p_bad"),
        real("confidence"),
        text("tier"),
        text("evidence"),
        text("version_id", optional=True),
        text("arm", optional=True),
        text("user_id", optional=True),
        real("vote", optional=True),
        text("voter_id", optional=True),
        number("voted_at", optional=True),
        flag("calibrated"),
        key=("project_id", "inference_id"),
    )
    op.create_index("outcomes_time", "outcomes", ["project_id", "feature", "created_at"])


def _monitors() -> None:
    record(
        "monitors",
        uuid("id"),
        text("feature"),
        text("version_id"),
        text("reference_kind"),
        number("created_at"),
        real("reference", optional=True),
        number("learned_votes"),
        real("learned_negatives"),
        number("votes"),
        real("negatives"),
        number("alarms"),
        text("detector"),
        text("onsets"),
        number("last_alarm_at", optional=True),
        key=("project_id", "id"),
    )
    record(
        "incidents",
        uuid("id"),
        text("feature"),
        text("version_id"),
        uuid("monitor_id"),
        text("state"),
        number("onset_at"),
        number("first_signal_at"),
        number("detected_at"),
        real("reference"),
        real("observed"),
        number("events"),
        number("negatives"),
        number("users"),
        real("log_evidence"),
        real("log_threshold"),
        number("resolved_at", optional=True),
        text("resolution", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("incidents_feature", "incidents", ["project_id", "feature"])


def _changes() -> None:
    record(
        "changes",
        uuid("id"),
        text("feature"),
        text("kind"),
        text("state"),
        number("created_at"),
        text("base_version_id"),
        uuid("run_id", optional=True),
        uuid("incident_id", optional=True),
        text("candidate_version_id", optional=True),
        text("gate", optional=True),
        text("reason"),
        number("gated_at", optional=True),
        number("exposed_at", optional=True),
        number("step_at", optional=True),
        number("promoted_at", optional=True),
        number("rolled_back_at", optional=True),
        number("verified_at", optional=True),
        text("canary"),
        text("verification"),
        key=("project_id", "id"),
    )
    op.create_index("changes_feature", "changes", ["project_id", "feature"])


def _runs() -> None:
    record(
        "runs",
        uuid("id"),
        text("playbook"),
        text("feature"),
        text("state"),
        number("started_at"),
        uuid("incident_id", optional=True),
        uuid("change_id", optional=True),
        number("ended_at", optional=True),
        text("error"),
        key=("project_id", "id"),
    )
    record(
        "run_steps",
        uuid("run_id"),
        text("name"),
        number("started_at"),
        number("ended_at"),
        text("detail"),
        key=("project_id", "run_id", "name"),
    )


def _rollouts() -> None:
    record(
        "rollouts",
        text("feature"),
        text("stable_version_id"),
        number("updated_at"),
        uuid("id"),
        number("revision"),
        text("candidate_version_id", optional=True),
        real("share"),
        uuid("change_id", optional=True),
        key=("project_id", "feature", "revision"),
    )
    record(
        "versions",
        text("feature"),
        number("created_at"),
        text("messages"),
        text("model", optional=True),
        text("parameters"),
        text("rules"),
        text("exemplars"),
        text("parent_id", optional=True),
        uuid("incident_id", optional=True),
        uuid("change_id", optional=True),
        text("note"),
        text("id"),
        key=("project_id", "feature", "id"),
    )


def _catalog() -> None:
    record(
        "cases",
        uuid("id"),
        text("feature"),
        number("created_at"),
        text("input"),
        text("expected"),
        text("check"),
        text("severity"),
        uuid("incident_id", optional=True),
        uuid("feedback_id", optional=True),
        key=("project_id", "id"),
    )
    record(
        "features",
        text("name"),
        number("created_at"),
        text("description"),
        key=("project_id", "name"),
    )
    record(
        "api_keys",
        uuid("id"),
        text("kind"),
        text("label"),
        text("hint"),
        text("sha256"),
        number("created_at"),
        number("revoked_at", optional=True),
        key=("project_id", "id"),
    )
    op.create_index("api_keys_sha256", "api_keys", ["sha256"])
    record(
        "projects",
        text("id"),
        number("created_at"),
        key=("project_id", "id"),
    )


def _counters() -> None:
    derived(
        "cursors",
        text("stage"),
        number("seq"),
        key=("stage",),
    )
    derived(
        "exposures",
        text("project_id"),
        text("feature"),
        number("minute"),
        text("version_id"),
        text("arm"),
        number("inferences"),
        key=("project_id", "feature", "minute", "version_id", "arm"),
    )


def _references() -> None:
    derived(
        "joins",
        text("project_id"),
        uuid("feedback_id"),
        uuid("inference_id"),
        key=("project_id", "feedback_id"),
    )
    derived(
        "orphans",
        text("project_id"),
        text("target_kind"),
        text("target_key"),
        uuid("feedback_id"),
        key=("project_id", "target_kind", "target_key", "feedback_id"),
    )
    op.create_index("orphans_feedback", "orphans", ["project_id", "feedback_id"])
    derived(
        "probe",
        number_key("id"),
        number("checks"),
        key=("id",),
    )
    derived(
        "targets",
        text("project_id"),
        text("kind"),
        text("key"),
        uuid("inference_id"),
        number("created_at"),
        key=("project_id", "kind", "key"),
    )
    derived(
        "votes",
        text("consumer_id"),
        text("user_id"),
        text("project_id"),
        number("counted_at"),
        key=("consumer_id", "user_id"),
    )
