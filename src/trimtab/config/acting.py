"""The tables of `trimtab.toml` about what is done: actions, gates, trials, guards, and whom they tell and ask."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.config.values import Count, Guardrail, Positive, Rate, Section, Share, Some
from trimtab.records import DeliveryKind

__all__ = [
    "Canary",
    "Digest",
    "Finetune",
    "Gate",
    "Guard",
    "Judge",
    "Knowledge",
    "NotifyTarget",
    "Optimizer",
    "Playbook",
    "Reviewing",
    "Rules",
    "Runner",
    "Verification",
]


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


class Digest(Section, frozen=True):
    """When people are told what changed in the seven days before, by UTC, and how sure that must be (docs: velocity).

    It goes to the targets of `[notify.NAME]` that have "digest" in `on`.
    """

    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    hour: Annotated[int, Meta(ge=0, le=23)] = 7
    reference_weeks: Annotated[int, Meta(ge=1, le=12)] = 4
    false_discovery_rate: Rate = 0.05


class Reviewing(Section, frozen=True):
    """Which answers people are asked about, how many of them, and for how long one is theirs (docs: review)."""

    weekly_items: Count = 40
    audit_share: Share = 0.1
    every_days: Positive = 7.0
    suspects_per_item: Annotated[float, Meta(ge=1)] = 5.5
    learn_from: Count = 10
    pool_answers: Annotated[int, Meta(ge=50, le=20_000)] = 2000
    confidence_tag: str = "confidence"
    reviewers: Annotated[int, Meta(ge=1, le=9)] = 1
    referee: str = ""
    incident_items: Some = 20
    alike: Some = 3
    reserve_minutes: Positive = 30.0
    idle_minutes: Positive = 10.0
    link_hours: Positive = 72.0


class Gate(Section, frozen=True):
    """What a candidate must show on golden cases before anyone sees it.

    `check` is how cases made of people's words are checked; with "auto" by all their words where the exemplar memory
    answers, else by most of them. `likeness` is the cosine from which an answer means what was expected.
    """

    margin: Rate = 0.05
    repeats: Some = 1
    check: Literal["auto", "exact", "contains", "similar", "embedding", "judge"] = "auto"
    likeness: Rate = 0.8
    shadow: Annotated[int, Meta(ge=0, le=200)] = 0


class Judge(Section, frozen=True):
    """Which model judges answers to cases of the check "judge", and when it may decide (docs: the gate).

    Without a `base_url` it is asked where `[runner]` asks.
    """

    model: str = ""
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 60.0
    parallel: Some = 4
    rubric: str = ""
    min_rulings: Annotated[int, Meta(ge=10)] = 30
    min_kappa: Rate = 0.5


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
    control: Literal["watch", "prove"] = "watch"
    guardrails: tuple[Guardrail, ...] = ("error", "latency", "cost", "refusal")
    guardrail_margin: Annotated[float, Meta(ge=0)] = 0.5
    max_error_rate: Share = 1.0
    max_latency_p95_ms: Annotated[float, Meta(ge=0)] = 0.0
    max_cost_usd: Annotated[float, Meta(ge=0)] = 0.0
    no_data_hours: Positive = 24.0


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
    recheck_hours: Annotated[float, Meta(ge=0)] = 24.0 * 7


class Runner(Section, frozen=True):
    """What answers when the engine itself must ask a feature (docs: the gate).

    Its exemplar memory; a model behind an OpenAI-compatible endpoint (`base_url`); the app, called at `url` or what
    `url_env` names; or a function of the app (`entry`, as "module:function") in processes of its own.
    """

    kind: Literal["memory", "llm", "webhook", "python"] = "memory"
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    url: str = ""
    url_env: str = ""
    secret_env: str = ""
    allow_private: bool = False
    entry: str = ""
    timeout_s: Positive = 30.0
    parallel: Some = 8
    retries: Count = 2
    answer_bytes: Annotated[int, Meta(ge=1024)] = 1 << 20
    reuse_hours: Annotated[float, Meta(ge=0)] = 24.0
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
    """How a model is trained on what people said (docs: finetuning): by a command, or by an endpoint at `base_url`.

    No shell runs `command`. The endpoint's key is in the variable that `api_key_env` names.
    """

    command: str = ""
    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    allow_private: bool = False
    timeout_s: Positive = 30.0
    poll_s: Positive = 30.0
    usd_per_million_tokens: Annotated[float, Meta(ge=0)] = 0.0
    kind: Literal["sft", "dpo"] = "sft"
    min_rows: Some = 100
    max_hours: Positive = 24.0
    attempts: Some = 2
