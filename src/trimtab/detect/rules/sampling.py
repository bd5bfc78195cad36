"""From answers and judgements to what a watch hears: 1 is bad, 0 is not, None says nothing of this metric."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from trimtab.config import WatchRule
from trimtab.detect.traits import Traits
from trimtab.detect.watch import Sample
from trimtab.records import Inference, Outcome

__all__ = [
    "NONE",
    "OTHER",
    "group_of_answer",
    "group_of_outcome",
    "heard_in_answer",
    "heard_in_input",
    "heard_in_outcome",
    "heard_in_vote",
]

NONE = "(none)"
"""The value of a grouping for answers that have none."""
OTHER = "(other)"
"""The value of groups that came when the watch had `max_groups` of them."""
_JUDGED_ELSEWHERE = ("candidate", "holdback")


def heard_in_vote(outcome: Outcome) -> Sample | None:
    """Return a person's vote on an answer, at the moment it was said."""
    if outcome.withdrawn or outcome.vote is None or outcome.voted_at is None or outcome.arm in _JUDGED_ELSEWHERE:
        return None
    return Sample(outcome.vote, outcome.voter_id or "", outcome.voted_at)


def heard_in_answer(spec: WatchRule, answer: Inference) -> Sample | None:
    """Return what an answer itself says: an error, or more time or money than the limit."""
    if answer.arm in _JUDGED_ELSEWHERE:
        return None
    who, at = answer.user_id or "", answer.created_at
    if spec.metric == "error":
        return Sample(float(answer.error is not None), who, at)
    told = answer.latency_ms if spec.metric == "latency" else answer.cost_usd
    return None if told is None or spec.limit is None else Sample(float(told > spec.limit), who, at)


def heard_in_input(answer: Inference, traits: Traits) -> Sample:
    """Return what was asked, whichever version answered."""
    return Sample(0.0, answer.user_id or "", answer.created_at, traits)


def heard_in_outcome(spec: WatchRule, answer: Inference, outcome: Outcome | None) -> Sample | None:
    """Return what became of an answer that had its time; silence is an answer without the signal."""
    if answer.arm in _JUDGED_ELSEWHERE:
        return None
    who, at = answer.user_id or "", answer.created_at
    if spec.metric == "outcome":
        return Sample(outcome.p_bad, who, at) if outcome is not None else None
    kind = spec.metric.removeprefix("feedback.")
    seen = outcome is not None and any(item.kind == kind for item in outcome.evidence)
    return Sample(float(seen), who, at)


def group_of_outcome(spec: WatchRule, outcome: Outcome) -> dict[str, str]:
    """Return the group of a judged answer."""
    return {key: _version(outcome.version_id) if key == "version" else _in(outcome, key) for key in spec.group_by}


def group_of_answer(spec: WatchRule, answer: Inference, outcome: Outcome | None) -> dict[str, str]:
    """Return the group of an answer; its segments are known where it is judged."""
    found = {}
    for key in spec.group_by:
        if key == "version":
            found[key] = _version(answer.version_id)
        elif key == "model":
            found[key] = answer.model or NONE
        elif key.startswith("tags."):
            found[key] = answer.tags.get(key.removeprefix("tags."), NONE)
        else:
            found[key] = _in(outcome, key) if outcome is not None else NONE
    return found


def is_mature(spec: WatchRule, created_at: datetime, now: datetime) -> bool:
    """Say whether an answer has had its time."""
    return (now - created_at).total_seconds() >= spec.maturity_hours * 3600


def _version(version_id: str | None) -> str:
    return version_id or NONE


def _in(outcome: Outcome, key: str) -> str:
    segments: Mapping[str, str] = outcome.segments
    return segments.get(key, NONE)
