"""The tables of the hot store, generated from the records: one declaration for every SQL backend.

A record's table has its fields as columns, behind `seq` (order of arrival) and `project_id`. Small tables beside them
hold what stages derive: which feedback belongs to which inference, what waits, who voted, where a cursor stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    literal_column,
)

from trimtab.records import (
    ApiKey,
    AuditItem,
    Calibration,
    Case,
    CaseAnswer,
    Change,
    Dataset,
    Delivery,
    Erasure,
    Feature,
    Feedback,
    Incident,
    Inference,
    Job,
    KnowledgePatch,
    Monitor,
    MonitorRule,
    Opinion,
    Outcome,
    Project,
    RedactionSettings,
    Release,
    ReviewBatch,
    ReviewItem,
    ReviewLink,
    ReviewTheme,
    Rollout,
    Run,
    RunStep,
    Silence,
    Topic,
    TopicRun,
    User,
    Version,
    WorkLog,
)
from trimtab.store.codec import Codec, Kind
from trimtab.store.ports import Stored

__all__ = [
    "API_KEYS",
    "AUDITS",
    "CALIBRATIONS",
    "CASES",
    "CASE_ANSWERS",
    "CHANGES",
    "DATASETS",
    "DELIVERIES",
    "ERASURES",
    "FEATURES",
    "FEEDBACK",
    "INCIDENTS",
    "INFERENCES",
    "JOBS",
    "MONITORS",
    "MONITOR_RULES",
    "NOUNS",
    "OPINIONS",
    "OUTCOMES",
    "PATCHES",
    "PROJECTS",
    "REDACTIONS",
    "RELEASES",
    "REVIEWS",
    "REVIEW_BATCHES",
    "REVIEW_LINKS",
    "REVIEW_THEMES",
    "ROLLOUTS",
    "RUNS",
    "RUN_STEPS",
    "SCHEMA_VERSION",
    "SILENCES",
    "TOPICS",
    "TOPIC_RUNS",
    "USERS",
    "VERSIONS",
    "WORK_LOG",
    "Noun",
    "aims",
    "backfills",
    "counters",
    "cursors",
    "erasing",
    "exposures",
    "joins",
    "metadata",
    "orphans",
    "probe",
    "purges",
    "received",
    "rescans",
    "segments",
    "sessions",
    "set_aside",
    "targets",
    "tombstones",
    "topic_places",
    "turns",
    "votes",
]

T = TypeVar("T", bound=Struct)

SCHEMA_VERSION = 5
"""The number of the newest migration in `trimtab.store.migrations`; a database carries the number of its own."""

metadata = MetaData()

_SEQ = BigInteger().with_variant(Integer(), "sqlite")
_TYPES: dict[Kind, Any] = {
    Kind.UUID: LargeBinary(16),
    Kind.TIME: BigInteger(),
    Kind.TEXT: Text(),
    Kind.REAL: Float(),
    Kind.WHOLE: BigInteger(),
    Kind.FLAG: Boolean(),
    Kind.JSON: Text(),
}


class Noun(Generic[T]):
    """A record and its table.

    `key` makes a row unique, `extra` are columns that the store adds, `without` names fields that it keeps elsewhere.
    """

    def __init__(
        self,
        name: str,
        record: type[T],
        *,
        key: Sequence[str],
        extra: Sequence[Column[Any]] = (),
        without: Sequence[str] = (),
    ) -> None:
        self.record = record
        self.codec = Codec(record, without=without)
        self.extra = tuple(column.name for column in extra)
        self.without = tuple(without)
        fields = [
            Column(field, _TYPES[kind], nullable=field in self.codec.optional)
            for field, kind in self.codec.kinds.items()
            if field != "project_id"
        ]
        self.table = Table(
            name,
            metadata,
            Column("seq", _SEQ, primary_key=True, autoincrement=True),
            Column("project_id", Text(), nullable=False),
            *extra,
            *fields,
            sqlite_autoincrement=True,
        )
        self.key: list[ColumnElement[Any]] = [self._keyed(self.table.c[part]) for part in key]
        Index(f"{name}_key", *self.key, unique=True)
        self.fields: list[Column[Any]] = [self.table.c[field] for field in self.codec.names]
        self.columns: list[ColumnElement[Any]] = [self.table.c.seq, self.table.c.project_id, *self.fields]
        self.inserted = tuple(column.name for column in self.table.c if column.name != "seq")
        self._own_project = self.codec.names.index("project_id") if "project_id" in self.codec.names else None

    @staticmethod
    def _keyed(column: Column[Any]) -> ColumnElement[Any]:
        # Two nulls are never equal in a unique index; in a key, "nobody" is one value like any other.
        return func.coalesce(column, literal_column("''")) if column.nullable else column

    def row(self, project_id: str, record: T, *extra: object) -> list[Any]:
        """Return the values of the columns `inserted` for `record`, with the `extra` columns' values in their order."""
        values = self.codec.encode(record)
        if self._own_project is not None and (owner := values.pop(self._own_project)) != project_id:
            raise ValueError(f"expected a record of project {project_id!r}, got one of {owner!r}")
        return [project_id, *extra, *values]

    def stored(self, row: Sequence[Any]) -> Stored[T]:
        """Return the record of a row that holds `columns`, with its place."""
        return Stored(row[0], row[1], self.codec.decode(row[2:]))

    def decode(self, row: Sequence[Any]) -> T:
        """Return the record of a row that holds `fields`."""
        return self.codec.decode(row)


