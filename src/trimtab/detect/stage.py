"""The detect stage: a cursor over outcomes that feeds one monitor per (feature, version) and opens incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from trimtab.config import FeatureOverride, Monitoring
from trimtab.detect.rules.explain import segments_of_votes
from trimtab.detect.watch import Sample, Watch
from trimtab.errors import whereabouts
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor, Outcome
from trimtab.store.ports import (
    Aside,
    AsideStore,
    CatalogStore,
    JudgementStore,
    LoopStore,
    Query,
    Stored,
    Vote,
    Writes,
)
from trimtab.store.sieve import Sieve, is_of_the_row

__all__ = ["CURSOR", "UNVERSIONED", "DetectStage"]

CURSOR = "detect"
_AGAIN_AT_ONCE = 50
UNVERSIONED = "unversioned"
"""The version name under which answers are watched that came without one (another tool's traces)."""


T = TypeVar("T", Monitor, Incident)


class DetectStore(JudgementStore, LoopStore, CatalogStore, AsideStore, Protocol):
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

    An outcome that raises is set aside with the cursor that passes it, and its vote is not counted until it is tried
    again; it is then counted as one that was cast later.
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
        self._sieve: Sieve[Stored[Outcome]] = Sieve()

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of outcomes and return how many rows that was."""
        seq, lost = self._store.cursor(CURSOR), 0

        def lose(error: str) -> bool:
            nonlocal lost
            place = self._store.place_after("outcome", seq)
            if place is not None:
                self._put_aside(place.project_id, place.record_id, error, now, place.seq)
                lost += 1
            return place is not None

        rows = self._sieve.read(lambda limit: self._store.outcomes_after(seq, limit), self._batch_rows, lose)
        if rows:
            self._sieve.run(
                rows,
                partial(self._handle, now),
                lambda row, error: self._put_aside(row.project_id, row.record.inference_id, error, now, row.seq),
            )
        if len(rows) < self._batch_rows:
            return len(rows) + lost + self._try_again(now)
        return len(rows)

    def _put_aside(self, project_id: str, inference_id: str, error: str, now: datetime, seq: int) -> None:
        aside = Aside(project_id, self.name, "outcome", inference_id, error, now)
        self._store.commit({project_id: Writes(aside=[aside])}, cursors={CURSOR: seq})

    def _try_again(self, now: datetime) -> int:
        """Count what somebody asked to be tried again; what fails anew stays set aside."""
        asked = self._store.asides(stage=self.name, again=True, limit=_AGAIN_AT_ONCE)
        for aside in asked:
            try:
                found = self._store.outcomes(aside.project_id, [aside.record_id])
                rows = [Stored(0, aside.project_id, outcome) for outcome in found.values()]
                self._handle(now, rows, taken_up=aside)
            except Exception as error:
                if not is_of_the_row(error):
                    raise
                again = aside._replace(error=whereabouts(error), at=now, again=False)
                self._store.commit({aside.project_id: Writes(aside=[again])})
        return len(asked)

    def _handle(self, now: datetime, rows: Sequence[Stored[Outcome]], *, taken_up: Aside | None = None) -> None:
        """Feed rows to their monitors and commit that with the cursor behind them, or, tried again, without."""
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
        if taken_up is not None:
            writes.setdefault(taken_up.project_id, Writes()).taken_up.append(taken_up)
        self._store.commit(writes, cursors={} if taken_up else {CURSOR: rows[-1].seq})

    def _take(self, post: _Post, outcome: Outcome, now: datetime) -> None:
        """Count a vote unless its person was counted within the window."""
        voter, voted_at = outcome.voter_id, outcome.voted_at
        if outcome.vote is None or voter is None or voted_at is None:
            return
        last = post.counted.get(voter)
        if last is not None and voted_at < last + self._window:
            return
        post.counted[voter] = voted_at
        post.votes.append(Vote(post.watch.monitor_id, voter, voted_at))
        incident = post.watch.take(Sample(outcome.vote, voter, voted_at), now)
        if incident is not None and self._is_news(post, incident):
            told = {**incident.detail, "segments": self._segments(post.project_id, incident, outcome.version_id)}
            post.incidents.append(_replace(incident, held=self._held(post.project_id, incident.feature), detail=told))

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

    def _segments(self, project_id: str, incident: Incident, version_id: str | None) -> list[dict[str, object]]:
        found: list[dict[str, object]] = segments_of_votes(self._store, project_id, incident, version_id)
        return found

    def _held(self, project_id: str, feature: str) -> str:
        """Return why nothing may change by itself: voting itself has moved, so votes are not what they were."""
        query = Query(feature=feature, limit=1000)
        rows = self._store.incidents(project_id, query, states=("firing", "recovering")).rows
        return next((row.record.held for row in rows if row.record.kind == "propensity"), "")

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
    return outcome.vote is not None and not outcome.withdrawn and outcome.arm not in ("candidate", "holdback")


def _monitor_id(project_id: str, outcome: Outcome) -> str:
    return derived_id("monitor", project_id, outcome.feature, outcome.version_id or UNVERSIONED)


def _replace(record: T, **changes: object) -> T:
    return msgspec.structs.replace(record, **changes)
