"""Every feature's turn, once in a while and one at a time, for desks whose work on a feature takes long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from trimtab.records import Feature
from trimtab.store.ports import HotStore

__all__ = ["Rounds"]


class Rounds:
    """Goes round all features of all projects, `every` so often; one whose work failed comes again after the others."""

    def __init__(self, store: HotStore, every: timedelta) -> None:
        self._store = store
        self._every = every
        self._due: deque[tuple[str, Feature]] = deque()
        self._begun: datetime | None = None

    def tick(self, now: datetime, work: Callable[[str, Feature, datetime], None]) -> int:
        """Do the `work` of at most one project's feature and return how many were handled. Raises what it raises."""
        if self._begun is None or now >= self._begun + self._every:
            self._begun = now
            waiting = {(project_id, feature.name) for project_id, feature in self._due}
            found = (
                (project.id, each) for project in self._store.projects() for each in self._store.features(project.id)
            )
            self._due += [each for each in found if (each[0], each[1].name) not in waiting]
        if not self._due:
            return 0
        project_id, feature = self._due.popleft()
        try:
            work(project_id, feature, now)
        except Exception:
            self._due.append((project_id, feature))
            raise
        return 1
