"""A change on trial: live votes decide whether its candidate takes more users, everyone, or nobody.

Two tests run on the same votes. Harm: whose first negative vote is it, canary's or stable's (`NegativesShare`)? Each
person counts once, so the chance that the next new one sits in the canary is exactly the share in force when they were
served. Help: do votes on the new version lie below what opened the incident (`VerifiedFix`)?

Whoever wrote a correction that the candidate was made from or is judged by is not heard: their word is in it already.
And whatever would serve the candidate to everyone must hold as well among the people who were known before the trial,
and had been pleased with an answer at least once, where there are enough of them: accounts made for the occasion, or
that only ever say no, do not decide. Both groups are fixed before the trial begins, so in each the coin stays exactly
the share.

A third test listens to votes on answers that the change cannot have touched. There both arms are one product: where
stable collects more than its share of those negatives, people vote on the version, not on the answer, and their votes
serve it to nobody (a negative control: Lipsitch, Tchetgen Tchetgen, Cohen 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import msgspec

from trimtab.config import Canary, Verification
from trimtab.records import Change, Incident, Outcome, Rollout
from trimtab.stats.interval import clopper_pearson_lower
from trimtab.stats.share import NegativesShare, NegativesShareState
from trimtab.stats.verification import VerifiedFix, VerifiedFixState
from trimtab.store.ports import Vote

__all__ = [
    "NO_DATA",
    "Decision",
    "Trial",
    "author_consumer",
    "control_consumer",
    "harm_consumer",
    "help_consumer",
    "people_consumer",
]

NO_DATA = "no data: "
"""How the reason of a change begins of whose candidate nothing is heard."""

_PROVEN = 0.8
_HELD = "held: "
_BRIGADE = 2.0  # what 20% of voters, all hostile, make of it where a quarter of the others say no; more where fewer do
_STRICTER = 5.0  # how much surer the known must be: where the others are hostile, theirs is the only word


def harm_consumer(change_id: str) -> str:
    """Return the name under which the harm test remembers whom it counted."""
    return f"{change_id}/harm"


def help_consumer(change_id: str) -> str:
    """Return the name under which the verification remembers whom it counted."""
    return f"{change_id}/help"


def people_consumer(change_id: str) -> str:
    """Return the name under which a trial remembers who was heard in it."""
    return f"{change_id}/people"


def author_consumer(change_id: str) -> str:
    """Return the name under which it is remembered who wrote the corrections that a change rests on."""
    return f"{change_id}/author"


def control_consumer(change_id: str) -> str:
    """Return the name under which it is remembered who said no to an answer that the change had not touched."""
    return f"{change_id}/control"


class Decision(NamedTuple):
    """What a trial calls for now: the verb, the share that goes with it, and why, in one line.

    `held`: everyone's votes call for more than those of the people known before the trial bear out. `by` names the
    measure that took a candidate back ("vote" for votes), or what paused it.
    """

    verb: Literal["stay", "step", "promote", "roll_back", "pause", "verify"]
    share: float
    reason: str
    held: bool = False
    by: str = ""


class Panel:
    """The tests on the votes of one group of people, and how many they were. `control` hears stable as the canary."""

    def __init__(
        self, harm: NegativesShare, help_: VerifiedFix | None, control: NegativesShare, people: int = 0
    ) -> None:
        self.harm = harm
        self.help = help_
        self.control = control
        self.people = people

    @property
    def helped(self) -> bool:
        """Say whether votes on the new version are proven to lie below the midpoint."""
        return self.help is not None and self.help.verified

    def upper(self, alpha: float) -> float:
        """Return how many times stable's rate of negative votes the candidate's is at most."""
        return self.harm.rate_ratio_upper(alpha)


class Trial:
    """The running form of a Change that is in front of users. Feed it votes, ask what to do, take `change` back."""

    def __init__(
        self, change: Change, incident: Incident | None, canary: Canary, verification: Verification, window_hours: float
    ) -> None:
        self._change = change
        self._settings = canary
        self._window = timedelta(hours=window_hours)
        trial = change.canary
        fix: VerifiedFix | None = None
        if incident is not None and (rate := _proven_rate(incident)) > incident.reference:
            fix = VerifiedFix.between(
                incident_rate=rate, reference_rate=incident.reference, alpha=verification.false_alarm_rate
            )
        self._all = _panel({**trial, "help": change.verification}, fix, canary)
        self._known = _panel(trial.get("known", {}), fix, canary)
        self._group = _group_of(incident)
        self._authors: int = trial.get("authors", 0)
        self._fresh: dict[tuple[str, str], datetime] = {}

    @property
    def votes(self) -> list[Vote]:
        """Whom this batch counted, and when last: what the next one must know."""
        return [Vote(consumer, voter, at) for (consumer, voter), at in self._fresh.items()]

    @property
    def change(self) -> Change:
        """The change with everything counted so far."""
        every, known = self._all, self._known
        trial = {
            **self._change.canary,
            "harm": dict(every.harm.state()),
            "control": dict(every.control.state()),
            "people": every.people,
            "authors": self._authors,
            "known": {
                "harm": dict(known.harm.state()),
                "control": dict(known.control.state()),
                "help": dict(known.help.state()) if known.help else {},
                "people": known.people,
            },
        }
        verification = dict(every.help.state()) if every.help else {}
        return msgspec.structs.replace(self._change, canary=trial, verification=verification)

    def take(
        self,
        outcome: Outcome,
        counted: Mapping[str, Mapping[str, datetime]],
        *,
        pleased: Mapping[str, datetime] | None = None,
        untouched: bool = False,
    ) -> None:
        """Count one vote on an answer served since the candidate was exposed.

        `counted` holds, by consumer, when each person was last counted before this batch. `pleased` says when each was
        first pleased with an answer of the feature; without it everyone counts as known before the trial. `untouched`:
        both versions answer this input alike.
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
        is_author = voter in counted.get(author_consumer(self._change.id), {})
        known = pleased is None or (voter in pleased and pleased[voter] < exposed_at - self._window)
        panels = [self._all, self._known] if known else [self._all]
        consumer = people_consumer(self._change.id)
        if not self._last(consumer, voter, counted):
            self._fresh[consumer, voter] = voted_at
            self._authors += is_author
            for panel in () if is_author else panels:
                panel.people += 1
        if not is_author:
            self._count(panels, outcome, counted, vote, voter, voted_at, from_canary)
        if untouched and not is_author and vote > 0.5:
            self._count_control(panels, outcome, counted, voter, voted_at, from_canary)

    def _count(
        self,
        panels: list[Panel],
        outcome: Outcome,
        counted: Mapping[str, Mapping[str, datetime]],
        vote: float,
        voter: str,
        voted_at: datetime,
        from_canary: bool,  # noqa: FBT001  one vote's facts
    ) -> None:
        consumer = harm_consumer(self._change.id)
        if vote > 0.5 and self._change.state in ("canary", "paused") and not self._last(consumer, voter, counted):
            share = self._share_at(outcome.created_at)
            if 0.0 < share < 1.0:
                for panel in panels:
                    panel.harm.update(from_canary, share)
                self._fresh[consumer, voter] = voted_at
        consumer = help_consumer(self._change.id)
        if from_canary and self._all.help is not None and self._is_about(outcome):
            last = self._last(consumer, voter, counted)
            if last is None or voted_at >= last + self._window:
                for panel in panels:
                    if panel.help is not None:
                        panel.help.update(vote)
                self._fresh[consumer, voter] = voted_at

    def _is_about(self, outcome: Outcome) -> bool:
        """Say whether an answer is of the group whose rate opened the incident: others were never that bad."""
        return all(outcome.segments.get(key) == value for key, value in self._group.items())

    def _count_control(
        self,
        panels: list[Panel],
        outcome: Outcome,
        counted: Mapping[str, Mapping[str, datetime]],
        voter: str,
        voted_at: datetime,
        from_canary: bool,  # noqa: FBT001  one vote's facts
    ) -> None:
        consumer, share = control_consumer(self._change.id), self._share_at(outcome.created_at)
        if self._change.state not in ("canary", "paused") or not 0.0 < share < 1.0:
            return
        if not self._last(consumer, voter, counted):
            for panel in panels:
                panel.control.update(not from_canary, 1.0 - share)
            self._fresh[consumer, voter] = voted_at

    def decide(self, rollout: Rollout, exposures: int, now: datetime) -> Decision:
        """Say what the evidence calls for. `exposures` are the candidate's served answers since the step began."""
        change, harm = self._change, self._all.harm
        if change.state == "promoted":
            return self._verify()
        if harm.harmful or self._known.harm.harmful:
            worst = harm if harm.harmful else self._known.harm
            reason = (
                f"{worst.canary} of {worst.n} people who voted no had the candidate "
                f"(evidence {worst.e_value:.0f} to 1 for harm)"
            )
            return Decision("roll_back", 0.0, reason, by="vote")
        if change.state == "paused" and change.canary.get("paused_by"):
            return Decision("stay", rollout.share, change.reason)
        return self._advance(rollout, exposures, now)

    def _verify(self) -> Decision:
        if not self._all.helped:
            return Decision("stay", 1.0, self._change.reason)
        if self._enough_known and not self._known.helped:
            return Decision("stay", 1.0, self._rests_on(), held=True)
        return Decision("verify", 1.0, "votes lie below the incident's midpoint")

    def _advance(self, rollout: Rollout, exposures: int, now: datetime) -> Decision:
        settings, change = self._settings, self._change
        exposed_at, step_at = cast("datetime", change.exposed_at), cast("datetime", change.step_at)
        ripe = now - step_at >= timedelta(hours=settings.step_hours) and exposures >= settings.step_exposures
        larger = [share for share in settings.steps if share > rollout.share]
        if ripe and larger and change.state == "canary":
            return Decision("step", larger[0], f"{exposures} answers at {rollout.share:.0%} without harm shown")
        proof = self._proof() if not larger and (ripe or change.state == "paused") else ""
        doubt = self._doubt() if proof else ""
        if proof and not doubt:
            return Decision("promote", 1.0, proof)
        began = datetime.fromisoformat(change.canary.get("resumed_at") or exposed_at.isoformat())
        if change.state == "paused" or now - began < timedelta(hours=settings.horizon_hours):
            stale = change.reason.startswith((_HELD, NO_DATA)) and change.state == "canary"
            said = "" if stale else change.reason
            return Decision("stay", rollout.share, doubt or said, held=bool(doubt))
        upper = self._all.upper(settings.false_alarm_rate)
        bound = f"negative votes up to {upper:.2f} times stable's" if upper < 1e9 else "too few negative votes to bound"
        reason = doubt or f"inconclusive after {settings.horizon_hours:.0f} h: {bound}, no harm shown"
        if self._authors:
            reason += f"; {self._authors} people whose corrections it rests on were not heard"
        ships = settings.inconclusive == "ship" and not doubt
        return Decision("promote" if ships else "pause", rollout.share, reason, held=bool(doubt))

    def _proof(self) -> str:
        """Return what live votes have proven in the candidate's favour, or nothing yet.

        Either suffices: beside stable it is not worse by more than the margin, and golden cases say that it mends what
        it was made for; or on its own votes it lies below the midpoint between what opened the incident and what is
        normal. Not worse alone is no reason to change: votes that know nothing of the answers say it of anything.
        """
        upper = self._all.upper(self._settings.false_alarm_rate)
        if _mends(self._change) and upper <= 1.0 + self._settings.harm_margin:
            return f"negative votes at most {upper:.2f} times those of stable"
        if self._all.help is not None and self._all.helped:
            return f"negative votes proven below {self._all.help.p_v:.1%}, the midpoint of incident and normal"
        return ""

    @property
    def _enough_known(self) -> bool:
        return self._known.people >= self._settings.min_voters

    def _doubt(self) -> str:
        """Return why the votes heard so far must not serve the candidate to everyone, or nothing.

        The known must show it beside stable, not only below the incident: what opened the incident may be those votes.
        """
        if self._all.people < self._settings.min_voters:
            return f"{_HELD}{self._all.people} people voted, {self._settings.min_voters} are needed"
        control = (self._known if self._enough_known else self._all).control
        if control.harmful:
            return (
                f"{_HELD}of {control.n} people who said no to answers that the change does not touch, {control.canary} "
                "had the old version, more than its share: they vote on the version, not on the answer"
            )
        if self._settings.control == "prove" and control.n >= self._settings.min_voters:
            upper = control.rate_ratio_upper(self._settings.false_alarm_rate)
            if upper > _BRIGADE:
                bound = f"up to {upper:.2f} times" if upper < 1e9 else "any number of times"
                return f"{_HELD}of answers that the change does not touch, the old version may get {bound} the noes"
        if self._all.people == self._known.people or not self._enough_known:
            return ""
        upper = self._known.upper(self._settings.false_alarm_rate / _STRICTER)
        return "" if upper <= 1.0 + self._settings.harm_margin else self._rests_on()

    def _rests_on(self) -> str:
        fresh = self._all.people - self._known.people
        return (
            f"{_HELD}the verdict rests on {fresh} accounts that first voted during the trial, or had never been "
            f"pleased; the votes of the other {self._known.people} do not bear it out"
        )

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


