"""Inferences read lately: the turns before a new one are mostly those of the last seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from trimtab.records import Inference
from trimtab.store.ports import EventStore

__all__ = ["RecentInferences"]

_MOST: Final = 10_000
_LIFE: Final = timedelta(seconds=30)


class RecentInferences:
    """Reads inferences through a memory of two generations, each of at most 10,000 inferences and 30 seconds.

    A row that was cleaned again or removed meanwhile is seen as it was for a minute at most, by the stage's own clock.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._young: dict[tuple[str, str], Inference] = {}
        self._old: dict[tuple[str, str], Inference] = {}
        self._since: datetime | None = None
        self.without: set[tuple[str, str]] = set()
        """Inferences, by project and id, that are read as if they had not arrived."""

    def turn(self, now: datetime) -> None:
        """Forget what is old; to be called once per tick."""
        if self._since is None or len(self._young) >= _MOST or abs(now - self._since) >= _LIFE:
            self._old, self._young, self._since = self._young, {}, now

    def keep(self, project_id: str, inferences: Iterable[Inference]) -> None:
        """Remember what was read elsewhere."""
        self._young.update(((project_id, inference.id), inference) for inference in inferences)

    def read(self, project_id: str, ids: Sequence[str]) -> dict[str, Inference]:
        """Return those of the inferences that are stored, by id."""
        found: dict[str, Inference] = {}
        missing = []
        for each in ids:
            if (project_id, each) in self.without:
                continue
            held = self._young.get((project_id, each)) or self._old.get((project_id, each))
            if held is None:
                missing.append(each)
            else:
                found[each] = held
        if missing:
            fresh = self._store.inferences(project_id, missing)
            self.keep(project_id, fresh.values())
            found.update(fresh)
        return found
