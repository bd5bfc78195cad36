"""One frozen tree of settings: defaults here, then `trimtab.toml`, then `TRIMTAB_SECTION__KEY` from the environment.

>>> load(environ={"TRIMTAB_SERVER__PORT": "9000"}).settings.server.port
9000
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from trimtab.errors import ConfigError

__all__ = [
    "FILE_NAME",
    "NAMED",
    "Loaded",
    "Settings",
    "WatchRule",
    "allowed_values",
    "load",
    "settings_paths",
    "without_password",
]

FILE_NAME = "trimtab.toml"
_PREFIX = "TRIMTAB_"
NAMED = ("features", "monitors")
"""The sections that hold tables with names of their own."""
_NOT_SETTINGS = {"TRIMTAB_URL", "TRIMTAB_KEY", "TRIMTAB_DATA", "TRIMTAB_CONFIG"}

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Days = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Some = Annotated[int, Meta(ge=1)]
Seen = tuple[Rate, Rate]
Language = Literal["en", "de", "fr", "es", "pt", "it"]


class _Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of trimtab.toml."""


class Server(_Section, frozen=True):
    """Where the HTTP server listens and what it takes."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8787
    body_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 8 << 20
    clock: Literal["system", "set"] = "system"
    trusted_proxies: tuple[str, ...] = ()


class Storage(_Section, frozen=True):
    """Where everything durable lives: one directory, and beside it a PostgreSQL database where one is named."""

    path: str = "trimtab-data"
    url: str = ""


class Ingest(_Section, frozen=True):
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


class Limits(_Section, frozen=True):
    """How much one sender may send; what is over it is answered 429."""

    address_events_per_s: Positive = 50.0
    address_burst: Some = 1000
    addresses: Some = 100_000
    key_events_per_s: Positive = 2000.0
    key_burst: Some = 10_000
    ingest_events_per_s: Positive | None = None
    ingest_burst: Some = 10_000


class Redaction(_Section, frozen=True):
    """How texts are cleaned before the first write."""

    policy: Literal["strict", "lenient"] = "strict"


class Sessions(_Section, frozen=True):
    """When a conversation in which nothing more happens counts as over."""

    timeout_minutes: Positive = 30.0


class Signals(_Section, frozen=True):
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


class Segments(_Section, frozen=True):
    """By what answers are grouped: plan, locale, tenant, model, `tags.NAME`, `user.NAME`; and how many values each."""

    keys: tuple[str, ...] = ("plan", "locale", "tenant", "model")
    values: Some = 50


class Outcomes(_Section, frozen=True):
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


class Ner(_Section, frozen=True):
    """A second look at stored texts by a model of the operator's own (docs: redaction).

    `detector` is "presidio", or "module:function" of a detector of your own; empty: no second look.
    """

    detector: str = ""
    model: str = ""
    language: str = "en"
    labels: tuple[str, ...] = ("PERSON", "LOCATION")
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.4


class Monitoring(_Section, frozen=True):
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


class WatchRule(_Section, frozen=True):
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


class Playbook(_Section, frozen=True):
    """What happens when an incident opens, and how much one change may carry (docs: the loop).

    `actions` are tried in their order; those in `ask` wait for a person's approval, as all do where `mode` is "ask".
    """

    mode: Literal["auto", "ask", "off"] = "auto"
    actions: tuple[str, ...] = ("exemplar",)
    ask: tuple[str, ...] = ()
    lookback_days: Positive = 28.0
    max_exemplars: Some = 50
    min_corrections: Some = 1
    cooldown_hours: Annotated[float, Meta(ge=0)] = 24.0


class Gate(_Section, frozen=True):
    """What a candidate must show on golden cases before anyone sees it."""

    margin: Rate = 0.05
    repeats: Some = 1


class Canary(_Section, frozen=True):
    """How a candidate is rolled out, and what ends its trial."""

    steps: tuple[Share, ...] = (0.05, 0.2, 0.5)
    step_hours: Annotated[float, Meta(ge=0)] = 24.0
    step_exposures: Some = 200
    horizon_hours: Positive = 24.0 * 14
    false_alarm_rate: Rate = 0.05
    harm_margin: Positive = 0.2
    inconclusive: Literal["pause", "ship"] = "pause"


class Verification(_Section, frozen=True):
    """How sure we must be that a change helped, and how long it may take to show; then the incident fires again."""

    false_alarm_rate: Rate = 0.05
    patience_hours: Positive = 24.0 * 14


class Runner(_Section, frozen=True):
    """What answers when the engine itself must ask a feature: its exemplar memory, or an OpenAI-compatible endpoint."""

    kind: Literal["memory", "llm"] = "memory"
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 30.0


class Rules(_Section, frozen=True):
    """Who drafts a rule from what people keep saying (docs: rules): `model` at the endpoint of `[runner]`."""

    model: str = ""
    min_people: Some = 3
    max_chars: Annotated[int, Meta(ge=20, le=1000)] = 200
    max_rules: Some = 30


class Knowledge(_Section, frozen=True):
    """What may be put beside the app's documents, and how it gets into its index (docs: knowledge).

    What is sent to `webhook_url` and `retrieve_url` is signed with the secret in the environment variable `secret_env`.
    """

    max_entries: Some = 20
    ttl_days: Positive = 90.0
    top_k: Some = 5
    webhook_url: str = ""
    retrieve_url: str = ""
    retrieve: str = ""
    secret_env: str = "TRIMTAB_KNOWLEDGE_SECRET"  # noqa: S105  the name of a variable
    timeout_s: Positive = 10.0
    retry_s: Annotated[float, Meta(ge=0)] = 60.0


class Embedding(_Section, frozen=True):
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


class Topics(_Section, frozen=True):
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


class FeatureOverride(_Section, frozen=True):
    """What one feature does differently."""

    playbook: Literal["auto", "ask", "off"] | None = None
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


class Lake(_Section, frozen=True):
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


class Retention(_Section, frozen=True):
    """How long rows stay in the hot store once they are in the lake (docs: retention). 0 days: for ever.

    A kind without days of its own has `hot_days`.
    """

    hot_days: Days = 30.0
    inferences_days: Days | None = None
    feedback_days: Days | None = None
    outcomes_days: Days | None = None
    late_events: Literal["reject", "accept"] = "reject"
    without_lake: bool = False


class Logging(_Section, frozen=True):
    """How the log is written."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Engine(_Section, frozen=True):
    """How often the stages look for work."""

    tick_seconds: Positive = 0.25
    batch_rows: Some = 5000


