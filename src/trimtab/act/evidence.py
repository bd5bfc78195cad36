"""What an action may build on, and what only judges it: the corrections of a feature, split by person."""

from __future__ import annotations

from datetime import datetime, timedelta

from trimtab.config import Settings
from trimtab.errors import NotFound
from trimtab.records import Correction, Rollout, Version
from trimtab.stats.bucket import split_part
from trimtab.store.ports import HotStore, Query

__all__ = ["Evidence", "part_of"]

_MOST = 10_000


def part_of(correction: Correction) -> str:
    """Return "build" or "judge": split by the user whose answer was wrong, so that no person's words do both."""
    return split_part(correction.user_id or correction.inference_id)


class Evidence:
    """Reads the words of people for actions. Build and judge never share a person."""

    def __init__(self, store: HotStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    def build(self, project_id: str, base: Version, now: datetime) -> list[Correction]:
        """Return the build part that no exemplar or knowledge of `base` stands for yet, newest first."""
        used = {item.source_feedback_id for item in base.exemplars}
        used |= {item.source_feedback_id for item in base.knowledge}
        return [
            item
            for item in self.corrections(project_id, base.feature, now)
            if item.feedback_id not in used and part_of(item) == "build"
        ]

    def judge(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return the judge part that is no golden case yet, newest first."""
        known = {case.feedback_id for case in self.store.cases(project_id, feature)}
        return [
            item
            for item in self.corrections(project_id, feature, now)
            if item.feedback_id not in known and part_of(item) == "judge"
        ]

    def corrections(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return all of the feature's corrections of the last `playbook.lookback_days`, newest first."""
        since = now - timedelta(days=self.settings.playbook.lookback_days)
        query = Query(feature=feature, since=since, limit=_MOST)
        rows = [row.record for row in self.store.corrections(project_id, query).rows]
        return sorted(rows, key=lambda item: (item.created_at, item.feedback_id), reverse=True)

    def rollout(self, project_id: str, feature: str) -> Rollout:
        """Return what the feature serves. Raises NotFound for a feature that serves nothing."""
        rollout = self.store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return rollout

    def served(self, project_id: str, feature: str) -> Version:
        """Return the version everyone gets. Raises NotFound for a feature that serves nothing."""
        stable = self.store.version(project_id, feature, self.rollout(project_id, feature).stable_version_id)
        if stable is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return stable
