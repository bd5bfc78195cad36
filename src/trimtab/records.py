"""The nouns, each defined once: what goes over the wire and what every store keeps.

Tables, OpenAPI and TypeScript are generated from these structs or tested against them. Every text field says how the
redactor treats it (`Text`, `Payload`, `Identifier`) or has a grammar that leaves no room for personal data (`Name`,
`Uuid`); a house test refuses a field that says nothing. Times are UTC, rates lie in [0, 1], 1 means bad.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from trimtab.ids import content_id

__all__ = [
    "ApiKey",
    "Arm",
    "Case",
    "CaseResult",
    "Change",
    "ChangeState",
    "Chunk",
    "Correction",
    "Event",
    "Evidence",
    "Exemplar",
    "Feature",
    "Feedback",
    "FeedbackKind",
    "GateReport",
    "Identifier",
    "Incident",
    "Inference",
    "KeyKind",
    "Line",
    "Message",
    "Monitor",
    "Name",
    "Opinion",
    "Origin",
    "Outcome",
    "Payload",
    "Project",
    "Redacted",
    "Rollout",
    "Rule",
    "Run",
    "RunStep",
    "State",
    "Text",
    "Tier",
    "Time",
    "Tokens",
    "Uuid",
    "Version",
    "text_of",
]

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$(?!\n)", extra={"pii": "none"})]
"""A UUID in canonical lower-case form; senders make version 7, any version is taken."""

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,127}$(?!\n)", extra={"pii": "none"})]
"""A name given by developers: feature, version, model, tag key. 1-128 characters of a closed alphabet."""

Identifier = Annotated[str, Meta(min_length=1, max_length=256, extra={"pii": "identifier"})]
"""An opaque id of the app's own. One that is an e-mail address or a phone number is pseudonymised whole."""

Text = Annotated[str, Meta(max_length=1_000_000, extra={"pii": "text"})]
"""Words of people or models. Redacted before it is stored."""

Payload = Annotated[str | list[Any] | dict[str, Any], Meta(extra={"pii": "value"})]
"""What went into or came out of a model: a text, a list of messages, or an object. Redacted leaf by leaf."""

Line = Annotated[str, Meta(max_length=2000, extra={"pii": "none"})]
"""A line the engine wrote itself from numbers, ids and names; words of others pass the redactor before they join it."""

State = Annotated[dict[str, Any], Meta(extra={"pii": "none"})]
"""Numbers the engine keeps between ticks."""

Origin = Annotated[
    str, Meta(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]{1,260})$(?!\n)", extra={"pii": "none"})
]
"""Where a page comes from, as browsers write it in `Origin`: scheme, host and port in lower case; or * for any page."""

Time = Annotated[datetime, Meta(tz=True)]
"""A time with its zone; kept and returned in UTC."""

Tokens = Annotated[int, Meta(ge=0, le=2**53)]
"""A count that every client, JSON and database can hold exactly."""

Arm = Literal["stable", "candidate", "holdback"]
KeyKind = Literal["public", "ingest", "read", "admin"]
Tier = Literal["A", "B", "C"]
FeedbackKind = Literal[
    "thumb", "rating", "label", "correction", "comment", "accept", "reject",
    "edit", "copy", "regenerate", "rephrase", "click", "dwell", "abandon",
    "outcome",
]  # fmt: skip
IncidentState = Literal["firing", "recovering", "resolved"]
ChangeState = Literal[
    "building",
    "blocked",
    "empty",
    "awaiting",
    "canary",
    "paused",
    "promoted",
    "verified",
    "rolled_back",
    "superseded",
]
T_co = TypeVar("T_co", covariant=True)


