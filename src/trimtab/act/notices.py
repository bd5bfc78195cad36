"""What people are told: deliveries, committed together with what they tell of, so that none is lost and none twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from trimtab.config import NotifyTarget
from trimtab.ids import derived_id
from trimtab.records import Change, Delivery, DeliveryKind, Incident, ReviewItem
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["Notices"]

_TOLD: dict[str, DeliveryKind] = {
    "awaiting": "change.awaiting",
    "canary": "change.canary",
    "paused": "change.paused",
    "promoted": "change.promoted",
    "rolled_back": "change.rolled_back",
}
_INCIDENT = (
    "id",
    "feature",
    "version_id",
    "state",
    "kind",
    "metric",
    "rule",
    "segment",
    "held",
    "onset_at",
    "detected_at",
    "resolved_at",
    "resolution",
    "observed",
    "reference",
    "events",
    "negatives",
    "users",
)
_CHANGE = ("id", "feature", "kind", "state", "reason", "base_version_id", "candidate_version_id", "incident_id")


class Notices:
    """Makes deliveries for the targets that want them. Without targets it does and reads nothing."""

    def __init__(self, store: HotStore, targets: Mapping[str, NotifyTarget]) -> None:
        self._store = store
        self._targets = {name: target for name, target in targets.items() if target.enabled}
        self._open: dict[str, set[str]] = {}  # by project, the incidents that were open at the last look

    def add(self, project_id: str, writes: Writes, now: datetime) -> None:
        """Add to `writes` the deliveries of the moves in it: of incidents and changes to another state, of new asking.

        Compares with what is stored, so nobody else may move these incidents and changes before the commit.
        """
        if not self._targets:
            return
        for change in writes.changes:
            before = self._store.change(project_id, change.id)
            kind = _TOLD.get(change.state)
            if kind is not None and (before is None or before.state != change.state):
                writes.deliveries += self.of_change(kind, before, change, now)
        for incident in writes.incidents:
            if incident.state == "resolved":
                writes.deliveries += self.of_incident("incident.resolved", incident, now)
        by_feature: dict[str, list[ReviewItem]] = {}
        for item in writes.reviews:
            by_feature.setdefault(item.feature, []).append(item)
        for feature, items in by_feature.items():
            body = {"feature": feature, "items": len(items), "incident_id": items[0].incident_id}
            key = derived_id("reviews", *(item.id for item in items))
            writes.deliveries += self.told("review.added", key, feature, {"review": body}, now)

    def seen(self, project_id: str, now: datetime) -> None:
        """Look at the open incidents and commit deliveries of those that opened or closed since the last look."""
        if not self._targets:
            return
        rows = self._store.incidents(project_id, Query(limit=1000), states=("firing", "recovering")).rows
        held = {row.record.id: row.record for row in rows}
        known = self._open.get(project_id)
        gone = self._recent(project_id) if known is None else self._read(project_id, known - held.keys())
        fresh = [incident for key, incident in held.items() if key not in (known or ())]
        found = [each for incident in fresh for each in self.of_incident("incident.opened", incident, now)]
        found += [
            each
            for incident in gone
            if incident.state == "resolved"
            for each in self.of_incident("incident.resolved", incident, now)
        ]
        if found:
            self._store.commit({project_id: Writes(deliveries=found)})
        self._open[project_id] = set(held)

    def of_incident(
        self, kind: DeliveryKind, incident: Incident, now: datetime, *, to_all: bool = False
    ) -> list[Delivery]:
        """Return what to tell of an incident. The ids are its own, so telling it twice changes nothing."""
        body = {"incident": _fields(incident, _INCIDENT)}
        return self.told(kind, incident.id, incident.feature, body, now, to_all=to_all)

    def of_change(self, kind: DeliveryKind, before: Change | None, change: Change, now: datetime) -> list[Delivery]:
        """Return what to tell of a change that moved on; one that resumes its canary tells nothing new."""
        if kind == "change.canary" and before is not None and before.state == "paused":
            return []
        key = derived_id(change.id, now.isoformat()) if kind == "change.paused" else change.id
        return self.told(kind, key, change.feature, {"change": _fields(change, _CHANGE)}, now)

    def told(
        self,
        kind: DeliveryKind,
        key: str,
        feature: str | None,
        body: dict[str, Any],
        now: datetime,
        *,
        to_all: bool = False,
    ) -> list[Delivery]:
        """Return one delivery per target that wants this kind (or `to_all` of the feature), its id made of `key`."""
        return [
            Delivery(
                id=derived_id("delivery", name, kind, key),
                target=name,
                kind=kind,
                state="waiting",
                created_at=now,
                next_at=now,
                feature=feature,
                body=body,
            )
            for name in self.targets(kind, feature, to_all=to_all)
        ]

    def targets(self, kind: DeliveryKind, feature: str | None, *, to_all: bool = False) -> Iterator[str]:
        """Yield the names of the targets that are told of this kind and feature."""
        for name, target in self._targets.items():
            if (to_all or kind in target.on) and (not target.features or feature in target.features):
                yield name

    def _recent(self, project_id: str) -> Iterable[Incident]:
        """Return, after a start, what may have closed while nobody looked: incidents that people were told of."""
        told = self._store.deliveries(project_id, Query(limit=1000)).rows
        opened = {row.record.body["incident"]["id"] for row in told if row.record.kind == "incident.opened"}
        return self._read(project_id, opened)

    def _read(self, project_id: str, incident_ids: Iterable[str]) -> list[Incident]:
        found = (self._store.incident(project_id, key) for key in sorted(incident_ids))
        return [incident for incident in found if incident is not None]


def _fields(record: Incident | Change, names: Iterable[str]) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins({name: getattr(record, name) for name in names})
    return told