def _panel(told: Mapping[str, Any], wanted: VerifiedFix | None, canary: Canary) -> Panel:
    """Return the tests as they stood, or new ones. Votes have half of the error, the guardrails the other."""
    fix = told.get("help") or (wanted.state() if wanted else None)
    of_votes = canary.false_alarm_rate / (2 if canary.guardrails else 1)
    return Panel(
        _share(told.get("harm"), of_votes / 2),
        VerifiedFix.from_state(cast("VerifiedFixState", fix)) if fix else None,
        _share(told.get("control"), canary.false_alarm_rate),
        told.get("people", 0),
    )


def _share(told: NegativesShareState | None, alpha: float) -> NegativesShare:
    return NegativesShare.from_state(told) if told else NegativesShare(alpha=alpha)


_OF_VERSIONS = ("version", "model")  # what a candidate may itself change


def _group_of(incident: Incident | None) -> dict[str, str]:
    """Return the group of a declared watch, as outcomes name it; a group of several values is all of them."""
    told = incident.segment if incident else {}
    return {key: value for key, value in told.items() if key not in _OF_VERSIONS and not value.startswith("(")}


def _proven_rate(incident: Incident) -> float:
    """Return the rate of negatives that the incident's votes vouch for: their one-sided 80% lower bound.

    The observed rate was read at the moment it looked worst; against its midpoint an unchanged version would pass too.
    """
    return _bound(incident.negatives, incident.events)


@lru_cache(maxsize=256)
def _bound(negatives: int, events: int) -> float:
    return clopper_pearson_lower(negatives, events, _PROVEN)  # asked at every tick of a trial, always the same


def _mends(change: Change) -> bool:
    """Say whether golden cases show half of what failed mended; a change made by hand stands for itself."""
    if change.gate is None:
        return True
    failing = sum(result.target and not (result.stable_passed and result.decided) for result in change.gate.results)
    return 0 < failing <= 2 * change.gate.targets_fixed
