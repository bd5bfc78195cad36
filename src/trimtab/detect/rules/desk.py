"""The incidents of one project during one batch: opened, moved, or kept quiet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from trimtab.detect.rules.explain import segments_by_lift
from trimtab.detect.rules.newness import newness
from trimtab.detect.rules.post import Move, Post
from trimtab.detect.rules.sampling import OTHER
from trimtab.records import Incident, IncidentState, Silence
from trimtab.store.ports import EventStore, JudgementStore, LoopStore, Query, Writes

__all__ = ["OPEN", "Desk", "DeskStore", "moved"]

OPEN: tuple[IncidentState, ...] = ("firing", "recovering")
_STATES: Mapping[str, IncidentState] = {"recover": "recovering", "refire": "firing"}
_EXPLAINED = 20  # of the incidents that one batch opens: a flood has one cause
_ABOUT_VOTES = ("vote", "outcome")


class DeskStore(EventStore, JudgementStore, LoopStore, Protocol):
    """What is asked here."""


class Desk:
    """Carries out what groups ask for, into `writes`; what it must know it asks the store once."""

    def __init__(self, store: DeskStore, project_id: str, now: datetime, writes: Writes) -> None:
        self._store = store
        self._project_id = project_id
        self._now = now
        self._writes = writes
        self._changed: dict[str, Incident] = {}
        self._silences: list[Silence] | None = None
        self._open: dict[str, list[Incident]] = {}

    def carry_out(self, post: Post, moves: Iterable[Move], group: dict[str, str] | None = None) -> None:
        """Let the moves of a group come true; `group` is what its answers have in common, where that is known."""
        for move in moves:
            if move.incident is not None:
                self._begin(post, move.incident, group)
                continue
            held = self._changed.get(move.incident_id) or self._store.incident(self._project_id, move.incident_id)
            if held is not None and held.state != "resolved":
                self._note(moved(held, move, self._now))

    def notice_closed(self, post: Post) -> None:
        """Let a group go on when a person, or what is served, has closed its incident."""
        told = post.open_incident
        if told is None or told in self._changed:
            return
        incident = self._store.incident(self._project_id, told)
        if incident is None or incident.state == "resolved":
            ended_at = (incident.resolved_at if incident else None) or self._now
            by_hand = incident is not None and incident.resolution == "manual"
            (post.accept if by_hand else post.let_go)(ended_at)

    def _begin(self, post: Post, incident: Incident, group: dict[str, str] | None) -> None:
        if self._is_silenced(incident) or self._is_said_already(post, incident):
            post.dismiss()
            return
        changes: dict[str, Any] = {}
        if incident.kind == "drift" and not self._tells(post, incident, changes):
            post.dismiss()
            return
        if not incident.held and incident.metric in _ABOUT_VOTES:
            shifted = (each.held for each in self._opened(incident.feature) if each.kind == "propensity")
            changes["held"] = next(shifted, "")
        if group is not None and incident.kind not in ("no_data", "drift") and len(self._changed) < _EXPLAINED:
            found = segments_by_lift(self._store, self._project_id, post.rule, incident, group)
            changes["detail"] = {**incident.detail, "segments": found}
        self._note(msgspec.structs.replace(incident, **changes))

    def _tells(self, post: Post, incident: Incident, changes: dict[str, Any]) -> bool:
        """Add what is new in what people ask; say whether enough people stand behind it."""
        watch = post.inputs
        if watch is None or OTHER in incident.segment.values() or len(self._changed) >= _EXPLAINED:
            return True
        found = newness(self._store, self._project_id, post.rule, incident, watch.normal, watch.carried_by)
        changes["users"] = found.users
        changes["detail"] = {**incident.detail, "drift": {**incident.detail["drift"], **found.detail}}
        return found.users >= post.rule.spec.min_users

    def _note(self, incident: Incident) -> None:
        self._changed[incident.id] = incident
        self._writes.incidents = list(self._changed.values())

    def _is_silenced(self, incident: Incident) -> bool:
        if self._silences is None:
            self._silences = self._store.silences(self._project_id, self._now)
        return any(each.rule == incident.rule and each.feature in (None, incident.feature) for each in self._silences)

    def _is_said_already(self, post: Post, incident: Incident) -> bool:
        """Say whether a wider watch, or the one that is always there, fires on the same feature."""
        wider = post.rule.spec.inhibited_by
        if not wider:
            return False
        known = {each.id: each for each in self._opened(incident.feature)} | self._changed
        return any(
            each.rule in wider and each.feature == incident.feature and each.state == "firing"
            for each in known.values()
        )

    def _opened(self, feature: str) -> list[Incident]:
        """Return what the store has open about a feature."""
        if feature not in self._open:
            query = Query(feature=feature, limit=1000)
            rows = self._store.incidents(self._project_id, query, states=OPEN).rows
            self._open[feature] = [row.record for row in rows]
        return self._open[feature]


def moved(incident: Incident, move: Move, now: datetime) -> Incident:
    """Return an open incident as the move leaves it."""
    if move.verb in _STATES:
        return msgspec.structs.replace(incident, state=_STATES[move.verb])
    how: Literal["verified", "superseded"] = "verified" if move.verb == "resolve" else "superseded"
    return msgspec.structs.replace(incident, state="resolved", resolution=how, resolved_at=now)
