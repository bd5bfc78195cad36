"""What reviewers said becomes a change, with or without an incident: nobody waits for users to complain.

An incident's playbook waits for corrections to come in and leaves a part of them to judge. Here a reviewer has looked
at every answer: those drawn at random judge, as golden cases, and all others build. An answer that reviewers found good
is worth an example as well, beside those that they corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.knowledge import KnowledgeAction
from trimtab.act.actions.port import Plan, Proposal
from trimtab.act.evidence import Evidence
from trimtab.act.order import REVIEWED
from trimtab.act.review import verdict_id
from trimtab.records import Correction, Exemplar, Inference, ReviewItem, Run, Version, text_of
from trimtab.store.ports import Query

__all__ = ["Renewals", "ReviewedAction", "Told"]

Renewals = Callable[[str, str, Version, datetime], Mapping[str, tuple[str, str]]]
"""By project, feature, served version and time: by id, an answer that people found out of date, and the new one."""

_PAGE = 1000


class Told(NamedTuple):
    """What reviewers said that nothing was made of yet, newest first: to build with, and to judge by.

    `renewed` are answers that people found out of date, by the id of the doubt.
    """

    build: list[Correction]
    judge: list[Correction]
    renewed: Mapping[str, tuple[str, str]]

    @property
    def wrong(self) -> list[Correction]:
        """Those to build with that say another answer than was given."""
        return [word for word in self.build if _differs(word)]


class ReviewedAction:
    """Teaches the served version what reviewers said, by those of its two ways that `playbook.actions` names.

    What is missing or wrong in the app's documents becomes knowledge, all else exemplars.
    """

    def __init__(
        self,
        evidence: Evidence,
        exemplar: ExemplarAction,
        knowledge: KnowledgeAction | None = None,
        *,
        renewals: Renewals = lambda _project_id, _feature, _base, _now: {},
    ) -> None:
        named = evidence.settings.playbook.actions
        self._evidence = evidence
        self._exemplar = exemplar if "exemplar" in named else None
        self._knowledge = knowledge if "knowledge" in named else None
        self._renewals = renewals

    def plan(self, project_id: str, feature: str, now: datetime) -> Plan:
        """Say what would be learned now. Raises NotFound for a feature that serves nothing."""
        base = self._evidence.served(project_id, feature)
        if self._exemplar is None and self._knowledge is None:
            told = "playbook.actions names neither exemplar nor knowledge: reviews have no way to change anything"
            return Plan(action=REVIEWED, possible=False, reason=told)
        said = self._told(project_id, base, now)
        wrong = len(said.wrong)
        told = f"{wrong} answers corrected, {len(said.build) - wrong} confirmed, {len(said.judge)} to judge by"
        if said.renewed:
            told += f", {len(said.renewed)} answers out of date"
        detail = {
            "corrected": wrong,
            "confirmed": len(said.build) - wrong,
            "judging": len(said.judge),
            "renewed": len(said.renewed),
        }
        return Plan(action=REVIEWED, possible=bool(wrong or said.renewed), reason=told, detail=detail)

    def new(self, project_id: str, feature: str, now: datetime) -> Told:
        """Return what reviewers said that no change was tried with yet. Raises NotFound as `plan`."""
        if self._exemplar is None and self._knowledge is None:
            return Told([], [], {})
        return self._told(project_id, self._evidence.served(project_id, feature), now)

    def _told(self, project_id: str, base: Version, now: datetime) -> Told:
        """Return what they said in the last `playbook.lookback_days` and no version, case or attempt stands for.

        Answers of which they were of two minds are left out where nobody said what is right.
        """
        known = self._known(project_id, base, now)
        words = self._evidence.reviewed(project_id, base.feature, now)
        items = self._evidence.store.reviews_on(project_id, list({word.inference_id for word in words}))
        corrected = {word.inference_id for word in words}
        reviewed = self._reviewed(project_id, base.feature, now)
        words += self._confirmed(project_id, {key: held for key, held in reviewed.items() if key not in corrected})
        words = [word for word in words if word.feedback_id not in known]
        words.sort(key=lambda word: (word.created_at, word.feedback_id), reverse=True)
        drawn = {key for held in (items, reviewed) for key, each in held.items() if each[0].source == "random"}
        renewed = self._renewals(project_id, base.feature, base, now)
        renewed = {doubt: pair for doubt, pair in renewed.items() if doubt not in known}
        return Told(
            [word for word in words if word.inference_id not in drawn],
            [word for word in words if word.inference_id in drawn],
            renewed,
        )

    def gather(self, project_id: str, base: Version, now: datetime) -> tuple[list[Correction], dict[str, Any]]:
        """Return what judges, and ids and counts of all that was chosen."""
        said = self._told(project_id, base, now)
        wrong = said.wrong
        about = self._knowledge.chosen(project_id, base, wrong) if self._knowledge else None
        taken = set(about["corrections"]) if about else set()
        rest = [word for word in said.build if word.feedback_id not in taken] if self._exemplar else []
        rest.sort(key=lambda word: not _differs(word))  # of too many, those that were right are left out first
        shown = [word.feedback_id for word in rest[: self._evidence.settings.playbook.max_exemplars]]
        query = Query(feature=base.feature, limit=100)
        # One that recovers too: its proof ends when another version is served, so this change takes it over.
        open_ones = self._evidence.store.incidents(project_id, query, states=("firing", "recovering")).rows
        told = {
            "corrections": [*taken, *shown],
            "exemplars": shown,
            "judging": [word.feedback_id for word in said.judge],
            "confirmed": sum(not _differs(word) for word in rest if word.feedback_id in set(shown)),
            "renewed": sorted(said.renewed),
            "incident": next((row.record.id for row in open_ones if not row.record.segment), None),
        }
        return said.judge, {**told, "knowledge": about} if about else told

    def propose(self, project_id: str, base: Version, gathered: dict[str, Any], now: datetime) -> Proposal:
        """Return the candidate that knows what was gathered; what was erased since is not in it."""
        said = self._told(project_id, base, now)
        chosen = set(gathered["exemplars"])
        pairs = (said.renewed.get(doubt) for doubt in gathered["renewed"])
        version = _renewed(base, dict(pair for pair in pairs if pair is not None), now)
        detail: dict[str, Any] = {}
        if self._knowledge and gathered.get("knowledge"):
            version, counts = self._knowledge.learned(project_id, version, said.build, gathered["knowledge"], now)
            detail |= counts
        if self._exemplar:
            words = [word for word in said.build if word.feedback_id in chosen]
            version, detail["exemplars"] = self._exemplar.learned(project_id, version, words, now)
        return Proposal(version, "what reviewers said changes nothing", detail)

    def outdated(self, project_id: str, base: Version, gathered: dict[str, Any], now: datetime) -> set[str]:
        """Return the answers that people found out of date, of those gathered."""
        renewed = self._renewals(project_id, base.feature, base, now)
        return {renewed[doubt][0] for doubt in gathered["renewed"] if doubt in renewed}

    def latest(self, project_id: str, feature: str) -> Run | None:
        """Return the latest run that learned what reviewers said, however it ended."""
        return next(iter(self._runs(project_id, Query(feature=feature, limit=_PAGE))), None)

    def _runs(self, project_id: str, query: Query) -> list[Run]:
        rows = self._evidence.store.runs(project_id, query).rows
        return [row.record for row in rows if row.record.playbook == REVIEWED]

    def _known(self, project_id: str, base: Version, now: datetime) -> set[str | None]:
        """Return the words that the version or a case stands for, and all that a change was tried with already.

        What the gate refused or users sent back is not tried again by itself; a run that failed tried nothing.
        """
        known = {item.source_feedback_id for item in base.exemplars}
        known |= {item.source_feedback_id for item in base.knowledge}
        known |= {case.feedback_id for case in self._evidence.store.cases(project_id, base.feature, retired=True)}
        since = now - timedelta(days=self._evidence.settings.playbook.lookback_days)
        for run in self._runs(project_id, Query(feature=base.feature, since=since, limit=_PAGE)):
            whole = self._evidence.store.run(project_id, run.id) if run.state == "done" else None
            for step in whole.steps if whole else []:
                if step.name == "gather":
                    known |= {*step.detail["corrections"], *step.detail["judging"], *step.detail["renewed"]}
        return known

    def _reviewed(self, project_id: str, feature: str, now: datetime) -> dict[str, list[ReviewItem]]:
        """Return the items that were judged, by answer."""
        since = now - timedelta(days=self._evidence.settings.playbook.lookback_days)
        held: dict[str, list[ReviewItem]] = {}
        query: Query | None = Query(feature=feature, since=since, limit=_PAGE)
        while query is not None:
            page = self._evidence.store.reviews(project_id, query, ("done",))
            for row in page.rows:
                held.setdefault(row.record.inference_id, []).append(row.record)
            query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None
        return held

    def _confirmed(self, project_id: str, held: Mapping[str, Sequence[ReviewItem]]) -> list[Correction]:
        """Return answers that everybody who was asked found good, as what is right there."""
        agreed = {key: items[0] for key, items in held.items() if all(item.verdict == "good" for item in items)}
        answers = self._evidence.store.inferences(project_id, list(agreed))
        return [_as_said(agreed[key], answer) for key, answer in answers.items()]


def _as_said(item: ReviewItem, answer: Inference) -> Correction:
    return Correction(
        feedback_id=verdict_id(item, "thumb"),
        inference_id=answer.id,
        feature=answer.feature,
        created_at=item.closed_at or item.opened_at,
        input=answer.input,
        corrected=text_of(answer.output),
        source="reviewer",
        version_id=answer.version_id,
        rejected=answer.output,
        user_id=answer.user_id,
        author_id=item.reserved_by,
    )


def _differs(word: Correction) -> bool:
    """Say whether a word says another answer than was given."""
    return word.rejected is None or text_of(word.rejected) != word.corrected


def _renewed(base: Version, pairs: Mapping[str, str], now: datetime) -> Version:
    """Return the version with these answers replaced in every exemplar."""
    exemplars = [_said_anew(item, pairs, now) for item in base.exemplars] if pairs else base.exemplars
    return msgspec.structs.replace(base, exemplars=exemplars)


def _said_anew(item: Exemplar, pairs: Mapping[str, str], now: datetime) -> Exemplar:
    if item.output not in pairs:
        return item
    return msgspec.structs.replace(item, output=pairs[item.output], added_at=now)
