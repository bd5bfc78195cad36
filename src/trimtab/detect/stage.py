"""The detect stage: a cursor over outcomes that feeds one monitor per (feature, version) and opens incidents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from trimtab.config import FeatureOverride, Monitoring
from trimtab.detect.watch import Watch
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor, Outcome
from trimtab.store.ports import CatalogStore, JudgementStore, LoopStore, Query, Vote, Writes

__all__ = ["CURSOR", "UNVERSIONED", "DetectStage"]

CURSOR = "detect"
UNVERSIONED = "unversioned"
"""The version name under which answers are watched that came without one (another tool's traces)."""


class DetectStore(JudgementStore, LoopStore, CatalogStore, Protocol):
    """What this stage needs of the store."""


@dataclass
class _Post:
    """One monitor during one tick, with what is to be written for it."""

    project_id: str
    watch: Watch
    counted: dict[str, datetime]
    votes: list[Vote] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)


class DetectStage:
    """Feeds votes to monitors in order of arrival, at most one per person and window.

    Monitors, vote caps, incidents and the cursor are committed together, so that a vote is counted once whatever
    happens. A candidate's votes are the canary's to judge, not a monitor's; a version no longer served opens nothing.
    """

    name = "detect"

    def __init__(
        self,
        store: DetectStore,
        settings: Monitoring,
        features: Mapping[str, FeatureOverride] | None = None,
        *,
        batch_rows: int = 5000,
    ) -> None:
        self._store = store
        self._settings = settings
        self._features = features or {}
        self._batch_rows = batch_rows
        self._window = timedelta(hours=settings.window_hours)

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of outcomes and return how many rows that was."""
        rows = self._store.outcomes_after(self._store.cursor(CURSOR), self._batch_rows)
        if not rows:
            return 0
        heard = [(_monitor_id(row.project_id, row.record), row) for row in rows if _counts(row.record)]
        posts: dict[str, _Post] = {}
        for key, row in heard:
            if key not in posts:
                monitor = self._monitor(row.project_id, row.record, posts, now)
                voters = [said.record.voter_id for other, said in heard if other == key and said.record.voter_id]
                counted = dict(self._store.votes(key, voters))
                posts[key] = _Post(row.project_id, Watch(monitor, self._settings), counted)
            self._take(posts[key], row.record, now)
        writes: dict[str, Writes] = {}
        for post in posts.values():
            each = writes.setdefault(post.project_id, Writes())
            each.monitors.append(post.watch.record())
            each.votes += post.votes
            each.incidents += post.incidents
        self._store.commit(writes, cursors={CURSOR: rows[-1].seq})
        return len(rows)

    def _take(self, post: _Post, outcome: Outcome, now: datetime) -> None:
        """Count a vote unless its person was counted within the window."""
        voter, voted_at = outcome.voter_id, outcome.voted_at
        if voter is None or voted_at is None:
            return
        last = post.counted.get(voter)
        if last is not None and voted_at < last + self._window:
            return
        post.counted[voter] = voted_at
        post.votes.append(Vote(post.watch.monitor_id, voter, voted_at))
        incident = post.watch.take(outcome, now)
        if incident is not None and self._is_news(post, incident):
            post.incidents.append(incident)

    def _monitor(self, project_id: str, outcome: Outcome, posts: Mapping[str, _Post], now: datetime) -> Monitor:
        """Return the stored monitor of this version, or a new one with its reference.

        A new version is held to what its parent was held to: were its normal rate learned from the time before, a slow
        decline would lower the standard with every version. A target set later begins the watch anew.
        """
        feature, version_id = outcome.feature, outcome.version_id or UNVERSIONED
        monitors = {monitor.version_id: monitor for monitor in self._store.monitors(project_id, feature)}
        for post in posts.values():  # this tick's parents are not stored yet
            monitor = post.watch.record()
            if (post.project_id, monitor.feature) == (project_id, feature):
                monitors[monitor.version_id] = monitor
        override = self._features.get(feature)
        target = (override.reference_rate if override else None) or self._settings.reference_rate
        known = monitors.get(version_id)
        if known is not None and (target is None or target == known.reference):
            return known
        fresh = known or Monitor(
            id=_monitor_id(project_id, outcome),
            feature=feature,
            version_id=version_id,
            reference_kind="learning",
            created_at=now,
        )
        if target is not None:
            return _replace(fresh, reference=target, reference_kind="target", detector={}, onsets={})
        inherited = self._inherited(project_id, feature, version_id, monitors)
        return fresh if inherited is None else _replace(fresh, reference=inherited, reference_kind="inherited")

    def _inherited(
        self, project_id: str, feature: str, version_id: str, monitors: Mapping[str, Monitor]
    ) -> float | None:
        seen = {version_id}
        version = self._store.version(project_id, feature, version_id)
        while version is not None and version.parent_id is not None and version.parent_id not in seen:
            seen.add(version.parent_id)
            parent = monitors.get(version.parent_id)
            if parent is not None and parent.reference is not None:
                return parent.reference
            version = self._store.version(project_id, feature, version.parent_id)
        return None

    def _is_news(self, post: _Post, incident: Incident) -> bool:
        """Say whether an alarm opens an incident: its version is still served and its monitor has none open.

        A version the store does not know is one the app serves by a name of its own; only the app ends it.
        """
        project_id, feature, version_id = post.project_id, incident.feature, incident.version_id
        rollout = self._store.rollout(project_id, feature)
        if rollout is not None and version_id != rollout.stable_version_id:
            ours = self._store.version(project_id, feature, version_id)
            if ours is not None:
                return False
        known = self._store.incidents(project_id, Query(feature=feature, limit=1000), states=("firing", "recovering"))
        open_ones = [*post.incidents, *(row.record for row in known.rows)]
        return all(held.monitor_id != incident.monitor_id for held in open_ones)


def _counts(outcome: Outcome) -> bool:
    return outcome.vote is not None and not outcome.withdrawn and outcome.arm != "candidate"


def _monitor_id(project_id: str, outcome: Outcome) -> str:
    return derived_id("monitor", project_id, outcome.feature, outcome.version_id or UNVERSIONED)


def _replace(monitor: Monitor, **changes: object) -> Monitor:
    return msgspec.structs.replace(monitor, **changes)