def _received() -> list[Column[Any]]:
    return [Column("received_at", BigInteger(), nullable=False), Column("rules", Text(), nullable=False)]


INFERENCES = Noun(
    "inferences",
    Inference,
    key=("project_id", "id"),
    extra=[*_received(), Column("input_hash", Text(), nullable=False)],
)
FEEDBACK = Noun("feedback", Feedback, key=("project_id", "id"), extra=_received())
OPINIONS = Noun("opinions", Opinion, key=("project_id", "inference_id", "kind", "source", "user_id"))
OUTCOMES = Noun("outcomes", Outcome, key=("project_id", "inference_id"))
MONITORS = Noun("monitors", Monitor, key=("project_id", "id"))
MONITOR_RULES = Noun("monitor_rules", MonitorRule, key=("project_id", "name"))
SILENCES = Noun("silences", Silence, key=("project_id", "id"))
RELEASES = Noun("releases", Release, key=("project_id", "feedback_id"))
INCIDENTS = Noun("incidents", Incident, key=("project_id", "id"))
CHANGES = Noun("changes", Change, key=("project_id", "id"))
RUNS = Noun("runs", Run, key=("project_id", "id"), without=("steps",))
RUN_STEPS = Noun(
    "run_steps",
    RunStep,
    key=("project_id", "run_id", "name"),
    extra=[Column("run_id", LargeBinary(16), nullable=False)],
)
ROLLOUTS = Noun("rollouts", Rollout, key=("project_id", "feature", "revision"))
VERSIONS = Noun("versions", Version, key=("project_id", "feature", "id"))
CASES = Noun("cases", Case, key=("project_id", "id"))
CASE_ANSWERS = Noun("case_answers", CaseAnswer, key=("project_id", "id"))
FEATURES = Noun("features", Feature, key=("project_id", "name"))
API_KEYS = Noun("api_keys", ApiKey, key=("project_id", "id"))
PROJECTS = Noun("projects", Project, key=("project_id", "id"))
USERS = Noun("users", User, key=("project_id", "id"))
CALIBRATIONS = Noun("calibrations", Calibration, key=("project_id", "id"))
REDACTIONS = Noun("redactions", RedactionSettings, key=("project_id", "revision"))
DATASETS = Noun("datasets", Dataset, key=("project_id", "id"))
PATCHES = Noun("knowledge_patches", KnowledgePatch, key=("project_id", "id"))
DELIVERIES = Noun("deliveries", Delivery, key=("project_id", "id"))
REVIEWS = Noun("reviews", ReviewItem, key=("project_id", "id"))
REVIEW_BATCHES = Noun("review_batches", ReviewBatch, key=("project_id", "id"))
REVIEW_THEMES = Noun("review_themes", ReviewTheme, key=("project_id", "id"))
REVIEW_LINKS = Noun("review_links", ReviewLink, key=("project_id", "id"))
WORK_LOG = Noun("work_log", WorkLog, key=("project_id", "id"))
JOBS = Noun("jobs", Job, key=("project_id", "id"))
AUDITS = Noun("audits", AuditItem, key=("project_id", "inference_id"))
TOPICS = Noun("topics", Topic, key=("project_id", "id"))
TOPIC_RUNS = Noun("topic_runs", TopicRun, key=("project_id", "id"))
ERASURES = Noun("erasures", Erasure, key=("project_id", "id"))
NOUNS: tuple[Noun[Any], ...] = (
    INFERENCES,
    FEEDBACK,
    OPINIONS,
    OUTCOMES,
    MONITORS,
    MONITOR_RULES,
    SILENCES,
    RELEASES,
    INCIDENTS,
    CHANGES,
    RUNS,
    RUN_STEPS,
    ROLLOUTS,
    VERSIONS,
    CASES,
    CASE_ANSWERS,
    FEATURES,
    API_KEYS,
    PROJECTS,
    USERS,
    CALIBRATIONS,
    REDACTIONS,
    AUDITS,
    TOPICS,
    TOPIC_RUNS,
    DATASETS,
    ERASURES,
    PATCHES,
    DELIVERIES,
    REVIEWS,
    REVIEW_BATCHES,
    REVIEW_THEMES,
    REVIEW_LINKS,
    JOBS,
    WORK_LOG,
)

