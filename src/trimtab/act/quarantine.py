"""What is set aside of people's corrections, for people to look at and to release."""

from __future__ import annotations

from datetime import datetime

from trimtab.act.evidence import Evidence
from trimtab.act.guard.agreement import Agreement
from trimtab.errors import NotFound
from trimtab.records import Release
from trimtab.store.ports import HotStore, Writes

__all__ = ["Quarantine"]


class Quarantine:
    """Lists what sudden agreement set aside, and lets it go."""

    def __init__(self, store: HotStore, evidence: Evidence) -> None:
        self._store = store
        self._evidence = evidence

    def held(self, project_id: str, feature: str | None, now: datetime) -> list[Agreement]:
        """Return what is set aside, of one feature or of all, the oldest first in each."""
        names = [feature] if feature else [item.name for item in self._store.features(project_id)]
        return [each for name in names for each in self._evidence.agreements(project_id, name, now)]

    def release(self, project_id: str, feedback_id: str, now: datetime) -> Agreement:
        """Let a correction be used, and all that were set aside with it. Raises NotFound for one that is not."""
        for each in self.held(project_id, None, now):
            if feedback_id in each.corrections:
                releases = [Release(feedback_id=item, released_at=now) for item in each.corrections]
                self._store.commit({project_id: Writes(releases=releases)})
                return each
        raise NotFound(f"no correction {feedback_id!r} is set aside", param="feedback_id")
