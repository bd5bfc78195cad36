"""The stage that brings knowledge to the app's index, once a Version that has it is everyone's."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from trimtab.act.actions.knowledge import corrected_sources
from trimtab.act.knowledge.index import Retriever, Webhook
from trimtab.act.knowledge.patches import PatchDesk, PatchStore
from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.errors import Conflict, TrimtabError, Unavailable
from trimtab.records import KnowledgePatch, Rollout, Version
from trimtab.store.ports import Query, Stored

__all__ = ["KnowledgeStage", "KnowledgeStageStore"]

_LOOK_EVERY = timedelta(hours=1)
_LOOKED_AT = 200
_LOT = 20
_CHECKS = 5


class KnowledgeStageStore(PatchStore, Protocol):
    """What this stage needs of the store."""


class KnowledgeStage:
    """Follows what features serve, hands patches to the app's webhook, and asks its index whether they are found.

    A patch is a row that waits; without a webhook the app's own worker fetches it. What was handed over is written down
    afterwards, so that one killed in between is handed over again under the same id. An index that does not find what
    it was given is asked five times, ever more rarely. The network is talked to in a thread (`inline`: in the tick).
    """

    name = "knowledge"

    def __init__(
        self,
        store: KnowledgeStageStore,
        desk: PatchDesk,
        settings: KnowledgeSettings,
        *,
        webhook: Webhook | None = None,
        retriever: Retriever | None = None,
        inline: bool = False,
    ) -> None:
        self._store = store
        self._desk = desk
        self._settings = settings
        self._webhook = webhook
        self._retriever = retriever
        self._inline = inline
        self._seen: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._log = structlog.get_logger("trimtab.knowledge")

    def tick(self, now: datetime) -> int:
        """Write the patches that are due and hand some over; return how many were written or, inline, tried."""
        handled = 0
        for project in self._store.projects():
            for rollout in self._store.rollouts(project.id).values():
                handled += self._follow(project.id, rollout, now)
        if self._webhook is None and self._retriever is None:
            return handled
        if self._inline:
            return handled + self._round(now)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._guarded, args=(now,), name="trimtab-knowledge", daemon=True)
            self._thread.start()
        return handled

    def close(self) -> None:
        """Let what is on its way end and send nothing more. A second call does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, project_id: str, rollout: Rollout, now: datetime) -> int:
        feature = rollout.feature
        seen = self._seen.get((project_id, feature))
        if seen is not None and seen[0] == rollout.revision and seen[1] - _LOOK_EVERY <= now < seen[1]:
            return 0
        stable = self._store.version(project_id, feature, rollout.stable_version_id)
        written = 0
        if stable is not None:
            mended = self._mended(project_id, stable) if stable.knowledge else set()
            written = self._desk.follow(project_id, rollout, stable, now, mended=mended)
        ends = (
            [item.expires_at for item in stable.knowledge if item.expires_at and item.expires_at > now]
            if stable
            else []
        )
        self._seen[project_id, feature] = rollout.revision, min([now + _LOOK_EVERY, *ends])
        return written

    def _mended(self, project_id: str, stable: Version) -> set[str]:
        """Return the entries whose source, as answers were last given with it, says by now what they say."""
        query = Query(feature=stable.feature, limit=_LOOKED_AT)
        recent = [row.record for row in self._store.list_inferences(project_id, query).rows]
        return corrected_sources(stable.knowledge, recent)

    def _guarded(self, now: datetime) -> None:
        try:
            self._round(now)
        except Exception as error:  # noqa: BLE001  a thread's error has nobody else to tell
            told = error.message if isinstance(error, TrimtabError) else type(error).__name__
            self._log.error("patches could not be written down", error=told)

    def _round(self, now: datetime) -> int:
        tried = 0
        for project in self._store.projects():
            waiting = self._store.due_patches(project.id, ("waiting",), now, _LOT) if self._webhook else []
            for row in waiting:
                tried += self._hand_over(project.id, row.record, now)
            for row in self._to_check(project.id, now) if self._retriever else []:
                tried += self._check(project.id, row.record, now)
        return tried

    def _to_check(self, project_id: str, now: datetime) -> list[Stored[KnowledgePatch]]:
        return self._store.due_patches(project_id, ("delivered", "unverified"), now, _LOT, checks=_CHECKS)

    def _hand_over(self, project_id: str, patch: KnowledgePatch, now: datetime) -> int:
        if self._stop.is_set() or self._webhook is None:
            return 0
        try:
            done = self._webhook.deliver(patch, now)
        except Unavailable as error:
            self._desk.failed(project_id, patch, error.message, self._later(patch, now))
            return 1
        try:
            self._desk.acknowledge(project_id, patch.id, done.chunk_ids, done.retrieved, now)
        except Conflict:  # withdrawn while it was on its way: its delete follows
            self._log.info("a patch was withdrawn while it was handed over", patch_id=patch.id)
        return 1

    def _check(self, project_id: str, patch: KnowledgePatch, now: datetime) -> int:
        if self._stop.is_set() or self._retriever is None:
            return 0
        try:
            found = self._retriever.retrieve(patch.feature, patch.question or patch.text, self._settings.top_k)
        except Unavailable as error:
            self._desk.failed(project_id, patch, error.message, self._later(patch, now))
            return 1
        self._desk.check(project_id, patch, [chunk.id for chunk in found], now, self._later(patch, now))
        return 1

    def _later(self, patch: KnowledgePatch, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.retry_s * 2 ** min(patch.attempts, 10))
