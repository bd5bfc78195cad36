"""What votes do not say of a candidate: errors, time, money, refusals, and whether its traffic is what was meant.

Each measure is the coin of a trial's harm test (`NegativesShare`): of people who met a bad answer, how many had the
candidate? A bad answer is an error, a refusal, or one that took more than what nine in ten of the old version's took
before the trial, by a margin. Each person counts once per measure. Hard limits are plain thresholds on the candidate's
answers: they know no error rate, and are there because people have budgets.

After a promotion nobody has the old version to compare with, but for those who are held back: where there are some,
the tests go on against them. The hard limits go on day by day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from trimtab.act.guard.refusal import refuses
from trimtab.act.trial import NO_DATA, Decision
from trimtab.config import Canary
from trimtab.records import Change, Inference, Rollout, text_of
from trimtab.stats.share import NegativesShare, NegativesShareState, SampleRatioCheck, SampleRatioCheckState
from trimtab.store.ports import Vote

__all__ = ["SPLIT", "Guardrails", "bad_consumer", "limits_of", "seen_consumer", "unit_of", "weighed"]

SPLIT = "split"
"""What paused a change whose traffic is not split as meant."""

_USUAL = 0.9
_ENOUGH = 100  # answers, to know what is usual
_LEAST = 50  # answers, before a plain threshold is asked
_LATE = 0.05
_UNITS = 10_000  # people looked at per step: an imbalance of 5% shows in far fewer
_LAG = timedelta(minutes=1)  # an app may learn of a switch that late
_DAY = timedelta(days=1)
_CROSSED = 0.01  # of those who had the candidate
_SERVED = ("promoted", "verified")
_MET = {
    "error": "an error",
    "latency": "a slow answer",
    "cost": "a dear answer",
    "refusal": "a refusal",
    "length": "a long answer",
}


def seen_consumer(change_id: str, arm: str) -> str:
    """Return the name under which it is remembered who was served an arm, "stable" or "candidate", in a trial."""
    return f"{change_id}/seen/{arm}"


def bad_consumer(change_id: str, metric: str) -> str:
    """Return the name under which it is remembered who met an answer that is bad by this measure."""
    return f"{change_id}/bad/{metric}"


def unit_of(answer: Inference) -> str | None:
    """Return whom an arm sticks to: the user, else the session."""
    return answer.user_id or answer.session_id


def limits_of(answers: Iterable[Inference], version_id: str, margin: float) -> dict[str, float]:
    """Return, by measure, what counts as too much: the 90th percentile of the version's answers times 1 + margin.

    A measure that fewer than a hundred answers tell of has no limit, and is not tested.
    """
    mine = [answer for answer in answers if answer.version_id == version_id and answer.error is None]
    limits: dict[str, float] = {}
    for metric in ("latency", "cost", "length"):
        told = sorted(value for answer in mine if (value := _measured(metric, answer)) is not None)
        if len(told) >= _ENOUGH:
            limits[metric] = told[math.ceil(_USUAL * len(told)) - 1] * (1.0 + margin)
    return limits


def weighed(votes: Decision, guard: Decision | None) -> Decision:
    """Return which decision holds: to take back before to pause, and neither step nor proof where nothing is heard."""
    if guard is None or votes.verb == "roll_back":
        return votes
    if guard.verb == "stay" and votes.verb in ("pause", "verify"):
        return votes
    return guard


class Guardrails:
    """The guardrails of one change in front of users. Feed it answers in order, ask `decide`, take `change` back."""

    def __init__(self, change: Change, canary: Canary) -> None:
        self._change = change
        self._settings = canary
        told: dict[str, Any] = change.canary.get("guardrails", {})
        self._limits: dict[str, float] = told.get("limits", {})
        alpha = canary.false_alarm_rate / 2 / max(len(canary.guardrails), 1)
        tests: dict[str, NegativesShareState] = told.get("tests", {})
        self._tests = {
            metric: NegativesShare.from_state(tests[metric]) if metric in tests else NegativesShare(alpha=alpha)
            for metric in canary.guardrails
        }
        self._resumed: str | None = change.canary.get("resumed_at")
        same = "split" in told and told.get("split_since") == self._resumed  # a person who resumes has looked at it
        split = cast("SampleRatioCheckState", told["split"]) if same else None
        self._split = SampleRatioCheck.from_state(split) if split else SampleRatioCheck()
        self._looked: dict[str, int] = told.get("looked", {})
        self._crossed: int = told.get("crossed", 0)
        self._tally: dict[str, Any] = told.get("tally", {})
        self._heard_at: str | None = told.get("heard_at")
        self._fresh: dict[tuple[str, str], datetime] = {}
        self._moved = False

    @property
    def votes(self) -> list[Vote]:
        """Whom this batch counted, and when."""
        return [Vote(consumer, unit, at) for (consumer, unit), at in self._fresh.items()]

    @property
    def change(self) -> Change:
        """The change with everything counted so far."""
        if not self._moved:
            return self._change
        told = {
            "limits": self._limits,
            "tests": {metric: dict(test.state()) for metric, test in self._tests.items()},
            "split": dict(self._split.state()),
            "split_since": self._resumed,
            "looked": self._looked,
            "crossed": self._crossed,
            "tally": self._tally,
            "heard_at": self._heard_at,
        }
        return msgspec.structs.replace(self._change, canary={**self._change.canary, "guardrails": told})

    @property
    def moved(self) -> bool:
        """Say whether there is anything new to keep."""
        return self._moved

    @property
    def wants_limits(self) -> bool:
        """Say whether what is usual has yet to be read."""
        return "guardrails" not in self._change.canary

    def limit(self, limits: Mapping[str, float]) -> None:
        """Fix what counts as too much. Called once, with what was usual before the trial."""
        self._limits = dict(limits)
        self._moved = True

    def take(
        self, answers: Sequence[Inference], rollout: Rollout, counted: Mapping[str, Mapping[str, datetime]]
    ) -> None:
        """Count answers; `counted` holds, by consumer, when each person was counted before this batch."""
        for answer in answers:
            arm = self._arm(answer)
            if arm is None:
                continue
            self._moved = True
            new = arm == "candidate"
            if new:
                self._add(answer)
            unit, share = unit_of(answer), self._share(answer, rollout)
            if unit is None or not 0.0 < share < 1.0:
                continue
            if self._change.state not in _SERVED:
                self._see(unit, answer, share, arm, counted)
            for metric, test in self._tests.items():
                consumer = bad_consumer(self._change.id, metric)
                if self._is_bad(metric, answer) and not self._last(consumer, unit, counted):
                    test.update(new, share)
                    self._fresh[consumer, unit] = answer.created_at

    def bad_in(self, answers: Iterable[Inference]) -> dict[str, set[str]]:
        """Return, by measure, who met a bad answer: of these `take` must know whether they were counted."""
        found: dict[str, set[str]] = {metric: set() for metric in self._tests}
        for answer in answers:
            unit = unit_of(answer)
            for metric in self._tests:
                if unit is not None and self._is_bad(metric, answer):
                    found[metric].add(unit)
        return found

    def decide(self, rollout: Rollout, now: datetime) -> Decision | None:
        """Say what the guardrails call for, whatever votes say: None where they call for nothing."""
        worst = next((metric for metric, test in self._tests.items() if test.harmful), None)
        if worst is not None:
            test = self._tests[worst]
            reason = (
                f"guardrail {worst}: {test.canary} of {test.n} people who met {_MET[worst]} had the candidate "
                f"(evidence {test.e_value:.0f} to 1 for harm)"
            )
            return Decision("roll_back", 0.0, reason, by=worst)
        if (over := self._over()) is not None:
            return Decision("roll_back", 0.0, f"guardrail {over[0]}: {over[1]}", by=over[0])
        if self._change.state != "canary":
            return None
        if self._split.mismatch:
            had = f"{self._split.canary} of {self._split.n} people were served the candidate first"
            reason = f"traffic is not split as meant ({rollout.share:.0%} now): {had}; the arms cannot be compared"
            return Decision("pause", rollout.share, reason, by=SPLIT)
        new = self._looked.get("candidate", 0)
        if self._crossed >= _LEAST and self._crossed > _CROSSED * new:
            reason = f"{self._crossed} of {new} people who had the candidate were served the old version afterwards"
            return Decision("pause", rollout.share, f"{reason}; the arms cannot be compared", by=SPLIT)
        return self._silence(rollout, now)

    def _silence(self, rollout: Rollout, now: datetime) -> Decision | None:
        """Say that nothing goes on while nothing is heard of the candidate."""
        since = cast("datetime", self._change.step_at)
        if self._heard_at is not None:
            since = max(since, datetime.fromisoformat(self._heard_at))
        if rollout.share <= 0.0 or now - since < timedelta(hours=self._settings.no_data_hours):
            return None
        reason = f"{NO_DATA}no answer of the candidate for {(now - since) / timedelta(hours=1):.0f} h; nothing goes on"
        return Decision("stay", rollout.share, reason)

    def _arm(self, answer: Inference) -> str | None:
        """Return which side an answer is on, None for neither."""
        change, since = self._change, self._change.exposed_at
        if change.state in _SERVED:
            since = change.promoted_at
            if answer.arm == "holdback":
                return "stable" if since is not None and answer.created_at >= since else None
        if since is None or answer.created_at < since or answer.arm == "holdback":
            return None
        if answer.version_id == change.candidate_version_id:
            return "candidate"
        return "stable" if answer.version_id == change.base_version_id and change.promoted_at is None else None

    def _share(self, answer: Inference, rollout: Rollout) -> float:
        """Return the candidate's share of people when an answer was served; 1 where there is nobody beside it."""
        if self._change.state in _SERVED:
            return 1.0 - rollout.holdback_share if rollout.holdback_version_id is not None else 1.0
        share = 0.0
        for at, value in self._change.canary.get("steps", []):
            if datetime.fromisoformat(at) <= answer.created_at:
                share = float(value)
        return share

    def _see(
        self, unit: str, answer: Inference, share: float, arm: str, counted: Mapping[str, Mapping[str, datetime]]
    ) -> None:
        """Count whom an arm was served to for the first time, and who went back."""
        change_id, at = self._change.id, answer.created_at
        new, old = seen_consumer(change_id, "candidate"), seen_consumer(change_id, "stable")
        had, had_old = self._last(new, unit, counted), self._last(old, unit, counted)
        if had is None and had_old is None:
            steps = str(len(self._change.canary.get("steps", [])))
            if self._looked.get(steps, 0) >= _UNITS:
                return
            self._looked = {**self._looked, steps: self._looked.get(steps, 0) + 1}
            self._split.update(arm == "candidate", share)
        if arm == "candidate" and had is None:
            self._looked = {**self._looked, "candidate": self._looked.get("candidate", 0) + 1}
            self._fresh[new, unit] = at
        elif arm == "stable" and had_old is None:
            self._fresh[old, unit] = at
        crossed = seen_consumer(change_id, "crossed")
        if arm == "stable" and had is not None and at > had + _LAG and not self._last(crossed, unit, counted):
            self._crossed += 1
            self._fresh[crossed, unit] = at

    def _add(self, answer: Inference) -> None:
        """Add one of the candidate's answers to the sums that the hard limits look at."""
        tally, since = self._tally, self._tally.get("since")
        state = self._change.state
        if (
            since is None
            or tally["state"] != state
            or (state in _SERVED and answer.created_at - datetime.fromisoformat(since) >= _DAY)
        ):
            tally = dict.fromkeys(("answers", "errors", "timed", "late", "costed", "cost"), 0)
            tally |= {"since": answer.created_at.isoformat(), "state": state}
        late = answer.latency_ms is not None and answer.latency_ms > self._settings.max_latency_p95_ms
        self._tally = {
            **tally,
            "answers": tally["answers"] + 1,
            "errors": tally["errors"] + (answer.error is not None),
            "timed": tally["timed"] + (answer.latency_ms is not None),
            "late": tally["late"] + late,
            "costed": tally["costed"] + (answer.cost_usd is not None),
            "cost": tally["cost"] + (answer.cost_usd or 0.0),
        }
        at = answer.created_at.isoformat()
        if self._heard_at is None or datetime.fromisoformat(self._heard_at) < answer.created_at:
            self._heard_at = at

    def _over(self) -> tuple[str, str] | None:
        """Return the hard limit that is passed, and by how much."""
        tally, settings = self._tally, self._settings
        if not tally:
            return None
        answers, timed, costed = tally["answers"], tally["timed"], tally["costed"]
        if answers >= _LEAST and tally["errors"] > settings.max_error_rate * answers:
            share = tally["errors"] / answers
            return "error", f"{share:.1%} of {answers} answers failed, at most {settings.max_error_rate:.1%} may"
        if settings.max_latency_p95_ms and timed >= _LEAST and tally["late"] > _LATE * timed:
            late = f"{tally['late']} of {timed} answers took more than {settings.max_latency_p95_ms:g} ms"
            return "latency", f"{late}, at most {_LATE:.0%} may"
        if settings.max_cost_usd and costed >= _LEAST and tally["cost"] > settings.max_cost_usd * costed:
            mean = tally["cost"] / costed
            return "cost", f"an answer costs {mean:.4g} USD, at most {settings.max_cost_usd:g} may be spent"
        return None

    def _is_bad(self, metric: str, answer: Inference) -> bool:
        if metric == "error":
            return answer.error is not None
        if metric == "refusal":
            return answer.output is not None and refuses(text_of(answer.output))
        told, limit = _measured(metric, answer), self._limits.get(metric)
        return told is not None and limit is not None and told > limit

    def _last(self, consumer: str, unit: str, counted: Mapping[str, Mapping[str, datetime]]) -> datetime | None:
        return self._fresh.get((consumer, unit)) or counted.get(consumer, {}).get(unit)


def _measured(metric: str, answer: Inference) -> float | None:
    if metric == "latency":
        return answer.latency_ms
    if metric == "cost":
        return answer.cost_usd
    return float(len(text_of(answer.output))) if answer.output is not None else None
