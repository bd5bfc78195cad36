"""The tables of `trimtab.toml`, each with its settings and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.records import DeliveryKind

__all__ = [
    "Canary",
    "Embedding",
    "Engine",
    "FeatureOverride",
    "Finetune",
    "Gate",
    "Ingest",
    "Knowledge",
    "Lake",
    "Language",
    "Limits",
    "Logging",
    "Monitoring",
    "Ner",
    "NotifyTarget",
    "Optimizer",
    "Outcomes",
    "Playbook",
    "Redaction",
    "Retention",
    "Reviewing",
    "Rules",
    "Runner",
    "Section",
    "Segments",
    "Server",
    "Sessions",
    "Settings",
    "Signals",
    "Storage",
    "Topics",
    "Verification",
    "WatchRule",
]

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Days = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Some = Annotated[int, Meta(ge=1)]
Seen = tuple[Rate, Rate]
Language = Literal["en", "de", "fr", "es", "pt", "it"]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of trimtab.toml."""


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
    or a grouping of `segments.keys`. What later signals decide is counted `maturity_hours` after the answer.
    """

    feature: str = ""
    metric: str = "vote"
    kind: Literal["rate", "threshold"] = "rate"
    group_by: tuple[str, ...] = ("version",)
    max_groups: Some = 1000
    limit: Positive | None = None
    reference_rate: Rate | None = None
    baseline_events: Annotated[int, Meta(ge=50)] = 500
    baseline_bound: Rate = 0.8
    baseline_margin: Annotated[float, Meta(ge=1)] = 1.0
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


class Playbook(Section, frozen=True):
    """What happens when an incident opens, and how much one change may carry (docs: the loop).

    `actions` are tried in their order; those in `ask` wait for a person's approval, as all do where `mode` is "ask".
    """

    mode: Literal["auto", "ask", "off"] = "auto"
    actions: tuple[str, ...] = ("rollback", "exemplar")
    ask: tuple[str, ...] = ()
    lookback_days: Positive = 28.0
    max_exemplars: Some = 50
    exemplar_scope: Literal["global", "tenant", "user"] = "global"
    min_corrections: Some = 1
    cooldown_hours: Annotated[float, Meta(ge=0)] = 24.0
    rollback_hours: Positive = 168.0


class NotifyTarget(Section, frozen=True):
    """Who is told what, and how (docs: notify).

    `url` may hold a secret: name the variable that has it in `url_env`, and no file does.
    """

    kind: Literal["webhook", "apprise"] = "webhook"
    url: str = ""
    url_env: str = ""
    secret_env: str = ""
    on: tuple[DeliveryKind, ...] = (
        "incident.opened",
        "incident.resolved",
        "change.awaiting",
        "change.paused",
        "change.promoted",
        "change.rolled_back",
    )
    features: tuple[str, ...] = ()
    allow_private: bool = False
    timeout_s: Positive = 10.0
    enabled: bool = True


class Reviewing(Section, frozen=True):
    """How many answers of an incident people are asked about, and for how long one is theirs (docs: review)."""

    incident_items: Some = 20
    alike: Some = 3
    reserve_minutes: Positive = 30.0


class Gate(Section, frozen=True):
    """What a candidate must show on golden cases before anyone sees it."""

    margin: Rate = 0.05
    repeats: Some = 1


class Canary(Section, frozen=True):
    """How a candidate is rolled out, and what ends its trial."""

    steps: tuple[Share, ...] = (0.05, 0.2, 0.5)
    step_hours: Annotated[float, Meta(ge=0)] = 24.0
    step_exposures: Some = 200
    horizon_hours: Positive = 24.0 * 14
    false_alarm_rate: Rate = 0.05
    harm_margin: Positive = 0.2
    inconclusive: Literal["pause", "ship"] = "pause"
    holdback: Annotated[float, Meta(ge=0, le=0.2)] = 0.0
    min_voters: Some = 20


class Guard(Section, frozen=True):
    """What keeps a few people, or people made up for it, from deciding what everyone is served (docs: guards).

    `expires_days` 0: what was learned from a correction stays until something newer replaces it.
    """

    agreement: Annotated[int, Meta(ge=2)] = 5
    window_hours: Positive = 24.0
    per_person: Some = 10
    expires_days: Annotated[float, Meta(ge=0)] = 0.0
    lint: Literal["drop", "off"] = "drop"


class Verification(Section, frozen=True):
    """How sure we must be that a change helped, and how long it may take to show; then the incident fires again."""

    false_alarm_rate: Rate = 0.05
    patience_hours: Positive = 24.0 * 14


class Runner(Section, frozen=True):
    """What answers when the engine itself must ask a feature: its exemplar memory, or an OpenAI-compatible endpoint."""

    kind: Literal["memory", "llm"] = "memory"
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 30.0
    usd_per_1k_input: Annotated[float, Meta(ge=0)] = 0.0
    usd_per_1k_output: Annotated[float, Meta(ge=0)] = 0.0


class Rules(Section, frozen=True):
    """Who drafts a rule from what people keep saying (docs: rules): `model` at the endpoint of `[runner]`."""

    model: str = ""
    min_people: Some = 3
    max_chars: Annotated[int, Meta(ge=20, le=1000)] = 200
    max_rules: Some = 30


class Knowledge(Section, frozen=True):
    """What may be put beside the app's documents, and how it gets into its index (docs: knowledge).

    What is sent to `webhook_url` and `retrieve_url` is signed with the secret in the environment variable `secret_env`.
    `allow_private` lets them be in a private network, and plain http.
    """

    max_entries: Some = 20
    ttl_days: Positive = 90.0
    top_k: Some = 5
    webhook_url: str = ""
    retrieve_url: str = ""
    retrieve: str = ""
    secret_env: str = "TRIMTAB_KNOWLEDGE_SECRET"  # noqa: S105  the name of a variable
    allow_private: bool = False
    timeout_s: Positive = 10.0
    retry_s: Annotated[float, Meta(ge=0)] = 60.0


class Optimizer(Section, frozen=True):
    """How a better prompt is looked for, with the help of which stronger model, at what cost (docs: prompts)."""

    kind: Literal["fewshot", "gepa"] = "fewshot"
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 120.0
    usd_per_1k_input: Annotated[float, Meta(ge=0)] = 0.0
    usd_per_1k_output: Annotated[float, Meta(ge=0)] = 0.0
    min_examples: Annotated[int, Meta(ge=6)] = 30
    max_examples: Some = 200
    max_calls: Some = 1000
    max_usd: Annotated[float, Meta(ge=0)] = 0.0
    max_minutes: Positive = 60.0
    min_gain: Rate = 0.1
    max_shots: Some = 8
    max_chars: Some = 8000
    seed: Count = 0


class Finetune(Section, frozen=True):
    """How a model is trained on what people said (docs: finetuning). No shell runs `command`."""

    command: str = ""
    kind: Literal["sft", "dpo"] = "sft"
    min_rows: Some = 100
    max_hours: Positive = 24.0
    attempts: Some = 2


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
    exemplar_scope: Literal["global", "tenant", "user"] | None = None
    reference_rate: Rate | None = None
    bad_rate: Rate | None = None
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
    logging: Logging = Logging()
    features: dict[str, FeatureOverride] = {}
    monitors: dict[str, WatchRule] = {}
    notify: dict[str, NotifyTarget] = {}