class _Record(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What all nouns share: immutable, fields by name, unknown fields refused."""


class Redacted(Generic[T_co]):
    """The wall: a record whose texts have been through the redactor. Only `trimtab.redact` makes one.

    The store takes records with words in them in no other form. `rules` is the version of the redaction rules.
    """

    __slots__ = ("record", "rules")

    def __init__(self, record: T_co, rules: str) -> None:
        self.record = record
        self.rules = rules


# ---------------------------------------------------------------- what the app sends


class Message(_Record, frozen=True):
    """One turn of a conversation or of a prompt template (where `{input}` stands for the user's input)."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text


class Chunk(_Record, frozen=True):
    """A retrieved document or part of one that the model was shown."""

    id: Identifier
    text: Text | None = None
    score: float | None = None


class Inference(_Record, frozen=True, tag_field="type", tag="inference"):
    """One AI response. `id` is made by the sender, so that a retry is the same event."""

    id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    output: Payload | None = None
    version_id: Name | None = None
    arm: Arm | None = None
    model: Name | None = None
    session_id: Identifier | None = None
    user_id: Identifier | None = None
    external_id: Identifier | None = None
    trace_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", extra={"pii": "none"})] | None = None
    span_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", extra={"pii": "none"})] | None = None
    context: list[Chunk] = []
    tags: dict[Name, Text] = {}
    latency_ms: Annotated[float, Meta(ge=0)] | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cost_usd: Annotated[float, Meta(ge=0)] | None = None
    error: Text | None = None


class Feedback(_Record, frozen=True, tag_field="type", tag="feedback"):
    """One signal about an inference, a session or another tool's trace; append-only.

    `value` by kind: thumb 1 up, 0 down; rating from 1 to `best`; edit the normalised distance in [0, 1]; dwell seconds;
    outcome 1 reached, 0 missed. `text` holds the words of a correction (the right answer), a comment, or the kept text
    of an edit; `label` the label. `retracted` takes back the same person's opinion of that kind on that target.
    """

    id: Uuid
    kind: FeedbackKind
    created_at: Time
    inference_id: Uuid | None = None
    external_id: Identifier | None = None
    trace_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", extra={"pii": "none"})] | None = None
    span_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", extra={"pii": "none"})] | None = None
    session_id: Identifier | None = None
    feature: Name | None = None
    user_id: Identifier | None = None
    source: Literal["user", "reviewer", "app", "judge"] = "user"
    value: float | None = None
    best: Annotated[float, Meta(ge=2)] | None = None
    label: Text | None = None
    text: Text | None = None
    retracted: bool = False

    def __post_init__(self) -> None:
        if not (self.inference_id or self.external_id or self.trace_id or self.session_id):
            raise ValueError("expected a target: one of inference_id, external_id, trace_id, session_id")
        if not self.retracted:
            _check_value(self)


Event = Inference | Feedback


def _check_value(feedback: Feedback) -> None:
    kind, value = feedback.kind, feedback.value
    if kind in ("thumb", "outcome") and value not in (0, 1):
        raise ValueError(f"expected value 1 or 0 for kind {kind!r}, got {value!r}")
    if kind == "rating" and (value is None or feedback.best is None or not 1 <= value <= feedback.best):
        raise ValueError(f"expected best >= 2 and value from 1 to best for kind 'rating', got {value!r}")
    if kind == "edit" and (value is None or not 0 <= value <= 1):
        raise ValueError(f"expected value, the normalised edit distance in [0, 1], for kind 'edit', got {value!r}")
    if kind == "dwell" and (value is None or value < 0):
        raise ValueError(f"expected value, seconds >= 0, for kind 'dwell', got {value!r}")
    if kind in ("correction", "comment") and not feedback.text:
        raise ValueError(f"expected text for kind {kind!r}")
    if kind == "label" and not feedback.label:
        raise ValueError("expected label for kind 'label'")


# ---------------------------------------------------------------- what a feature is


class Project(_Record, frozen=True):
    """A tenant: its keys, features and data."""

    id: Name
    created_at: Time


class ApiKey(_Record, frozen=True):
    """A key as it is kept: the secret itself is shown once and only its SHA-256 stays.

    Only pages of `origins` may use it: a public key itself, an ingest or admin key the tokens that were made with it.
    """

    id: Uuid
    project_id: Name
    kind: KeyKind
    label: Text
    hint: Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"pii": "none"})]
    created_at: Time
    revoked_at: Time | None = None
    origins: list[Origin] = []


class Feature(_Record, frozen=True):
    """One named AI capability of the product."""

    name: Name
    created_at: Time
    description: Text = ""


