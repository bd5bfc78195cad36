"""Corrections become worked examples that the model is shown: the fastest mend, live with the next request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.act.evidence import Evidence
from trimtab.ids import content_id
from trimtab.records import ChangeKind, Correction, Exemplar, Version, text_of
from trimtab.stats.bucket import audience

__all__ = ["ExemplarAction"]


class ExemplarAction:
    """The served version plus what people said the right answers are; on the same input the later word wins."""

    kind: ChangeKind = "exemplar"

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._settings = evidence.settings.playbook

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say how many usable corrections there are beside those tried before."""
        words = self._evidence.build(situation.project_id, situation.base, situation.now)
        fresh = sum(word.feedback_id not in tried for word in words)
        return Plan(
            action=self.kind,
            possible=fresh >= self._settings.min_corrections,
            reason=f"{fresh} usable corrections, {self._settings.min_corrections} needed",
            detail={"corrections": min(len(words), self._settings.max_exemplars), "fresh": fresh},
        )

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Choose the newest corrections of the build part, at most `playbook.max_exemplars`."""
        found = self._evidence.build(situation.project_id, situation.base, situation.now)
        return {"corrections": [item.feedback_id for item in found[: self._settings.max_exemplars]]}

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Add the corrections to the exemplars."""
        chosen = gathered["corrections"]
        if len(chosen) < self._settings.min_corrections:
            return Proposal(None, f"{len(chosen)} usable corrections, {self._settings.min_corrections} needed")
        project_id, base, now = situation.project_id, situation.base, situation.now
        said = self._evidence.corrections(project_id, base.feature, now)
        version, count = self.learned(project_id, base, [item for item in said if item.feedback_id in chosen], now)
        return Proposal(version, "the exemplars change nothing", {"exemplars": count})

    def learned(
        self, project_id: str, base: Version, words: Sequence[Correction], now: datetime
    ) -> tuple[Version, int]:
        """Return `base` with these words, newest first, among its exemplars, and how many exemplars they make."""
        audiences = self._audiences(project_id, base.feature, words)
        latest: dict[tuple[str, str], Exemplar] = {}
        for item in words:
            shown_to = audiences.get(item.feedback_id)
            if shown_to is not None:
                text = text_of(item.input)
                latest.setdefault(
                    (_key(text), shown_to),
                    Exemplar(
                        id=content_id("x", item.feedback_id.encode()),
                        input=text,
                        output=item.corrected,
                        source_feedback_id=item.feedback_id,
                        added_at=now,
                        audience=shown_to,
                    ),
                )
        kept = [item for item in base.exemplars if (_key(item.input), item.audience) not in latest]
        return msgspec.structs.replace(base, exemplars=[*kept, *latest.values()]), len(latest)

    def _audiences(self, project_id: str, feature: str, words: Sequence[Correction]) -> dict[str, str]:
        """Return by correction who is shown it; one of a user nobody named is left out where it is for them alone.

        Where a user's tenant is not known, they alone are shown it: rather too few than too many.
        """
        settings = self._evidence.settings
        override = settings.features.get(feature)
        scope = (override.exemplar_scope if override else None) or self._settings.exemplar_scope
        if scope == "global":
            return {word.feedback_id: "" for word in words}
        named = {word.feedback_id: word.user_id for word in words if word.user_id}
        users = self._evidence.store.users(project_id, sorted(set(named.values()))) if scope == "tenant" else {}
        tenants = {user_id: user.tenant for user_id, user in users.items()}
        return {
            key: audience("tenant", tenant) if (tenant := tenants.get(user_id)) else audience("user", user_id)
            for key, user_id in named.items()
        }


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