# Rows of the two event tables come in at full speed: beside the key only time is indexed there, in rising order.
Index(
    "inferences_time",
    *(INFERENCES.table.c[name] for name in ("project_id", "feature", "created_at", "version_id")),
)
Index("feedback_time", FEEDBACK.table.c.project_id, FEEDBACK.table.c.created_at)
Index(
    "feedback_feature",  # most feedback names its answer and leaves the feature to it
    *(FEEDBACK.table.c[name] for name in ("project_id", "feature", "created_at")),
    sqlite_where=FEEDBACK.table.c.feature.is_not(None),
    postgresql_where=FEEDBACK.table.c.feature.is_not(None),
)
Index("outcomes_time", *(OUTCOMES.table.c[name] for name in ("project_id", "feature", "created_at")))
Index(
    "outcomes_voter",
    *(OUTCOMES.table.c[name] for name in ("project_id", "feature", "created_at", "version_id", "voter_id")),
    sqlite_where=OUTCOMES.table.c.voter_id.is_not(None),
    postgresql_where=OUTCOMES.table.c.voter_id.is_not(None),
)
Index("outcomes_user", OUTCOMES.table.c.project_id, OUTCOMES.table.c.user_id)
Index("calibrations_feature", CALIBRATIONS.table.c.project_id, CALIBRATIONS.table.c.feature)
Index("audits_feature", AUDITS.table.c.project_id, AUDITS.table.c.feature)
Index("opinions_kind", OPINIONS.table.c.project_id, OPINIONS.table.c.kind)
Index("incidents_feature", INCIDENTS.table.c.project_id, INCIDENTS.table.c.feature)
Index("changes_feature", CHANGES.table.c.project_id, CHANGES.table.c.feature)
Index("topics_feature", TOPICS.table.c.project_id, TOPICS.table.c.feature)
Index("topic_runs_state", TOPIC_RUNS.table.c.state)
Index("knowledge_patches_state", *(PATCHES.table.c[name] for name in ("project_id", "feature", "state")))
Index("deliveries_due", DELIVERIES.table.c.state, DELIVERIES.table.c.next_at)
Index("reviews_inference", REVIEWS.table.c.project_id, REVIEWS.table.c.inference_id)
Index("reviews_state", *(REVIEWS.table.c[name] for name in ("project_id", "state", "feature")))
Index("case_answers_version", *(CASE_ANSWERS.table.c[name] for name in ("project_id", "feature", "version_id")))
Index("case_answers_case", CASE_ANSWERS.table.c.project_id, CASE_ANSWERS.table.c.case_id)
Index("reviews_card", REVIEWS.table.c.project_id, REVIEWS.table.c.card_id)
Index("reviews_source", *(REVIEWS.table.c[name] for name in ("project_id", "source", "feature")))
Index("review_links_sha256", REVIEW_LINKS.table.c.sha256)
Index("work_log_time", WORK_LOG.table.c.project_id, WORK_LOG.table.c.at)
Index("api_keys_sha256", API_KEYS.table.c.sha256)


def _derived(name: str, *columns: Column[Any]) -> Table:
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


def _part(name: str, kind: Any = None) -> Column[Any]:
    return Column(name, kind or Text(), primary_key=True, autoincrement=False)


