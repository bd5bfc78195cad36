"""Taking an erased person's words out of the versions that learned from them."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from trimtab.clock import Clock
from trimtab.ids import content_id
from trimtab.records import Redacted, Rollout, Version
from trimtab.redact.again import seal_again
from trimtab.redact.project import Cleaners
from trimtab.store.erasing import Gone, Removed
from trimtab.store.ports import CatalogStore, LoopStore, Switch, Writes

__all__ = ["ForgetExemplars"]


class ForgetStore(CatalogStore, LoopStore, Protocol):
    """What this place needs of the store."""


class ForgetExemplars:
    """The versions, as a place something of a person may be in.

    An exemplar, a piece of knowledge or a rule from their words leaves every version's row; the version keeps its id,
    by which incidents, trials and counters know it. Where it is served now, the rollout's revision rises, so that apps
    fetch it anew within seconds.
    """

    name = "versions"

    def __init__(
        self, store: ForgetStore, cleaners: Cleaners, clock: Clock, *, turn: AbstractContextManager[Any] | None = None
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._clock = clock
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Take out what was made of their words. Raises Conflict when a feature was switched in the same moment."""
        counts = dict.fromkeys(("versions", "exemplars", "knowledge", "rules"), 0)
        notes: list[str] = []
        words = set(gone.feedback) | {content_id("x", each.encode()) for each in gone.feedback}
        for feature in self._store.features(project_id) if words else []:
            with self._turn:
                found = [
                    (version, after)
                    for version in self._store.versions(project_id, feature.name)
                    if (after := _without(version, words)) is not version
                ]
                if not found:
                    continue
                rollout = self._store.rollout(project_id, feature.name)
                served = _served(rollout) if rollout else set()
                changed = [version.id for version, _ in found if version.id in served]
                writes = Writes(rewritten=self._sealed(project_id, [after for _, after in found]))
                if rollout is not None and changed:
                    writes.switches = [self._announced(rollout)]
                self._store.commit({project_id: writes})
            counts["versions"] += len(found)
            counts["exemplars"] += sum(len(one.exemplars) - len(after.exemplars) for one, after in found)
            counts["rules"] += sum(len(one.rules) - len(after.rules) for one, after in found)
            counts["knowledge"] += sum(len(one.knowledge) - len(after.knowledge) for one, after in found)
            notes += [
                f"version {each} of {feature.name!r}, served now, goes on without what it learned from them"
                for each in changed
            ]
        return Removed({kind: count for kind, count in counts.items() if count}, notes)

    def _sealed(self, project_id: str, versions: list[Version]) -> list[Redacted[Any]]:
        return [sealed for sealed, _ in seal_again(self._cleaners.of(project_id), versions)]

    def _announced(self, rollout: Rollout) -> Switch:
        again = msgspec.structs.replace(rollout, revision=rollout.revision + 1, updated_at=self._clock.now())
        return Switch(again, rollout.revision)


def _served(rollout: Rollout) -> set[str | None]:
    return {rollout.stable_version_id, rollout.candidate_version_id, rollout.holdback_version_id}


def _without(version: Version, words: set[str]) -> Version:
    exemplars = [one for one in version.exemplars if one.id not in words and one.source_feedback_id not in words]
    knowledge = [one for one in version.knowledge if one.id not in words and one.source_feedback_id not in words]
    rules = [one for one in version.rules if words.isdisjoint(one.source_feedback_ids)]
    kept = len(exemplars) + len(knowledge) + len(rules)
    if kept == len(version.exemplars) + len(version.knowledge) + len(version.rules):
        return version
    return msgspec.structs.replace(version, exemplars=exemplars, knowledge=knowledge, rules=rules)
