"""What the loop does about them: monitors, incidents, cases, changes and their runs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from trimtab.records.field import Line, Name, Payload, Record, Segments, Spec, State, Text, Time, Uuid

__all__ = [
    "Case",
    "CaseAnswer",
    "CaseResult",
    "Change",
    "ChangeKind",
    "ChangeState",
    "CheckKind",
    "GateReport",
    "Incident",
    "IncidentKind",
    "IncidentState",
    "Monitor",
    "MonitorRule",
    "Release",
    "Run",
    "RunStep",
    "Silence",
]

IncidentState = Literal["firing", "recovering", "resolved"]
IncidentKind = Literal["rate", "threshold", "propensity", "drift", "topic", "no_data", "manual"]
ChangeKind = Literal["rollback", "exemplar", "rule", "knowledge", "prompt", "finetune", "manual"]
CheckKind = Literal["exact", "contains", "similar", "regex", "json_schema", "embedding", "judge"]
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


class Monitor(Record, frozen=True):
    """One group of answers under watch, with the state of its sequential test.

    `rule` names the declared watch; "votes" is the one that is always there, on the negative votes of each version of a
    feature. `reference` is the rate of bad ones that counts as normal: None while it is learned from `learned_votes`.
    `votes` counts what was heard, whatever the metric. `life` holds what waits: since when an alarm is pending, how the
    incident recovers, when something was heard last.
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
    rule: Name = "votes"
    metric: Name = "vote"
    segment: Segments = {}
    life: State = {}


class MonitorRule(Record, frozen=True):
    """A watch declared through the API; `spec` holds the settings of `[monitors.NAME]` that differ from the default."""

    name: Name
    updated_at: Time
    spec: Spec = {}


class Silence(Record, frozen=True):
    """While it lasts, a rule (or only its groups of one feature) opens no incident; what it hears still counts."""

    id: Uuid
    rule: Name
    until: Time
    created_at: Time
    feature: Name | None = None
    reason: Text = ""


class Incident(Record, frozen=True):
    """What a monitor found: since when, on what evidence, and how it ended.

    `rule` names the declared watch ("votes": the one that is always there), `segment` the group of answers it is in.
    While `held` says why, nothing changes by itself: the incident is for people. `detail` holds numbers to plot; of
    kind "drift" what is new in the inputs: words, shares, ids of samples.
    """

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
    kind: IncidentKind = "rate"
    metric: Name = "vote"
    rule: Name = "votes"
    segment: Segments = {}
    held: Line = ""
    detail: State = {}
    resolved_at: Time | None = None
    resolution: Literal["verified", "manual", "superseded"] | None = None


class Release(Record, frozen=True):
    """A person's word that a correction which was set aside may be used after all."""

    feedback_id: Uuid
    released_at: Time


class Case(Record, frozen=True):
    """A golden example: an input, what a right output looks like, and how much it matters. Never used to build.

    `expected` is what `check` looks for: the words themselves (`exact`, `contains`; `similar`: at least 60% of them;
    `embedding`: their meaning, from a cosine of `likeness` on), a regular expression, a JSON schema, or what a judging
    model holds the output against. One that was retired is asked no more; it is kept, so that the correction it was
    made of makes no other.
    """

    id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    expected: Text
    check: CheckKind = "exact"
    severity: Literal["must_pass", "normal"] = "normal"
    incident_id: Uuid | None = None
    feedback_id: Uuid | None = None
    likeness: Annotated[float, Meta(gt=0, le=1)] | None = None
    retired_at: Time | None = None


class CaseAnswer(Record, frozen=True):
    """What a Version answered to a golden case, kept for a while: a gate that was cut off asks nothing twice.

    `runner` is the fingerprint of what was asked, "served" for what users got; `sample` counts repeats. `passed` is
    what a check without a judge found (none: it could not be decided), `opinion` what the judge of the fingerprint
    `judge` says, `ruling` what a person says. People's rulings are what a judge is measured by.
    """

    id: Uuid
    feature: Name
    case_id: Uuid
    version_id: Name
    runner: Name
    sample: int
    created_at: Time
    output: Text
    passed: bool | None = None
    judge: Name | None = None
    opinion: Literal["good", "bad", "unsure"] | None = None
    ruling: Literal["good", "bad"] | None = None
    ruled_at: Time | None = None


class CaseResult(Record, frozen=True):
    """How one case fared: whether the stable and the candidate Version passed it.

    One that is not `decided` counts as neither; what it says then is the opinion of a judge that may not decide.
    """

    case_id: Uuid
    target: bool
    stable_passed: bool
    candidate_passed: bool
    decided: bool = True


class GateReport(Record, frozen=True):
    """The gate's verdict with the numbers behind it (paired, on golden cases).

    `lower_bound` is the one-sided 95% bound on the change of the pass rate; `rules_out` the drop, as a share, that
    this many cases can rule out, and `proves` that in words. `undecided` of the cases count as broken where a pass is
    asked for and as fixed where a fail is. `judge` says how far the judging model is believed, where one was asked,
    and `shadow` how the candidate's answers to recent questions compare with those served: no verdict hears it.
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
    undecided: int = 0
    proves: Line = ""
    judge: State = {}
    shadow: State = {}
    results: list[CaseResult] = []


class Change(Record, frozen=True):
    """A candidate Version on its way: why it was made, what the gate said, how the rollout went, whether it helped."""

    id: Uuid
    feature: Name
    kind: ChangeKind
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


class RunStep(Record, frozen=True):
    """One step of a Run, written once: what it did, when, with which result (ids and counts, never texts)."""

    name: Name
    started_at: Time
    ended_at: Time
    detail: State = {}


class Run(Record, frozen=True):
    """One durable execution. `playbook` names the action that may change the feature; of a "notice" none does.

    `progress` holds the names of what is done beside (`effects`), and numbers of a long step under way: what it has
    tried and spent.
    """

    id: Uuid
    playbook: Name
    feature: Name
    state: Literal["running", "done", "failed", "cancelled"]
    started_at: Time
    incident_id: Uuid | None = None
    change_id: Uuid | None = None
    ended_at: Time | None = None
    error: Line = ""
    progress: State = {}
    steps: list[RunStep] = field(default_factory=list)