class Exemplar(_Record, frozen=True):
    """A worked example shown to the model: an input and its right output."""

    id: Name
    input: Text
    output: Text
    source_feedback_id: Uuid | None = None
    added_at: Time | None = None


class Rule(_Record, frozen=True):
    """One line of the playbook that a Version carries in its prompt."""

    id: Name
    text: Text
    helpful: int = 0
    harmful: int = 0


class Version(_Record, frozen=True):
    """Immutable snapshot that decides a feature's behaviour. Its id is the hash of what it does, not of its history."""

    feature: Name
    created_at: Time
    messages: list[Message] = []
    model: Name | None = None
    parameters: Annotated[dict[str, Any], Meta(extra={"pii": "value"})] = {}
    rules: list[Rule] = []
    exemplars: list[Exemplar] = []
    parent_id: Name | None = None
    incident_id: Uuid | None = None
    change_id: Uuid | None = None
    note: Text = ""
    id: Name = ""

    def identified(self) -> Version:
        """Return this version with `id` set from its behaviour: equal behaviour, equal id."""
        told = {
            "feature": self.feature,
            "messages": self.messages,
            "model": self.model,
            "parameters": self.parameters,
            "rules": [(rule.id, rule.text) for rule in self.rules],
            "exemplars": [(item.input, item.output) for item in self.exemplars],
        }
        content = msgspec.json.encode(told, order="deterministic")
        return msgspec.structs.replace(self, id=content_id("v", content))


class Rollout(_Record, frozen=True):
    """What a feature serves now: the stable Version and, while one is tried, a candidate with its share of users.

    `id` salts the sticky assignment, so it is new for each candidate; `revision` rises with every switch.
    """

    feature: Name
    stable_version_id: Name
    updated_at: Time
    id: Uuid
    revision: int = 0
    candidate_version_id: Name | None = None
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    change_id: Uuid | None = None


# ---------------------------------------------------------------- what the engine makes of it


class Opinion(_Record, frozen=True):
    """The latest word of one person, of one kind, on one inference."""

    inference_id: Uuid
    feedback_id: Uuid
    kind: FeedbackKind
    source: Literal["user", "reviewer", "app", "judge"]
    created_at: Time
    user_id: Identifier | None = None
    value: float | None = None
    best: float | None = None
    retracted: bool = False


class Evidence(_Record, frozen=True):
    """One signal behind an Outcome: `x` is what it says alone (1 = bad), `weight` what it counted for."""

    kind: FeedbackKind
    feedback_id: Uuid
    x: float
    weight: float


class Outcome(_Record, frozen=True):
    """The fused judgement of one inference: P(bad) with its confidence and why.

    `vote` is what the people who used the answer said themselves (mean, 1 = bad), None while nobody did; `voter_id` and
    `voted_at` are the person and the moment of the latest such word. Monitors and canaries count votes, not p_bad.
    """

    inference_id: Uuid
    feature: Name
    created_at: Time
    judged_at: Time
    p_bad: Annotated[float, Meta(ge=0, le=1)]
    confidence: Annotated[float, Meta(ge=0, le=1)]
    tier: Tier
    evidence: list[Evidence]
    version_id: Name | None = None
    arm: Arm | None = None
    user_id: Identifier | None = None
    vote: Annotated[float, Meta(ge=0, le=1)] | None = None
    voter_id: Identifier | None = None
    voted_at: Time | None = None
    calibrated: bool = False


class Monitor(_Record, frozen=True):
    """A declared watch on the negative votes of one version of a feature, with the state of its sequential test.

    `reference` is the rate of negative votes that counts as normal: None while it is learned from `learned_votes`.
    """

    id: Uuid
    feature: Name
    version_id: Name
    reference_kind: Literal["target", "baseline", "inherited", "learning"]
    created_at: Time
    reference: Annotated[float, Meta(gt=0, lt=1)] | None = None
    learned_votes: int = 0
    learned_negatives: float = 0.0
    votes: int = 0
    negatives: float = 0.0
    alarms: int = 0
    detector: State = {}
    onsets: State = {}
    last_alarm_at: Time | None = None


