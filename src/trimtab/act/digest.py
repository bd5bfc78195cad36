"""The digest stage: once a week it tells the targets that want it what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from trimtab.config import Digest, NotifyTarget
from trimtab.ids import derived_id
from trimtab.records import Delivery, Project
from trimtab.store.ports import HotStore, Writes

__all__ = ["Compose", "DigestStage", "last_due"]

Compose = Callable[[str, datetime, datetime, Sequence[str] | None], list[str]]
"""From a project, a span and the features that count (None: all) to the lines of a digest; none: nothing to tell."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEK = timedelta(days=7)


def last_due(settings: Digest, now: datetime) -> datetime:
    """Return the latest moment at or before `now` at which a digest was due.

    >>> from datetime import UTC
    >>> last_due(Digest(weekday="friday", hour=9), datetime(2026, 3, 6, 8, 59, tzinfo=UTC))
    datetime.datetime(2026, 2, 27, 9, 0, tzinfo=datetime.timezone.utc)
    """
    hour = now.replace(hour=settings.hour, minute=0, second=0, microsecond=0)
    due = hour - timedelta(days=(now.weekday() - _DAYS.index(settings.weekday)) % 7)
    return due if due <= now else due - _WEEK


class DigestStage:
    """Commits one delivery by week, project and target; its id is made of these, so that none comes twice.

    One that fell due while nothing ran is made up for, the newest only. What it says is `compose`'s.
    """

    name = "digest"

    def __init__(
        self, store: HotStore, settings: Digest, targets: Mapping[str, NotifyTarget], compose: Compose
    ) -> None:
        self._store = store
        self._settings = settings
        self._targets = {name: each for name, each in targets.items() if each.enabled and "digest" in each.on}
        self._compose = compose
        self._done: datetime | None = None

    def tick(self, now: datetime) -> int:
        """Make the digests that are due; return how many."""
        if not self._targets:
            return 0
        due = last_due(self._settings, now)
        if due == self._done:
            return 0
        made = sum(self._of_project(project, due, now) for project in self._store.projects())
        self._done = due
        return made

    def _of_project(self, project: Project, due: datetime, now: datetime) -> int:
        """Write the project's digests of the seven days before `due`, but for those that are there."""
        if project.created_at >= due:
            return 0
        composed: dict[tuple[str, ...], list[str]] = {}
        found: list[Delivery] = []
        for name, target in self._targets.items():
            key = derived_id("delivery", name, "digest", project.id, due.isoformat())
            if self._store.delivery(project.id, key) is not None:
                continue
            if target.features not in composed:
                only = target.features or None
                composed[target.features] = self._compose(project.id, due - _WEEK, due, only)
            lines = composed[target.features]
            if lines:
                found.append(
                    Delivery(
                        id=key,
                        target=name,
                        kind="digest",
                        state="waiting",
                        created_at=now,
                        next_at=now,
                        body={"lines": lines, "since": (due - _WEEK).isoformat(), "until": due.isoformat()},
                    )
                )
        if found:
            self._store.commit({project.id: Writes(deliveries=found)})
        return len(found)
