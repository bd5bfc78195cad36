"""The tables of `trimtab.toml`, each with its settings and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.config.acting import (
    Canary,
    Digest,
    Finetune,
    Gate,
    Guard,
    Judge,
    Knowledge,
    NotifyTarget,
    Optimizer,
    Playbook,
    Reviewing,
    Rules,
    Runner,
    Verification,
)
from trimtab.config.values import Count, Days, Language, Positive, Rate, Section, Seen, Share, Some

__all__ = [
    "Embedding",
    "Engine",
    "FeatureOverride",
    "Ingest",
    "Lake",
    "Limits",
    "Logging",
    "Monitoring",
    "Ner",
    "Outcomes",
    "Redaction",
    "Retention",
    "Segments",
    "Server",
    "Sessions",
    "Settings",
    "Signals",
    "Storage",
    "Topics",
    "WatchRule",
]


class Server(Section, frozen=True):
    """Where the HTTP server listens and what it takes."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8787
    body_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 8 << 20
    clock: Literal["system", "set"] = "system"
    trusted_proxies: tuple[str, ...] = ()
    streams: Count = 500
    streams_per_key: Some = 400


class Storage(Section, frozen=True):
    """Where everything durable lives: one directory, and beside it a PostgreSQL database where one is named."""

    path: str = "trimtab-data"
    url: str = ""


class Ingest(Section, frozen=True):
    """What may come in and how it is grouped on its way to the disk."""

    unknown_feature: Literal["create", "reject"] = "create"
    max_features: Some = 1000
    batch_events: Some = 5000
    event_bytes: Annotated[int, Meta(ge=1024)] = 1 << 20
    future_seconds: Count = 600
    past_days: Some = 3650
    group_events: Some = 2000
    in_flight_bytes: Annotated[int, Meta(ge=1024)] = 64 << 20
    workers: Annotated[int, Meta(ge=0, le=64)] = 0


class Limits(Section, frozen=True):
    """How much one sender may send; what is over it is answered 429."""

    address_events_per_s: Positive = 50.0
    address_burst: Some = 1000
    addresses: Some = 100_000
    key_events_per_s: Positive = 2000.0
    key_burst: Some = 10_000
    ingest_events_per_s: Positive | None = None
    ingest_burst: Some = 10_000


class Redaction(Section, frozen=True):
    """How texts are cleaned before the first write."""

    policy: Literal["strict", "lenient"] = "strict"


class Sessions(Section, frozen=True):
    """When a conversation in which nothing more happens counts as over."""

    timeout_minutes: Positive = 30.0


class Signals(Section, frozen=True):
    """What the engine hears between the lines, each kind with its switch, and how near is near (docs: signals)."""

    rephrase: bool = True
    regenerate: bool = True
    objection: bool = True
    thanks: bool = True
    abandon: bool = True
    edit: bool = True
    copy: bool = True
    click: bool = True
    dwell: bool = True
    languages: tuple[Language, ...] = ("en", "de", "fr", "es", "pt", "it")
    turns: Some = 3
    minutes: Positive = 30.0
    pause_seconds: Annotated[float, Meta(ge=0)] = 2.0
    rephrase_likeness: Rate = 0.6
    edit_distance: Share = 0.3
    abandon_after: Some = 2


class Segments(Section, frozen=True):
    """By what answers are grouped: plan, locale, tenant, model, `tags.NAME`, `user.NAME`; and how many values each."""

    keys: tuple[str, ...] = ("plan", "locale", "tenant", "model")
    values: Some = 50


class Outcomes(Section, frozen=True):
    """What hints count for, and when an audit vouches for it (docs: outcomes).

    `seen_*` say on which share of bad answers, and of good ones, a hint is seen. They are assumptions.
    """

    bad_rate: Rate = 0.10
    seen_objection: Seen = (0.15, 0.01)
    seen_regenerate: Seen = (0.25, 0.04)
    seen_edit: Seen = (0.25, 0.08)
    seen_rephrase: Seen = (0.35, 0.10)
    seen_abandon: Seen = (0.35, 0.20)
    seen_copy: Seen = (0.10, 0.35)
    seen_click: Seen = (0.10, 0.15)
    seen_dwell: Seen = (0.5, 0.5)
    seen_thanks: Seen = (0.01, 0.10)
    slope_sd: Positive = 0.7
    min_votes: Some = 300
    min_audit: Annotated[int, Meta(ge=30)] = 100
    max_error: Rate = 0.05
    window_days: Positive = 90.0
    every_hours: Positive = 24.0


