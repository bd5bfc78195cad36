"""The detect stage: a cursor over outcomes that feeds one monitor per (feature, version) and opens incidents."""

from __future__ import annotations

from collections.abc import Mapping
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
        groups: dict[tuple[str, str, str], list[Outcome]] = {}
        for row in rows:
            outcome = row.record
            if outcome.vote is not None and outcome.arm != "candidate":
                key = (row.project_id, outcome.feature, outcome.version_id or UNVERSIONED)
                groups.setdefault(key, []).append(outcome)
        writes: dict[str, Writes] = {}
        for (project_id, feature, version_id), outcomes in groups.items():
            self._watch(project_id, feature, version_id, outcomes, now, writes.setdefault(project_id, Writes()))
        self._store.commit(writes, cursors={CURSOR: rows[-1].seq})
        return len(rows)

    def _watch(
        self, project_id: str, feature: str, version_id: str, outcomes: list[Outcome], now: datetime, writes: Writes
    ) -> None:
        monitor = self._monitor(project_id, feature, version_id, now)
        watch = Watch(monitor, self._settings)
        voters = [outcome.voter_id for outcome in outcomes if outcome.voter_id]
        counted = dict(self._store.votes(watch.monitor_id, voters))
        for outcome in outcomes:
            voter, voted_at = outcome.voter_id, outcome.voted_at
            if voter is None or voted_at is None:
                continue
            last = counted.get(voter)
            if last is not None and voted_at < last + self._window:
                continue
            counted[voter] = voted_at
            writes.votes.append(Vote(watch.monitor_id, voter, voted_at))
            incident = watch.take(outcome, now)
            if incident is not None and self._is_news(project_id, incident, writes):
                writes.incidents.append(incident)
        writes.monitors.append(watch.record())

    def _monitor(self, project_id: str, feature: str, version_id: str, now: datetime) -> Monitor:
        """Return the stored monitor of this version, or a new one with its reference.

        A new version is held to what its parent was held to: were its normal rate learned from the time before, a slow
        decline would lower the standard with every version.
        """
        monitors = self._store.monitors(project_id, feature)
        for monitor in monitors:
            if monitor.version_id == version_id:
                return monitor
        fresh = Monitor(
            id=derived_id("monitor", project_id, feature, version_id),
            feature=feature,
            version_id=version_id,
            reference_kind="learning",
            created_at=now,
        )
        override = self._features.get(feature)
        target = (override.reference_rate if override else None) or self._settings.reference_rate
        inherited = self._inherited(project_id, feature, version_id, monitors)
        if target is not None:
            return _replace(fresh, reference=target, reference_kind="target")
        if inherited is not None:
            return _replace(fresh, reference=inherited, reference_kind="inherited")
        return fresh

    def _inherited(self, project_id: str, feature: str, version_id: str, monitors: list[Monitor]) -> float | None:
        by_version = {monitor.version_id: monitor for monitor in monitors}
        version = self._store.version(project_id, feature, version_id)
        for _ in range(len(monitors) + 1):
            if version is None or version.parent_id is None:
                return None
            parent = by_version.get(version.parent_id)
            if parent is not None and parent.reference is not None:
                return parent.reference
            version = self._store.version(project_id, feature, version.parent_id)
        return None

    def _is_news(self, project_id: str, incident: Incident, writes: Writes) -> bool:
        """Say whether an alarm opens an incident: its version is still served and its monitor has none open."""
        rollout = self._store.rollout(project_id, incident.feature)
        if rollout is not None and incident.version_id not in (rollout.stable_version_id, UNVERSIONED):
            return False
        known = self._store.incidents(
            project_id, Query(feature=incident.feature, limit=1000), states=("firing", "recovering")
        )
        open_ones = [*writes.incidents, *(row.record for row in known.rows)]
        return all(held.monitor_id != incident.monitor_id for held in open_ones)


def _replace(monitor: Monitor, **changes: object) -> Monitor:
    return msgspec.structs.replace(monitor, **changes)
