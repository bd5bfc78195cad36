"""A change on trial: live votes decide whether its candidate takes more users, everyone, or nobody.

Two tests run on the same votes. Harm: whose first negative vote is it, canary's or stable's (`NegativesShare`)? Each
person counts once, so the chance that the next new one sits in the canary is exactly the share in force when they were
served. Help: do votes on the new version lie below what opened the incident (`VerifiedFix`)?
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, cast

import msgspec

from trimtab.config import Canary, Verification
from trimtab.records import Change, Incident, Outcome, Rollout
from trimtab.stats.interval import clopper_pearson_lower
from trimtab.stats.share import NegativesShare, NegativesShareState
from trimtab.stats.verification import VerifiedFix, VerifiedFixState
from trimtab.store.ports import Vote

__all__ = ["Decision", "Trial", "harm_consumer", "help_consumer"]

_PROVEN = 0.8


def harm_consumer(change_id: str) -> str:
    """Return the name under which the harm test remembers whom it counted."""
    return f"{change_id}/harm"


def help_consumer(change_id: str) -> str:
    """Return the name under which the verification remembers whom it counted."""
    return f"{change_id}/help"


class Decision(NamedTuple):
    """What a trial calls for now: the verb, the share that goes with it, and why, in one line."""

    verb: Literal["stay", "step", "promote", "roll_back", "pause", "verify"]
    share: float
    reason: str


class Trial:
    """The running form of a Change that is in front of users. Feed it votes, ask what to do, take `change` back."""

    def __init__(
        self, change: Change, incident: Incident | None, canary: Canary, verification: Verification, window_hours: float
    ) -> None:
        self._change = change
        self._settings = canary
        self._window = timedelta(hours=window_hours)
        held = change.canary.get("harm")
        self._harm = (
            NegativesShare.from_state(cast("NegativesShareState", held))
            if held
            else NegativesShare(alpha=canary.false_alarm_rate)
        )
        self._help: VerifiedFix | None = None
        if change.verification:
            self._help = VerifiedFix.from_state(cast("VerifiedFixState", change.verification))
        elif incident is not None and (rate := _proven_rate(incident)) > incident.reference:
            self._help = VerifiedFix.between(
                incident_rate=rate, reference_rate=incident.reference, alpha=verification.false_alarm_rate
            )
        self._fresh: dict[tuple[str, str], datetime] = {}

    @property
    def votes(self) -> list[Vote]:
        """Whom this batch counted, and when last: what the next one must know."""
        return [Vote(consumer, voter, at) for (consumer, voter), at in self._fresh.items()]

    @property
    def change(self) -> Change:
        """The change with everything counted so far."""
        trial = {**self._change.canary, "harm": dict(self._harm.state())}
        verification = dict(self._help.state()) if self._help else {}
        return msgspec.structs.replace(self._change, canary=trial, verification=verification)

    def take(self, outcome: Outcome, counted: Mapping[str, Mapping[str, datetime]]) -> None:
        """Count one vote on an answer served since the candidate was exposed.

        `counted` holds, by consumer, when each person was last counted before this batch.
        """
        vote, voter, voted_at = outcome.vote, outcome.voter_id, outcome.voted_at
        exposed_at = self._change.exposed_at
        if vote is None or voter is None or voted_at is None or exposed_at is None or outcome.created_at < exposed_at:
            return
        if outcome.arm == "holdback":  # may be the base version, and is beside the share that the candidate has
            return
        from_canary = outcome.version_id == self._change.candidate_version_id
        if not from_canary and outcome.version_id != self._change.base_version_id:
            return
        consumer = harm_consumer(self._change.id)
        if vote > 0.5 and self._change.state in ("canary", "paused") and not self._last(consumer, voter, counted):
            share = self._share_at(outcome.created_at)
            if 0.0 < share < 1.0:
                self._harm.update(from_canary, share)
                self._fresh[consumer, voter] = voted_at
        consumer = help_consumer(self._change.id)
        if from_canary and self._help is not None:
            last = self._last(consumer, voter, counted)
            if last is None or voted_at >= last + self._window:
                self._help.update(vote)
                self._fresh[consumer, voter] = voted_at

    def decide(self, rollout: Rollout, exposures: int, now: datetime) -> Decision:
        """Say what the evidence calls for. `exposures` are the candidate's served answers since the step began."""
        change = self._change
        if change.state == "promoted":
            helped = self._help is not None and self._help.verified
            return Decision("verify" if helped else "stay", 1.0, "votes lie below the incident's midpoint")
        if self._harm.harmful:
            reason = (
                f"{self._harm.canary} of {self._harm.n} people who voted no had the candidate "
                f"(evidence {self._harm.e_value:.0f} to 1 for harm)"
            )
            return Decision("roll_back", 0.0, reason)
        if change.state == "paused" and change.canary.get("paused_by") == "hand":
            return Decision("stay", rollout.share, change.reason)
        return self._advance(rollout, exposures, now)

    def _advance(self, rollout: Rollout, exposures: int, now: datetime) -> Decision:
        settings, change = self._settings, self._change
        exposed_at, step_at = cast("datetime", change.exposed_at), cast("datetime", change.step_at)
        ripe = now - step_at >= timedelta(hours=settings.step_hours) and exposures >= settings.step_exposures
        larger = [share for share in settings.steps if share > rollout.share]
        if ripe and larger and change.state == "canary":
            return Decision("step", larger[0], f"{exposures} answers at {rollout.share:.0%} without harm shown")
        proof = self._proof() if not larger and (ripe or change.state == "paused") else ""
        if proof:
            return Decision("promote", 1.0, proof)
        began = datetime.fromisoformat(change.canary.get("resumed_at") or exposed_at.isoformat())
        if change.state == "paused" or now - began < timedelta(hours=settings.horizon_hours):
            return Decision("stay", rollout.share, change.reason)
        upper = self._harm.rate_ratio_upper(settings.false_alarm_rate)
        known = f"negative votes up to {upper:.2f} times stable's" if upper < 1e9 else "too few negative votes to bound"
        reason = f"inconclusive after {settings.horizon_hours:.0f} h: {known}, no harm shown"
        return Decision("promote" if settings.inconclusive == "ship" else "pause", rollout.share, reason)

    def _proof(self) -> str:
        """Return what live votes have proven in the candidate's favour, or nothing yet.

        Either suffices: beside stable it is not worse by more than the margin, and golden cases say that it mends what
        it was made for; or on its own votes it lies below the midpoint between what opened the incident and what is
        normal. Not worse alone is no reason to change: votes that know nothing of the answers say it of anything.
        """
        upper = self._harm.rate_ratio_upper(self._settings.false_alarm_rate)
        if _mends(self._change) and upper <= 1.0 + self._settings.harm_margin:
            return f"negative votes at most {upper:.2f} times those of stable"
        if self._help is not None and self._help.verified:
            return f"negative votes proven below {self._help.p_v:.1%}, the midpoint of incident and normal"
        return ""

    def _last(self, consumer: str, voter: str, counted: Mapping[str, Mapping[str, datetime]]) -> datetime | None:
        return self._fresh.get((consumer, voter)) or counted.get(consumer, {}).get(voter)

    def _share_at(self, when: datetime) -> float:
        """Return the share in force when an answer was served."""
        share = 0.0
        steps: list[list[Any]] = self._change.canary.get("steps", [])
        for at, value in steps:
            if datetime.fromisoformat(at) <= when:
                share = value
        return float(share)


def _proven_rate(incident: Incident) -> float:
    """Return the rate of negatives that the incident's votes vouch for: their one-sided 80% lower bound.

    The observed rate was read at the moment it looked worst; against its midpoint an unchanged version would pass too.
    """
    return clopper_pearson_lower(incident.negatives, incident.events, _PROVEN)


def _mends(change: Change) -> bool:
    """Say whether golden cases show half of what failed mended; a change made by hand stands for itself."""
    if change.gate is None:
        return True
    failing = sum(result.target and not result.stable_passed for result in change.gate.results)
    return 0 < failing <= 2 * change.gate.targets_fixed
