"""What several people say becomes one more line in the Version's rules: a delta, never a rewrite."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.act.drafting import RuleWriter
from trimtab.act.evidence import Evidence
from trimtab.ids import content_id
from trimtab.records import ChangeKind, Rule
from trimtab.redact.project import Cleaners
from trimtab.stats.bucket import split_part
from trimtab.store.ports import Query

__all__ = ["RuleAction", "rule_of"]

_MOST = 1000


class _Word(NamedTuple):
    feedback_id: str
    person: str
    text: str


class RuleAction:
    """The served version plus one rule, drafted by a model from what the build part of people wrote.

    Their words are taken topic by topic where topics were found, the one with the most people first; else all that was
    written about the feature together, and the model has to see one wish in it. At least `rules.min_people` people must
    have written. Without a model (`rules.model`) the plan says so and nothing happens.
    """

    kind: ChangeKind = "rule"

    def __init__(self, evidence: Evidence, cleaners: Cleaners, writer: RuleWriter | None = None) -> None:
        self._evidence = evidence
        self._cleaners = cleaners
        self._settings = evidence.settings.rules
        self._writer = writer

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say how many people wrote something that was not tried before."""
        if self._writer is None:
            reason = "no endpoint: rules.model and runner.base_url name the model that drafts a rule"
            return Plan(action=self.kind, possible=False, reason=reason)
        words = self._largest(situation, tried)
        people = len({word.person for word in words})
        room = self._settings.max_rules - len(situation.base.rules)
        return Plan(
            action=self.kind,
            possible=people >= self._settings.min_people and room > 0,
            reason=f"{people} people wrote of one thing, {self._settings.min_people} needed"
            if room > 0
            else f"the version has {len(situation.base.rules)} rules already (rules.max_rules); take one out first",
            detail={"people": people, "words": len(words)},
        )

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Choose the words of the topic that most people wrote of."""
        return {"corrections": [word.feedback_id for word in self._largest(situation)]}

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Have one line drafted and add it as the last rule."""
        chosen = set(gathered["corrections"])
        words = [word for word in self._written(situation) if word.feedback_id in chosen]
        people = len({word.person for word in words})
        if self._writer is None or people < self._settings.min_people:
            return Proposal(None, f"{people} people wrote of one thing, {self._settings.min_people} needed")
        base = situation.base
        known = [rule.text for rule in base.rules]
        line = self._writer.draft(self._cleaners.of(situation.project_id), [word.text for word in words], known)
        if not line or line.casefold() in {text.casefold() for text in known}:
            return Proposal(None, "the model drafted no rule that could be taken", {"people": people})
        rule = rule_of(line, [word.feedback_id for word in words])
        version = msgspec.structs.replace(base, rules=[*base.rules, rule])
        return Proposal(version, "the rule changes nothing", {"rule": rule.id, "people": people})

    def _largest(self, situation: Situation, tried: Collection[str] = ()) -> list[_Word]:
        fresh = [word for word in self._written(situation) if word.feedback_id not in tried]
        return max(self._grouped(situation, fresh), key=lambda group: len({word.person for word in group}), default=[])

    def _grouped(self, situation: Situation, words: Sequence[_Word]) -> list[list[_Word]]:
        store, project_id, feature = self._evidence.store, situation.project_id, situation.base.feature
        topics = [set(place.feedback_ids) for place in store.topic_places(project_id, feature) if place.topic_id]
        grouped = [[word for word in words if word.feedback_id in topic] for topic in topics]
        return [group for group in grouped if group] or [list(words)]

    def _written(self, situation: Situation) -> list[_Word]:
        """Return comments and corrections of the build part, one a person, newest first."""
        store, project_id = self._evidence.store, situation.project_id
        since = situation.now - timedelta(days=self._evidence.settings.playbook.lookback_days)
        query = Query(feature=situation.base.feature, since=since, limit=_MOST)
        rows = [row.record for row in store.inbox(project_id, query, kind="comment").rows]
        answers = store.inferences(project_id, [row.inference_id for row in rows if row.inference_id])
        words: list[_Word] = []
        for row in rows:
            answer = answers.get(row.inference_id or "")
            whose = (answer.user_id or answer.id) if answer else (row.user_id or row.id)
            if row.text and not row.retracted and split_part(whose) == "build":
                words.append(_Word(row.id, row.user_id or whose, row.text))
        words += [
            _Word(item.feedback_id, item.author_id or item.user_id or item.inference_id, item.corrected)
            for item in self._evidence.build(project_id, situation.base, situation.now)
        ]
        latest: dict[str, _Word] = {}
        for word in words:
            latest.setdefault(word.person, word)
        return list(latest.values())


def rule_of(line: str, sources: Sequence[str] = ()) -> Rule:
    """Return a rule whose id is the hash of its text: the same line is the same rule in every version.

    `sources` are the ids of the feedback that it was drafted from.
    """
    return Rule(id=content_id("r", line.encode()), text=line, source_feedback_ids=list(sources))