class Incident(_Record, frozen=True):
    """What a monitor found: since when, on what evidence, and how it ended."""

    id: Uuid
    feature: Name
    version_id: Name
    monitor_id: Uuid
    state: IncidentState
    onset_at: Time
    first_signal_at: Time
    detected_at: Time
    reference: float
    observed: float
    events: int
    negatives: int
    users: int
    log_evidence: float
    log_threshold: float
    resolved_at: Time | None = None
    resolution: Literal["verified", "manual", "superseded"] | None = None


class Correction(_Record, frozen=True):
    """A right answer given by a person, beside what the feature had said; redacted like all that is stored."""

    feedback_id: Uuid
    inference_id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    corrected: Text
    source: Literal["user", "reviewer", "app", "judge"]
    version_id: Name | None = None
    rejected: Payload | None = None
    user_id: Identifier | None = None
    author_id: Identifier | None = None


class Case(_Record, frozen=True):
    """A golden example: an input, what a right output looks like, and how much it matters. Never used to build.

    `similar` passes when the output holds at least 60% of the expected words: for models with a wording of their own.
    """

    id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    expected: Text
    check: Literal["exact", "contains", "similar", "regex"] = "exact"
    severity: Literal["must_pass", "normal"] = "normal"
    incident_id: Uuid | None = None
    feedback_id: Uuid | None = None


class CaseResult(_Record, frozen=True):
    """How one case fared: whether the stable and the candidate Version passed it."""

    case_id: Uuid
    target: bool
    stable_passed: bool
    candidate_passed: bool


class GateReport(_Record, frozen=True):
    """The gate's verdict with the numbers behind it (paired, on golden cases).

    `lower_bound` is the one-sided 95% bound on the change of the pass rate; `rules_out` the drop, as a share, that
    this many cases can rule out.
    """

    verdict: Literal["pass", "fail", "inconclusive"]
    reason: Line
    cases: int
    broken: int
    fixed: int
    targets: int
    targets_fixed: int
    must_pass_broken: int
    lower_bound: float
    margin: float
    rules_out: float
    smoke: bool
    results: list[CaseResult] = []


class Change(_Record, frozen=True):
    """A candidate Version on its way: why it was made, what the gate said, how the rollout went, whether it helped."""

    id: Uuid
    feature: Name
    kind: Literal["exemplar", "manual"]
    state: ChangeState
    created_at: Time
    base_version_id: Name
    run_id: Uuid | None = None
    incident_id: Uuid | None = None
    candidate_version_id: Name | None = None
    gate: GateReport | None = None
    reason: Line = ""
    gated_at: Time | None = None
    exposed_at: Time | None = None
    step_at: Time | None = None
    promoted_at: Time | None = None
    rolled_back_at: Time | None = None
    verified_at: Time | None = None
    canary: State = {}
    verification: State = {}


class RunStep(_Record, frozen=True):
    """One step of a Run, written once: what it did, when, with which result (ids and counts, never texts)."""

    name: Name
    started_at: Time
    ended_at: Time
    detail: State = {}


class Run(_Record, frozen=True):
    """One durable execution of a playbook."""

    id: Uuid
    playbook: Name
    feature: Name
    state: Literal["running", "done", "failed", "cancelled"]
    started_at: Time
    incident_id: Uuid | None = None
    change_id: Uuid | None = None
    ended_at: Time | None = None
    error: Line = ""
    steps: list[RunStep] = field(default_factory=list)


def text_of(payload: Payload | None) -> str:
    """Return the words of a payload that a person would read: the last user turn of a conversation, else the text."""
    if payload is None:
        return ""
    if isinstance(payload, str):
        return payload
    if isinstance(payload, dict):
        for key in ("input", "text", "question", "content", "query"):
            if isinstance(payload.get(key), str):
                return str(payload[key])
        return msgspec.json.encode(payload, order="deterministic").decode()
    turns = [turn for turn in payload if isinstance(turn, dict) and isinstance(turn.get("content"), str)]
    asked = [turn for turn in turns if turn.get("role") == "user"]
    chosen = asked or turns
    return str(chosen[-1]["content"]) if chosen else msgspec.json.encode(payload).decode()
