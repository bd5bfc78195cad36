"""What the engine makes of answers: opinions, outcomes, and what they are calibrated on."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trimtab.records.field import (
    Arm,
    FeedbackKind,
    Identifier,
    Line,
    Name,
    Payload,
    Record,
    Segments,
    Signal,
    Source,
    State,
    Text,
    Tier,
    Time,
    Uuid,
)

__all__ = ["AuditItem", "Calibration", "Correction", "Evidence", "Opinion", "Outcome", "User"]


class Opinion(Record, frozen=True):
    """The latest word of one person, of one kind, on one inference."""

    inference_id: Uuid
    feedback_id: Uuid
    kind: FeedbackKind
    source: Source
    created_at: Time
    user_id: Identifier | None = None
    value: float | None = None
    best: float | None = None
    retracted: bool = False


class Evidence(Record, frozen=True):
    """One signal behind an Outcome: `x` is what it says alone (1 = bad).

    A word (a vote, a correction) has the `share` it counted for in the verdict. A hint (copying, asking again, thanks)
    adds `weight` to the log-odds of bad, which a word overrides. `value` is the measure behind a hint: likeness,
    distance or seconds; `turn_id` the later answer of the session in which it was heard.
    """

    kind: Signal
    x: float
    weight: float = 0.0
    share: float | None = None
    feedback_id: Uuid | None = None
    turn_id: Uuid | None = None
    value: float | None = None


class Outcome(Record, frozen=True):
    """The fused judgement of one inference: P(bad) with its confidence and why.

    `log_odds` is what the hints alone say, the base included; `p_bad` follows it unless somebody said outright. `vote`
    is what the people who used the answer said themselves (mean, 1 = bad), None while nobody did; `voter_id` and
    `voted_at` are the person and the moment of the latest such word. Monitors and canaries count votes, not p_bad.
    `estimate` is P(bad) with the words of reviewers and judges left out: what the audit is compared with.
    `calibrated` says whether the audit vouches for hints' weights (`calibration_id`); else they trigger nothing.
    `withdrawn`: nothing that was said or done speaks of the answer any more, so this revision takes the judgement back.
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
    log_odds: float | None = None
    estimate: Annotated[float, Meta(ge=0, le=1)] | None = None
    calibrated: bool = False
    calibration_id: Uuid | None = None
    segments: Segments = {}
    withdrawn: bool = False


class User(Record, frozen=True):
    """What is known of a user beside what they said: the groups they belong to. The latest `updated_at` holds."""

    id: Identifier
    updated_at: Time
    plan: Identifier | None = None
    locale: Identifier | None = None
    tenant: Identifier | None = None
    properties: dict[Name, Text] = {}


class Calibration(Record, frozen=True):
    """What one feature's signals count for: a table of weights, fitted to its votes, its level set by its audit.

    `weights` are log-odds by signal, `base` the log-odds of bad where no signal was seen. `auc` and `ece` (10 bins) are
    measured on the audited answers, None while there are none. `calibrated` once the audit is large and
    the error small.
    """

    id: Uuid
    feature: Name
    created_at: Time
    base: float
    weights: State
    votes: int = 0
    audited: int = 0
    auc: float | None = None
    ece: float | None = None
    calibrated: bool = False
    reason: Line = ""


class AuditItem(Record, frozen=True):
    """An answer drawn at random for a person to judge: what calibrates outcomes. Its label is a reviewer's feedback.

    `inclusion` is the probability with which it was drawn; null where nobody wrote it down.
    """

    inference_id: Uuid
    feature: Name
    created_at: Time
    drawn_at: Time
    version_id: Name | None = None
    inclusion: Annotated[float, Meta(ge=0, le=1)] | None = None


class Correction(Record, frozen=True):
    """A right answer given by a person, beside what the feature had said; redacted like all that is stored."""

    feedback_id: Uuid
    inference_id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    corrected: Text
    source: Source
    version_id: Name | None = None
    rejected: Payload | None = None
    user_id: Identifier | None = None
    author_id: Identifier | None = None
