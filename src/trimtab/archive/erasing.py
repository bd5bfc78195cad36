"""The erase stage: carries every erasure that was asked for through all places, and goes on where a kill left it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from trimtab.clock import Clock
from trimtab.errors import TrimtabError
from trimtab.ids import new_id
from trimtab.records import Erasure
from trimtab.store.erasing import Erasable, Removed, person
from trimtab.store.lake.port import Told
from trimtab.store.ports import ErasureStore, LoopStore, Stored, Writes

__all__ = ["EraseStage"]

_AT_ONCE = 10
_BACKOFF = timedelta(seconds=1)
_MAX_BACKOFF = timedelta(minutes=5)
_FOUND_ELSEWHERE = Callable[[str, Sequence[str]], Told]


class EraseStore(ErasureStore, LoopStore, Protocol):
    """What this stage needs of the store."""


class EraseStage:
    """Removes people: first from the hot store, then from each of `places`; then what they spoke on is judged again.

    `ask` makes the tombstone durable; a tick does the rest in a thread of its own, or waits for it (`inline`). Every
    step may be done twice, and the receipt says after each what it removed. When all places are done the list of what
    was theirs is thrown away, and the disk is cleared of what was deleted: only then an erasure is `done`. What fails
    is told in its `problem` and tried again with growing pauses. `finders` look for what only they still know of.
    """

    name = "erase"

    def __init__(
        self,
        store: EraseStore,
        places: Sequence[Erasable],
        clock: Clock,
        *,
        finders: Sequence[_FOUND_ELSEWHERE] = (),
        inline: bool = False,
    ) -> None:
        self._store = store
        self.places = list(places)
        self._clock = clock
        self._finders = tuple(finders)
        self._inline = inline
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self._steps = 0
        self._retry: dict[str, tuple[datetime, timedelta]] = {}
        self._log = structlog.get_logger("trimtab.erase")

    def ask(self, project_id: str, user_id: str) -> Erasure:
        """Have a user, named as they are stored, erased; durable when this returns. Asked twice, it is one erasure."""
        now = self._clock.now()
        erasure = Erasure(id=new_id(now), person=person(project_id, user_id), asked_at=now, state="working")
        return self._store.bury(project_id, erasure, [user_id])

    def wait(self, project_id: str, erasure_id: str, timeout_s: float) -> Erasure | None:
        """Return the erasure once it is done, or as it is when the time is up; None for one that does not exist."""

        def done() -> bool:
            found = self._store.erasure(project_id, erasure_id)
            return found is None or found.state == "done"

        with self._moved:
            self._moved.wait_for(done, timeout=timeout_s)
        return self._store.erasure(project_id, erasure_id)

    def tick(self, now: datetime) -> int:
        """Take the erasures that are not done further; return how many steps were made since the last tick."""
        if self._thread is not None and self._thread.is_alive():
            return 0
        made, self._steps = self._steps, 0
        due = [row for row in self._store.working_erasures(_AT_ONCE) if self._due(row.record, now)]
        if not due or self._stop.is_set():
            return made
        self._thread = threading.Thread(target=self._work, args=(due, now), name="trimtab-erase", daemon=True)
        self._thread.start()
        if self._inline:
            self._thread.join()
            made, self._steps = made + self._steps, 0
        return made

    def close(self) -> None:
        """Let the step under way end. A second call does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _due(self, erasure: Erasure, now: datetime) -> bool:
        held = self._retry.get(erasure.id)
        return held is None or now >= held[0]

    def _work(self, rows: Sequence[Stored[Erasure]], now: datetime) -> None:
        for row in rows:
            if self._stop.is_set():
                return
            try:
                self._further(row.project_id, row.record)
                self._retry.pop(row.record.id, None)
            except Exception as error:  # noqa: BLE001  it is asked for and must be done: told, and tried again
                self._failed(row, error, now)
            with self._moved:
                self._moved.notify_all()

    def _failed(self, row: Stored[Erasure], error: Exception, now: datetime) -> None:
        said = error.message if isinstance(error, TrimtabError) else type(error).__name__
        _, before = self._retry.get(row.record.id, (now, _BACKOFF / 2))
        pause = min(before * 2, _MAX_BACKOFF)
        self._retry[row.record.id] = (now + pause, pause)
        self._log.error(
            "an erasure waits", id=row.record.id, problem=said, exc_info=not isinstance(error, TrimtabError)
        )
        try:
            held = self._store.erasure(row.project_id, row.record.id)
            if held is not None and held.problem != said[:2000]:
                self._keep(row.project_id, msgspec.structs.replace(held, problem=said[:2000]))
        except TrimtabError:  # the store itself is away
            return

    def _further(self, project_id: str, erasure: Erasure) -> None:
        gone = self._store.gone(project_id, erasure.id)
        if gone.users:  # else the list was thrown away, and only the disk is to be cleared
            if "hot" not in erasure.finished:
                erasure = self._from_hot(project_id, erasure, gone.users)
                gone = self._store.gone(project_id, erasure.id)
            waits = False
            for place in self.places:
                if place.name in erasure.finished or self._stop.is_set():
                    continue
                removed = place.erase(project_id, gone)
                if removed is None:
                    waits = True
                else:
                    erasure = self._finished(project_id, erasure, place.name, removed)
            if waits or self._stop.is_set() or not self._store.judged(project_id, erasure.id):
                return
            erasure = self._store.close_erasure(project_id, msgspec.structs.replace(erasure, problem=""))
        notes = self._store.scrub()
        done = {"state": "done", "finished_at": self._clock.now(), "notes": [*erasure.notes, *notes], "problem": ""}
        self._keep(project_id, msgspec.structs.replace(erasure, **done))
        self._log.info("person erased", project=project_id, id=erasure.id)

    def _from_hot(self, project_id: str, erasure: Erasure, user_ids: Sequence[str]) -> Erasure:
        inferences: list[str] = []
        feedback: list[str] = []
        for find in self._finders:
            told = find(project_id, user_ids)
            inferences += told.inferences
            feedback += told.feedback
        self._store.collect(project_id, erasure.id, inferences=inferences, feedback=feedback)
        self._steps += 1
        return self._store.erase(project_id, erasure)

    def _finished(self, project_id: str, erasure: Erasure, place: str, removed: Removed) -> Erasure:
        counts = {kind: count for kind, count in removed.counts.items() if count}
        told = msgspec.structs.replace(
            erasure,
            removed={**erasure.removed, place: counts} if counts else erasure.removed,
            finished=[*erasure.finished, place],
            notes=[*erasure.notes, *removed.notes],
            problem="",
        )
        self._keep(project_id, told)
        return told

    def _keep(self, project_id: str, erasure: Erasure) -> None:
        self._store.commit({project_id: Writes(erasures=[erasure])})
        self._steps += 1