class Ner(Section, frozen=True):
    """A second look at stored texts by a model of the operator's own (docs: redaction).

    `detector` is "presidio", or "module:function" of a detector of your own; empty: no second look.
    """

    detector: str = ""
    model: str = ""
    language: str = "en"
    labels: tuple[str, ...] = ("PERSON", "LOCATION")
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.4


class Monitoring(Section, frozen=True):
    """When a rate of negative votes counts as worse than normal (docs: detection).

    Without a `reference_rate` the normal rate is learned from a feature's first `baseline_votes` votes.
    """

    reference_rate: Rate | None = None
    false_alarm_rate: Rate = 0.05
    horizon_votes: Some = 2000
    window_hours: Positive = 24.0
    min_users: Some = 5
    min_votes: Some = 20
    baseline_votes: Annotated[int, Meta(ge=50)] = 500
    baseline_bound: Rate = 0.8
    baseline_margin: Annotated[float, Meta(ge=1)] = 1.0
    false_alarms_per_month: Positive = 1.0
    propensity_factor: Annotated[float, Meta(ge=0)] = 2.0


class WatchRule(Section, frozen=True):
    """A watch that you declare on one measure of answers, group by group (docs: monitors).

    `metric` is what counts as bad: "vote" (a person's no), "outcome" (P(bad) of the answer), "feedback.KIND" (that
    signal was seen), "error", "latency" and "cost" (over `limit`, in ms and USD). `group_by` names "version", "model",
    or a grouping of `segments.keys`. What later signals decide is counted `maturity_hours` after the answer. `kind`
    "drift" watches what is asked: its metric is "input", and its reference takes `baseline_hours` at the least.
    """

    feature: str = ""
    metric: str = "vote"
    kind: Literal["rate", "threshold", "drift"] = "rate"
    group_by: tuple[str, ...] = ("version",)
    max_groups: Some = 1000
    limit: Positive | None = None
    reference_rate: Rate | None = None
    baseline_events: Annotated[int, Meta(ge=50)] = 500
    baseline_bound: Rate = 0.8
    baseline_margin: Annotated[float, Meta(ge=1)] = 1.0
    baseline_hours: Annotated[float, Meta(ge=0)] = 168.0
    horizon_events: Some = 2000
    window_hours: Positive = 24.0
    min_users: Some = 5
    min_events: Some = 20
    maturity_hours: Annotated[float, Meta(ge=0)] = 24.0
    for_minutes: Annotated[float, Meta(ge=0)] = 0.0
    keep_firing_hours: Annotated[float, Meta(ge=0)] = 24.0
    cooldown_hours: Annotated[float, Meta(ge=0)] = 24.0
    no_data_hours: Annotated[float, Meta(ge=0)] = 0.0
    inhibited_by: tuple[str, ...] = ()
    act: bool = False
    window_minutes: Some = 60
    above: Rate | None = None
    recover_below: Rate | None = None
    enabled: bool = True


class Embedding(Section, frozen=True):
    """What turns texts into vectors, for search (docs: embeddings). Only redacted texts are ever embedded.

    `model` is the endpoint's name for its model, or the folder of a sentence-transformers model.
    """

    kind: Literal["lsa", "endpoint", "sentence-transformers", "none"] = "lsa"
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    dimensions: Count = 0
    batch_texts: Annotated[int, Meta(ge=1, le=2048)] = 128
    text_chars: Some = 8000
    timeout_s: Positive = 30.0
    retry_s: Annotated[float, Meta(ge=0)] = 60.0


