"""The review queue: which answers people are asked about, in which order, and who has which."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np

from trimtab.config import Reviewing
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id
from trimtab.records import Outcome, ReviewItem, Verdict, WorkLog
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import HotStore, Writes

__all__ = ["Candidate", "Reviews", "added", "chosen", "item_id", "priority", "worked"]

_ALIKE = 0.9


class Candidate(NamedTuple):
    """An answer that people may be asked about: its outcome, and the words of its question."""

    outcome: Outcome
    question: str

    @property
    def corrected(self) -> bool:
        """Whether a person said what would have been right."""
        return any(item.kind == "correction" for item in self.outcome.evidence)


def priority(outcome: Outcome, alike: int, *, corrected: bool) -> float:
    """Return how much a verdict on this answer is worth; larger comes first.

    P(bad) x confidence x (1 + ln(1 + alike)) + 0.5 where a correction waits to be confirmed. `alike` are the other bad
    answers to questions like this one: a verdict speaks for them, too.
    """
    return outcome.p_bad * outcome.confidence * (1 + math.log1p(alike)) + 0.5 * corrected


def chosen(candidates: Sequence[Candidate], budget: int, alike: int) -> list[tuple[Candidate, float, int]]:
    """Return at most `budget` candidates with their priority and how many are alike, the first to ask about first.

    Of questions that are nearly the same (cosine of their words at least 0.9) at most `alike` are taken.
    """
    groups = _groups([candidate.question for candidate in candidates])
    sizes = Counter(groups)
    rated = [
        (candidate, priority(candidate.outcome, sizes[group] - 1, corrected=candidate.corrected), group)
        for candidate, group in zip(candidates, groups, strict=True)
    ]
    rated.sort(key=lambda row: (-row[1], row[0].outcome.created_at, row[0].outcome.inference_id))
    taken: dict[int, int] = {}
    found: list[tuple[Candidate, float, int]] = []
    for candidate, worth, group in rated:
        if len(found) < budget and taken.get(group, 0) < alike:
            taken[group] = taken.get(group, 0) + 1
            found.append((candidate, worth, sizes[group] - 1))
    return found


def _groups(texts: Sequence[str]) -> list[int]:
    """Return the group of each text: that of the first text before it which is nearly the same, else a new one."""
    if not texts:
        return []
    rows = LexicalEmbedder().embed(texts)
    leaders: list[int] = []
    found: list[int] = []
    for place in range(len(texts)):
        near = rows[leaders] @ rows[place] >= _ALIKE if leaders else np.zeros(0, dtype=bool)
        if near.any():
            found.append(int(near.argmax()))
        else:
            found.append(len(leaders))
            leaders.append(place)
    return found


def item_id(inference_id: str) -> str:
    """Return the id of an answer's review item: there is one, whoever asks for it."""
    return derived_id("review", inference_id)


class Reviews:
    """Who has which item. All verbs that change one take turns, so that two reviewers never have the same."""

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        settings: Reviewing,
        *,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()

    def next(
        self, project_id: str, reviewer: str, count: int, now: datetime, feature: str | None = None
    ) -> list[ReviewItem]:
        """Reserve the first `count` items for a reviewer and return them; their own still reserved ones come first."""
        cleaner = self._cleaners.of(project_id)
        known_as = cleaner.identifier(reviewer)
        with self._turn:
            found = self._store.reviewable(project_id, feature, known_as, now, count)
            held = [self._held(item, known_as, now) for item in found]
            sealed = seal_all(cleaner, held)
            if sealed:
                self._store.commit({project_id: Writes(reviewed=sealed)})
        return [each.record for each in sealed]

    def claim(self, project_id: str, item: str, reviewer: str, now: datetime) -> ReviewItem:
        """Reserve this item for the reviewer who is about to judge it.

        Raises NotFound for an unknown one, Conflict for one that is closed, or that another reviewer has.
        """
        cleaner = self._cleaners.of(project_id)
        known_as = cleaner.identifier(reviewer)
        with self._turn:
            found = self._store.review(project_id, item)
            if found is None:
                raise NotFound(f"no review item {item!r}", param="item_id")
            if found.state in ("done", "skipped"):
                raise Conflict(f"review item {item!r} is {found.state} already")
            until = found.reserved_until
            if found.state == "reserved" and found.reserved_by != known_as and until is not None and until > now:
                raise Conflict(f"another reviewer has review item {item!r} until {until.isoformat()}")
            sealed = seal(cleaner, self._held(found, known_as, now))
            self._store.commit({project_id: Writes(reviewed=[sealed])})
        return sealed.record

    def close(
        self, project_id: str, item: ReviewItem, verdict: Verdict, now: datetime, seconds: float | None
    ) -> ReviewItem:
        """Close an item that was claimed."""
        closed = msgspec.structs.replace(
            item,
            state="skipped" if verdict == "skip" else "done",
            verdict=verdict,
            closed_at=now,
            reserved_until=None,
            minutes=None if seconds is None else seconds / 60,
        )
        with self._turn:
            sealed = seal(self._cleaners.of(project_id), closed)
            self._store.commit({project_id: Writes(reviewed=[sealed], work=worked(closed))})
        return sealed.record

    def _held(self, item: ReviewItem, reviewer: str, now: datetime) -> ReviewItem:
        until = now + timedelta(minutes=self._settings.reserve_minutes)
        return msgspec.structs.replace(item, state="reserved", reserved_by=reviewer, reserved_until=until)


def worked(item: ReviewItem) -> list[WorkLog]:
    """Return what goes into the log of work when an item is closed: nothing where its minutes were not measured."""
    if item.minutes is None or item.closed_at is None:
        return []
    told = {"feature": item.feature, "incident_id": item.incident_id}
    made = derived_id("work", item.id)
    return [WorkLog(id=made, at=item.closed_at, kind="review", minutes=item.minutes, source="measured", **told)]


def added(
    found: Iterable[tuple[Candidate, float, int]], feature: str, incident_id: str, now: datetime
) -> list[ReviewItem]:
    """Return the items of an incident's chosen answers."""
    return [
        ReviewItem(
            id=item_id(candidate.outcome.inference_id),
            feature=feature,
            inference_id=candidate.outcome.inference_id,
            source="incident",
            state="open",
            reason=_reason(candidate, alike),
            priority=worth,
            opened_at=now,
            incident_id=incident_id,
        )
        for candidate, worth, alike in found
    ]


def _reason(candidate: Candidate, alike: int) -> str:
    outcome = candidate.outcome
    parts = [f"bad with {outcome.p_bad:.0%} (confidence {outcome.confidence:.0%})"]
    if alike:
        parts.append(f"{alike} others like it")
    if candidate.corrected:
        parts.append("a correction to confirm")
    return ", ".join(parts)
