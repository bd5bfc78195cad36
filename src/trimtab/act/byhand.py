"""Changes that a person proposes: they go the whole way of one that the engine made, without an incident."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from trimtab.act.actions.rule import rule_of
from trimtab.act.decisions import Decisions
from trimtab.act.evidence import Evidence
from trimtab.act.guard.candidate import admitted, refusal
from trimtab.act.line import fault_of, plain_line
from trimtab.act.order import Order
from trimtab.act.planning import expect_idle
from trimtab.act.runs import Runs
from trimtab.errors import Conflict, InvalidField, NotFound
from trimtab.ids import derived_id, new_id
from trimtab.records import Change, ChangeKind, Rule, Run, Version
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal
from trimtab.store.ports import Writes

__all__ = ["ByHand", "Standing"]


class Standing(NamedTuple):
    """A rule of the served version with what people said of answers that were given with it, and without it.

    Votes of users since the first version that has it was made; with and without are other people, so that a difference
    is no proof: its own canary was one.
    """

    rule: Rule
    since: datetime
    helpful: int
    harmful: int
    good_without: int
    bad_without: int


class ByHand:
    """What people may propose. `turn` is the lock of `Decisions`, under which changes are read and written."""

    def __init__(self, evidence: Evidence, cleaners: Cleaners, decisions: Decisions, runs: Runs) -> None:
        self._evidence = evidence
        self._cleaners = cleaners
        self._decisions = decisions
        self._runs = runs
        self._turn: AbstractContextManager[Any] = decisions.turn
        self._settings = evidence.settings.rules

    def add_rule(self, project_id: str, feature: str, text: str, now: datetime) -> Change:
        """Propose one more rule. Raises InvalidField for what is no plain line, Conflict for one that is there."""
        line = plain_line(text)
        wrong = fault_of(line, most=self._settings.max_chars)
        if wrong is not None:
            raise InvalidField(f"text: {wrong}; write one plain line", param="text")
        base = self._evidence.served(project_id, feature)
        line = self._cleaners.of(project_id).batch([line])[0]
        if any(rule.text.casefold() == line.casefold() for rule in base.rules):
            raise Conflict(f"{feature!r} has this rule already", param="text")
        if len(base.rules) >= self._settings.max_rules:
            raise Conflict(f"{feature!r} has {len(base.rules)} rules, the most there may be; take one out first")
        return self.propose(
            project_id, msgspec.structs.replace(base, rules=[*base.rules, rule_of(line)]), base, "rule", now
        )

    def remove_rule(
        self, project_id: str, feature: str, rule_id: str, now: datetime, *, at_once: bool = False
    ) -> Change | None:
        """Propose the served version without a rule; `at_once` serves it to everyone, and returns no change."""
        base = self._evidence.served(project_id, feature)
        kept = [rule for rule in base.rules if rule.id != rule_id]
        if len(kept) == len(base.rules):
            raise NotFound(f"{feature!r} serves no rule {rule_id!r}", param="rule_id")
        without = msgspec.structs.replace(base, rules=kept)
        if at_once:
            self._decisions.serve(project_id, _by_hand(without, base, now), now)
            return None
        return self.propose(project_id, without, base, "rule", now)

    def propose(self, project_id: str, version: Version, base: Version, kind: ChangeKind, now: datetime) -> Change:
        """Start the way of a candidate: gate, canary, or a person's approval. Raises Conflict while one is under way.

        Version, change and run are written before the run starts: one that was cut off is taken up by the act stage.
        Raises InvalidField for what carries orders to the model, as from anybody.
        """
        feature = base.feature
        linted = admitted(version, base, aside=(), settings=self._evidence.settings.guard, now=now)
        if linted.refused:
            raise InvalidField(f"text: {refusal(linted.refused)}; say what the answer should be like", param="text")
        with self._turn:
            store = self._evidence.store
            expect_idle(store, project_id, feature)
            run_id = new_id(now)
            change_id = derived_id("change", run_id)
            made = msgspec.structs.replace(_by_hand(linted.version, base, now), change_id=change_id)
            sealed = seal(self._cleaners.of(project_id), made)
            if sealed.record.id == base.id:
                raise Conflict(f"this changes nothing of what {feature!r} serves")
            change = Change(
                id=change_id,
                feature=feature,
                kind=kind,
                state="building",
                created_at=now,
                base_version_id=base.id,
                candidate_version_id=sealed.record.id,
                run_id=run_id,
                reason="proposed by hand",
            )
            run = Run(id=run_id, playbook=kind, feature=feature, state="running", started_at=now)
            store.commit({project_id: Writes(versions=[sealed], changes=[change], runs=[run])})
        self._runs.start(
            Order(project_id=project_id, run_id=run_id, feature=feature, incident_id="", now=now, action=kind)
        )
        return store.change(project_id, change_id) or change

    def standings(self, project_id: str, feature: str, now: datetime) -> list[Standing]:
        """Return the served version's rules with their counters, in their order."""
        base, store = self._evidence.served(project_id, feature), self._evidence.store
        versions = store.versions(project_id, feature)
        return [self._standing(project_id, rule, versions, now) for rule in base.rules]

    def _standing(self, project_id: str, rule: Rule, versions: list[Version], now: datetime) -> Standing:
        having = {version.id: version.created_at for version in versions if any(r.id == rule.id for r in version.rules)}
        since = min(having.values(), default=now)
        counts = self._evidence.store.counts(
            project_id,
            since=since,
            until=max(now, since),
            step="all",
            metrics=("voted", "vote_negative"),
            feature=versions[0].feature,
        )
        votes = {(metric, inside): 0 for metric in ("voted", "vote_negative") for inside in (True, False)}
        for item in counts:
            votes[item.metric, item.version_id in having] += item.count
        bad, others = votes["vote_negative", True], votes["vote_negative", False]
        return Standing(rule, since, votes["voted", True] - bad, bad, votes["voted", False] - others, others)


def _by_hand(version: Version, base: Version, now: datetime) -> Version:
    return msgspec.structs.replace(version, created_at=now, parent_id=base.id, incident_id=None, change_id=None)