class Settings(_Section, frozen=True):
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
    verification: Verification = Verification()
    runner: Runner = Runner()
    rules: Rules = Rules()
    knowledge: Knowledge = Knowledge()
    embedding: Embedding = Embedding()
    topics: Topics = Topics()
    engine: Engine = Engine()
    lake: Lake = Lake()
    retention: Retention = Retention()
    logging: Logging = Logging()
    features: dict[str, FeatureOverride] = {}
    monitors: dict[str, WatchRule] = {}


class Loaded(NamedTuple):
    """Settings, and for each path that is not a default, where its value came from."""

    settings: Settings
    sources: dict[str, str]


def load(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read settings from `path` (or ./trimtab.toml when it exists) and the environment.

    Raises ConfigError naming key, source and what is allowed there.
    """
    environ = os.environ if environ is None else environ
    named = path or (Path(environ["TRIMTAB_CONFIG"]) if environ.get("TRIMTAB_CONFIG") else None)
    file = named or Path(FILE_NAME)
    tree: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if named is not None or file.exists():
        tree = _read(file)
        sources.update({key: str(file) for key in _leaves(tree)})
        _check(tree, str(file))
    for variable, text in environ.items():
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
            parts = variable.removeprefix(_PREFIX).split("__")
            if parts[0].lower() in NAMED:  # a feature's name keeps its case
                parts = [parts[0].lower(), *parts[1:-1], parts[-1].lower()]
            else:
                parts = [part.lower() for part in parts]
            _place(tree, parts, text, variable)
            sources[".".join(parts)] = variable
    try:
        return Loaded(msgspec.convert(tree, Settings, strict=False), sources)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, sources) from error


def settings_paths(section: type[Struct] = Settings, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted path, type, default) of every setting; what has a name of its own as `features.NAME.KEY`."""
    hints = get_type_hints(section, include_extras=True)
    for info in msgspec.structs.fields(section):
        kind = hints[info.name]
        if isinstance(kind, type) and issubclass(kind, _Section):
            yield from settings_paths(kind, f"{prefix}{info.name}.")
        elif get_origin(kind) is dict:
            yield from settings_paths(get_args(kind)[1], f"{prefix}{info.name}.NAME.")
        else:
            yield f"{prefix}{info.name}", kind, info.default


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown.

    >>> without_password("postgresql://trimtab:s3cret@db:5432/trimtab")
    'postgresql://trimtab:***@db:5432/trimtab'
    """
    return re.sub(
        r"(://[^:/@]*):[^/]*@|(password=)[^&]*", lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", url
    )


def allowed_values(kind: Any) -> str:
    """Return in words what a setting of this type may be."""
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        bounds = [
            f"{sign} {getattr(meta, name)}"
            for meta in metas
            if isinstance(meta, Meta)
            for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
            if getattr(meta, name) is not None
        ]
        return f"{inner.__name__} {' and '.join(bounds)}"
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        number = "" if others == [...] else f" {1 + len(others)}"
        return f"a list of{number}: {allowed_values(first)}"
    parts = [allowed_values(part) for part in get_args(kind) if part is not type(None)]
    return " or ".join(parts) if parts else getattr(kind, "__name__", str(kind))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"expected a settings file at {str(file)!r}, found none; `trimtab init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {str(file)!r}: {error}", param=str(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{str(file)!r} is not valid TOML: {error}", param=str(file)) from error


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _known(dotted: str) -> str | None:
    """Return the declared path that `dotted` is, with the feature's own name put back to NAME."""
    parts = dotted.split(".")
    if parts[0] in NAMED and len(parts) > 3:  # the name has dots of its own
        parts = [parts[0], ".".join(parts[1:-1]), parts[-1]]
    if parts[0] in NAMED and len(parts) == 3:
        parts[1] = "NAME"
    name = ".".join(parts)
    return name if name in {path for path, _, _ in settings_paths()} else None


def _check(tree: Mapping[str, Any], source: str) -> None:
    for dotted in _leaves(tree):
        if _known(dotted) is None:
            raise _unknown(dotted, source)


def _unknown(dotted: str, source: str) -> ConfigError:
    paths = [path for path, _, _ in settings_paths()]
    near = difflib.get_close_matches(dotted, paths, n=1, cutoff=0.5)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"sections are {', '.join(sorted({p.split('.')[0] for p in paths}))}"
    )
    return ConfigError(f"unknown setting {dotted!r} in {source}; {hint}", param=dotted)