class Topics(Section, frozen=True):
    """What people keep saying: when it is looked for, in which texts, and what counts (docs: topics).

    With `every_hours` 0 only when asked. `name_model` is asked for names at the endpoint of `[runner]`; empty: words.
    """

    every_hours: Annotated[float, Meta(ge=0)] = 24.0
    window_days: Positive = 28.0
    recent_days: Positive = 7.0
    min_size: Annotated[int, Meta(ge=2)] = 10
    min_users: Some = 3
    max_texts: Annotated[int, Meta(ge=100)] = 20_000
    false_alarm_rate: Rate = 0.05
    name_model: str = ""


class FeatureOverride(Section, frozen=True):
    """What one feature does differently."""

    playbook: Literal["auto", "ask", "off"] | None = None
    runner: str | None = None
    exemplar_scope: Literal["global", "tenant", "user"] | None = None
    reference_rate: Rate | None = None
    bad_rate: Rate | None = None
    review_items: Count | None = None
    seen_objection: Seen | None = None
    seen_regenerate: Seen | None = None
    seen_edit: Seen | None = None
    seen_rephrase: Seen | None = None
    seen_abandon: Seen | None = None
    seen_copy: Seen | None = None
    seen_click: Seen | None = None
    seen_dwell: Seen | None = None
    seen_thanks: Seen | None = None


class Lake(Section, frozen=True):
    """Where all history goes, how often, and how it is kept (docs: the lake).

    Without a `uri` it is the directory `lake` under `storage.path`.
    """

    enabled: bool = True
    uri: str = ""
    endpoint: str = ""
    region: str = ""
    commit_seconds: Positive = 30.0
    commit_rows: Some = 10_000
    compact_commits: Some = 64
    vacuum_hours: Some = 48
    query_bytes: Annotated[int, Meta(ge=64 << 20)] = 1 << 30
    query_seconds: Positive = 600.0


class Retention(Section, frozen=True):
    """How long rows stay in the hot store once they are in the lake (docs: retention). 0 days: for ever.

    A kind without days of its own has `hot_days`.
    """

    hot_days: Days = 30.0
    inferences_days: Days | None = None
    feedback_days: Days | None = None
    outcomes_days: Days | None = None
    late_events: Literal["reject", "accept"] = "reject"
    without_lake: bool = False


class Logging(Section, frozen=True):
    """How the log is written."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Engine(Section, frozen=True):
    """How often the stages look for work."""

    tick_seconds: Positive = 0.25
    batch_rows: Some = 5000


class Settings(Section, frozen=True):
    """The whole tree."""

    server: Server = Server()
    storage: Storage = Storage()
    ingest: Ingest = Ingest()
    limits: Limits = Limits()
    redaction: Redaction = Redaction()
    ner: Ner = Ner()
    sessions: Sessions = Sessions()
    segments: Segments = Segments()
    signals: Signals = Signals()
    outcome: Outcomes = Outcomes()
    monitoring: Monitoring = Monitoring()
    playbook: Playbook = Playbook()
    gate: Gate = Gate()
    judge: Judge = Judge()
    canary: Canary = Canary()
    guard: Guard = Guard()
    verification: Verification = Verification()
    runner: Runner = Runner()
    rules: Rules = Rules()
    knowledge: Knowledge = Knowledge()
    optimizer: Optimizer = Optimizer()
    finetune: Finetune = Finetune()
    embedding: Embedding = Embedding()
    topics: Topics = Topics()
    engine: Engine = Engine()
    lake: Lake = Lake()
    retention: Retention = Retention()
    review: Reviewing = Reviewing()
    digest: Digest = Digest()
    logging: Logging = Logging()
    features: dict[str, FeatureOverride] = {}  # noqa: RUF012  msgspec gives each its own
    monitors: dict[str, WatchRule] = {}  # noqa: RUF012  msgspec gives each its own
    notify: dict[str, NotifyTarget] = {}  # noqa: RUF012  msgspec gives each its own
    runners: dict[str, Runner] = {}  # noqa: RUF012  msgspec gives each its own
