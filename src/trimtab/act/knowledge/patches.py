"""Patches: what an app's index must hold, made from what its feature serves, and what is known of how that went."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.errors import Conflict, NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import Chunk, Knowledge, KnowledgePatch, PatchState, Rollout, Version
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import CatalogStore, EventStore, KnowledgeStore, LoopStore, Query, Writes

__all__ = ["LIVE", "SOURCE_CORRECTED", "PatchDesk", "PatchStore"]

LIVE: tuple[PatchState, ...] = ("waiting", "delivered", "verified", "unverified")
SOURCE_CORRECTED = "the app's own document says so by now"
_MOST = 10_000
_PAGE = 1000


class PatchStore(CatalogStore, EventStore, LoopStore, KnowledgeStore, Protocol):
    """What patches need of the store."""


class PatchDesk:
    """The one place that writes patches: the stage and the routes of an engine share it, and its lock."""

    def __init__(self, store: PatchStore, cleaners: Cleaners, settings: KnowledgeSettings) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._turn = threading.RLock()

    def follow(
        self, project_id: str, rollout: Rollout, stable: Version, now: datetime, *, mended: Collection[str] = ()
    ) -> int:
        """Write the patches that bring an index to what everyone is served; return how many.

        An entry that is served and was not delivered is an upsert. One that is served no more (rolled back, expired,
        erased), or stands in `mended` since its source says so by now, is withdrawn and followed by a delete, whether
        or not anybody had carried it out: it may have been fetched. Called again it writes nothing, and nothing for
        a rollout that has moved on meanwhile.
        """
        with self._turn:
            current = self._store.rollout(project_id, rollout.feature)
            if current is None or current.revision != rollout.revision:
                return 0
            query = Query(feature=rollout.feature, limit=_MOST)
            known = [row.record for row in self._store.patches(project_id, query).rows]  # newest first
            live = {item.entry_id: item for item in reversed(known) if item.kind == "upsert" and item.state in LIVE}
            dead = {item.entry_id for item in known if item.error == SOURCE_CORRECTED} | set(mended)
            served = {
                item.id: item
                for item in stable.knowledge
                if item.id not in dead and (item.expires_at is None or now < item.expires_at)
            }
            patches: list[KnowledgePatch] = []
            for entry in served.values():
                old = live.get(entry.id)
                if old is None or (old.question, old.text) != (entry.question, entry.text):
                    patches += [_withdrawn(item) for item in known if item.entry_id == entry.id and item.state in LIVE]
                    patches.append(_upsert(entry, rollout, now))
            for item in live.values():
                if item.entry_id not in served:
                    why = SOURCE_CORRECTED if item.entry_id in mended else ""
                    patches += [_withdrawn(item, why), _delete(item, rollout.stable_version_id, now)]
            if patches:
                self._store.commit({project_id: Writes(patches=seal_all(self._cleaners.of(project_id), patches))})
            return len(patches)

    def forget(self, project_id: str, entry_ids: Collection[str], now: datetime) -> int:
        """Take the words of these entries out of every patch, each followed by a delete; return how many had any."""
        with self._turn:
            live = list(self._live(project_id))
            held = [item for item in live if item.kind == "upsert" and item.entry_id in entry_ids]
            patches = [each for item in held for each in (_withdrawn(item), _delete(item, item.version_id, now))]
            if patches:
                self._store.commit({project_id: Writes(patches=seal_all(self._cleaners.of(project_id), patches))})
            return len(held)

    def acknowledge(
        self,
        project_id: str,
        patch_id: str,
        chunk_ids: Sequence[str],
        retrieved: Sequence[str] | None,
        now: datetime,
    ) -> KnowledgePatch:
        """Write down that a patch was carried out, as which chunks, and what the index gives for its question.

        An upsert is verified when one of its chunks (or its entry's id) is among the first `knowledge.top_k` of
        `retrieved`, unverified when none is, delivered when `retrieved` is None; a delete is delivered. A second word
        on the same patch takes the place of the first. Raises NotFound, and Conflict for a patch that was withdrawn
        meanwhile: the delete that follows it takes out what was written.
        """
        with self._turn:
            patch = self._store.patch(project_id, patch_id)
            if patch is None:
                raise NotFound(f"no patch {patch_id!r}", param="patch_id")
            if patch.state == "withdrawn":
                raise Conflict(f"patch {patch_id!r} was withdrawn; a delete of {patch.entry_id!r} follows it")
            chunks = [Chunk(id=item) for item in chunk_ids] or patch.chunks
            moved = msgspec.structs.replace(
                patch,
                state="delivered",
                chunks=chunks,
                delivered_at=patch.delivered_at or now,
                next_at=now,
                error="",
                attempts=0,
            )
            if retrieved is not None and patch.kind == "upsert":
                moved = self._judged(moved, retrieved, now)
            return self._written(project_id, moved)

    def check(
        self, project_id: str, patch: KnowledgePatch, retrieved: Sequence[str], now: datetime, next_at: datetime
    ) -> None:
        """Write down what the index gave for a delivered patch's question, unless the patch has moved on since."""
        with self._turn:
            current = self._store.patch(project_id, patch.id)
            if current is not None and current.state == patch.state:
                judged = self._judged(current, retrieved, now)
                self._written(project_id, msgspec.structs.replace(judged, next_at=next_at))

    def failed(self, project_id: str, patch: KnowledgePatch, error: str, next_at: datetime) -> None:
        """Write down that a try went wrong, and when the next one is due."""
        with self._turn:
            current = self._store.patch(project_id, patch.id)
            if current is not None and current.state == patch.state:
                tried = {"attempts": current.attempts + 1, "error": error[:500], "next_at": next_at}
                self._written(project_id, msgspec.structs.replace(current, **tried))

    def _live(self, project_id: str) -> Iterator[KnowledgePatch]:
        """Yield all patches that are not withdrawn, of whichever feature."""
        query: Query | None = Query(limit=_PAGE)
        while query is not None:
            page = self._store.patches(project_id, query, LIVE)
            yield from (row.record for row in page.rows)
            query = Query(limit=_PAGE, after=page.next) if page.next is not None else None

    def _judged(self, patch: KnowledgePatch, retrieved: Sequence[str], now: datetime) -> KnowledgePatch:
        first = list(retrieved)[: self._settings.top_k]
        own = {patch.entry_id, *(chunk.id for chunk in patch.chunks)}
        state: PatchState = "verified" if own & set(first) else "unverified"
        found = [Chunk(id=item) for item in first]
        return msgspec.structs.replace(
            patch, state=state, retrieved=found, checked_at=now, attempts=patch.attempts + 1, error=""
        )

    def _written(self, project_id: str, patch: KnowledgePatch) -> KnowledgePatch:
        sealed = seal(self._cleaners.of(project_id), patch)
        self._store.commit({project_id: Writes(patches=[sealed])})
        return sealed.record


def _upsert(entry: Knowledge, rollout: Rollout, now: datetime) -> KnowledgePatch:
    said = content_id("t", f"{entry.question}\x00{entry.text}".encode())
    return KnowledgePatch(
        id=derived_id("patch", "upsert", rollout.feature, entry.id, said, str(rollout.revision)),
        feature=rollout.feature,
        kind="upsert",
        state="waiting",
        created_at=now,
        next_at=now,
        entry_id=entry.id,
        version_id=rollout.stable_version_id,
        question=entry.question,
        text=entry.text,
        source_id=entry.source_id,
        expires_at=entry.expires_at,
    )


def _withdrawn(patch: KnowledgePatch, why: str = "") -> KnowledgePatch:
    return msgspec.structs.replace(patch, state="withdrawn", question="", text="", error=why or patch.error)


def _delete(patch: KnowledgePatch, version_id: str, now: datetime) -> KnowledgePatch:
    return KnowledgePatch(
        id=derived_id("patch", "delete", patch.id),
        feature=patch.feature,
        kind="delete",
        state="waiting",
        created_at=now,
        next_at=now,
        entry_id=patch.entry_id,
        version_id=version_id,
        source_id=patch.source_id,
        chunks=patch.chunks,
    )