def _place(tree: dict[str, Any], parts: list[str], text: str, variable: str) -> None:
    dotted = ".".join(parts)
    if _known(dotted) is None:
        raise _unknown(dotted, f"the environment ({variable})")
    for section in parts[:-1]:
        tree = tree.setdefault(section, {})
    tree[parts[-1]] = [part.strip() for part in text.split(",") if part.strip()] if _is_list(dotted) else text


def _is_list(dotted: str) -> bool:
    kind = {path: kind for path, kind, _ in settings_paths()}[str(_known(dotted))]
    return any(get_origin(part) is tuple for part in (kind, *get_args(kind)))


def _explain(error: msgspec.ValidationError, tree: Mapping[str, Any], sources: Mapping[str, str]) -> ConfigError:
    message, _, path = str(error).partition(" - at `$.")
    dotted = path.rstrip("`").replace("[...]", ".NAME").split("[")[0]
    declared = {name: kind for name, kind, _ in settings_paths()}
    value: Any = tree
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    known = _known(dotted)
    allowed = allowed_values(declared[known]) if known else ""
    source = sources.get(dotted, FILE_NAME)
    if ".NAME." in dotted:  # the message does not say which feature it was
        return ConfigError(f"{dotted} in {source}: {message[0].lower()}{message[1:]}; allowed: {allowed}", param=dotted)
    hint = f"; allowed: {allowed}" if allowed else ""
    return ConfigError(f"{dotted} = {value!r} in {source}: {message[0].lower()}{message[1:]}{hint}", param=dotted)