joins = _derived(
    "joins",
    _part("project_id"),
    _part("feedback_id", LargeBinary(16)),
    Column("inference_id", LargeBinary(16), nullable=False),
    # What lists look for, copied from both rows when they are joined: no list then reads what it does not show.
    Column("feature", Text()),
    Column("version_id", Text()),
    Column("created_at", BigInteger()),
    Column("place", BigInteger()),
    Column("kind", Text()),
    Column("negative", Boolean(), nullable=False),
    Column("readable", Boolean(), nullable=False),
)
Index("joins_inference", joins.c.project_id, joins.c.inference_id)
_LISTED = (joins.c.created_at, joins.c.place)
_SHOWN: Any = {"sqlite_where": joins.c.readable.is_(True), "postgresql_where": joins.c.readable.is_(True)}
Index("joins_feature", joins.c.project_id, joins.c.feature, *_LISTED)
Index("joins_version", joins.c.project_id, joins.c.feature, joins.c.version_id, *_LISTED)
Index("inbox_feature", joins.c.project_id, joins.c.feature, *_LISTED, joins.c.kind, joins.c.negative, **_SHOWN)
Index(
    "inbox_version",
    *(joins.c[name] for name in ("project_id", "feature", "version_id", "created_at", "place", "kind", "negative")),
    **_SHOWN,
)
aims = _derived(
    "aims",
    _part("project_id"),
    _part("target_kind"),
    _part("target_key"),
    _part("feedback_id", LargeBinary(16)),
)
turns = _derived(
    "turns",
    _part("project_id"),
    _part("session_id"),
    _part("created_at", BigInteger()),
    _part("inference_id", LargeBinary(16)),
    Column("feature", Text(), nullable=False),
)
sessions = _derived(
    "sessions",
    _part("project_id"),
    _part("session_id"),
    Column("last_at", BigInteger(), nullable=False),
    Column("closed", Boolean(), nullable=False),
)
Index("sessions_open", sessions.c.closed, sessions.c.last_at)
segments = _derived("segments", _part("project_id"), _part("feature"), _part("key"), _part("value"))
backfills = _derived(
    "backfills",
    _part("project_id"),
    _part("scope"),
    _part("key"),
    Column("asked_at", BigInteger(), nullable=False),
    Column("after", LargeBinary(16), nullable=False),
)
rescans = _derived(
    "rescans",
    _part("project_id"),
    _part("kind"),
    Column("rules", Text(), nullable=False),
    Column("seq", BigInteger(), nullable=False),
    Column("rewritten", BigInteger(), nullable=False),
)
set_aside = _derived(
    "set_aside",
    _part("project_id"),
    _part("stage"),
    _part("kind"),
    _part("record_id"),
    Column("error", Text(), nullable=False),
    Column("at", BigInteger(), nullable=False),
    Column("again", Boolean(), nullable=False),
)
orphans = _derived(
    "orphans",
    _part("project_id"),
    _part("target_kind"),
    _part("target_key"),
    _part("feedback_id", LargeBinary(16)),
)
Index("orphans_feedback", orphans.c.project_id, orphans.c.feedback_id)
targets = _derived(
    "targets",
    _part("project_id"),
    _part("kind"),
    _part("key"),
    Column("inference_id", LargeBinary(16), nullable=False),
    Column("created_at", BigInteger(), nullable=False),
)
votes = _derived(
    "votes",
    _part("consumer_id"),
    _part("user_id"),
    Column("project_id", Text(), nullable=False),
    Column("counted_at", BigInteger(), nullable=False),
)
exposures = _derived(
    "exposures",
    _part("project_id"),
    _part("feature"),
    _part("minute", BigInteger()),
    _part("version_id"),
    _part("arm"),
    Column("inferences", BigInteger(), nullable=False),
)
tombstones = _derived("tombstones", _part("project_id"), _part("hash"), _part("kind"))
erasing = _derived("erasing", _part("project_id"), _part("erasure_id"), _part("kind"), _part("key"))
# In the order of time before that of metrics and features: what comes in now then changes three places, not hundreds.
counters = _derived(
    "counters",
    _part("project_id"),
    _part("group_key"),
    _part("width", BigInteger()),
    _part("start", BigInteger()),
    _part("metric"),
    _part("feature"),
    _part("version_id"),
    _part("group_value"),
    Column("count", BigInteger(), nullable=False),
    Column("total", Float(), nullable=False),
)
topic_places = _derived(
    "topic_places",
    _part("project_id"),
    _part("scope"),
    _part("topic_id", LargeBinary(16)),
    Column("space", Text(), nullable=False),
    Column("centroid", LargeBinary(), nullable=False),
    Column("feedback", LargeBinary(), nullable=False),
    Column("inferences", LargeBinary(), nullable=False),
)
cursors = _derived("cursors", _part("stage"), Column("seq", BigInteger(), nullable=False))
purges = _derived(
    "purges",
    _part("kind"),
    Column("purged", BigInteger(), nullable=False),
    Column("until", BigInteger(), nullable=False),
    Column("safe", BigInteger(), nullable=False),
    Column("noted", BigInteger(), nullable=False),
    Column("noted_at", BigInteger(), nullable=False),
)
received = _derived("received", _part("result"), _part("code"), Column("count", BigInteger(), nullable=False))
probe = _derived("probe", _part("id", Integer()), Column("checks", BigInteger(), nullable=False))
