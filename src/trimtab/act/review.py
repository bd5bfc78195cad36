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
from trimtab.records import FeedbackKind, Outcome, ReviewItem, Verdict, WorkLog
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["Candidate", "Reviews", "added", "chosen", "item_id", "priority", "seats", "verdict_id", "worked"]

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
    """Who has which item. All verbs that change one take turns, so that two reviewers never have the same.

    `turn` is their lock; who claims an item, hands its verdict on and closes it holds it for all three.
    """

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
        self.turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._last: dict[tuple[str, str], datetime] = {}  # by project and reviewer, when they closed an item

    def next(
        self, project_id: str, reviewer: str, count: int, now: datetime, feature: str | None = None
    ) -> list[ReviewItem]:
        """Reserve the first `count` items for a reviewer and return them; their own still reserved ones come first."""
        cleaner = self._cleaners.of(project_id)
        known_as = cleaner.identifier(reviewer)
        with self.turn:
            found = self._store.reviewable(project_id, feature, known_as, now, count)
            held = [self._held(item, known_as, now) for item in found]
            sealed = seal_all(cleaner, held)
            if sealed:
                self._store.commit({project_id: Writes(reviewed=sealed)})
        return [each.record for each in sealed]

    def claim(self, project_id: str, item: str, reviewer: str, now: datetime, *, shown: bool = False) -> ReviewItem:
        """Reserve this item for the reviewer who is about to judge it, or to whom it is `shown` now.

        Raises NotFound for an unknown one, Conflict for one that is closed, that another reviewer has or is asked, or
        whose answer the same reviewer judged before.
        """
        cleaner = self._cleaners.of(project_id)
        known_as = cleaner.identifier(reviewer)
        with self.turn:
            found = self._store.review(project_id, item)
            if found is None:
                raise NotFound(f"no review item {item!r}", param="item_id")
            if found.state in ("done", "skipped"):
                raise Conflict(f"review item {item!r} is {found.state} already")
            until = found.reserved_until
            held = found.state == "reserved" and until is not None and until > now
            if held and until is not None and found.reserved_by != known_as:
                raise Conflict(f"another reviewer has review item {item!r} until {until.isoformat()}")
            if found.asked_of is not None and found.asked_of != known_as:
                raise Conflict(f"review item {item!r} is asked of somebody else")
            others = [] if found.card_id is None else self._store.review_card(project_id, found.card_id)
            if any(each.id != item and each.state != "open" and each.reserved_by == known_as for each in others):
                raise Conflict(f"the answer of review item {item!r} was judged by this reviewer, or is about to be")
            if not (held and found.reserved_by == known_as):
                found = msgspec.structs.replace(found, taken_at=None)  # never shown, so no time can be measured
            sealed = seal(cleaner, self._held(found, known_as, now, shown=shown))
            self._store.commit({project_id: Writes(reviewed=[sealed])})
        return sealed.record

    def close(
        self,
        project_id: str,
        item: ReviewItem,
        verdict: Verdict,
        now: datetime,
        seconds: float | None,
        *,
        confirms: bool | None = None,
    ) -> ReviewItem:
        """Close an item that was claimed. Where its reviewers are now of two minds, one more person is asked.

        One about an example that does not confirm the doubt ends it: nobody is asked about its other examples.
        """
        closed = msgspec.structs.replace(
            item,
            state="skipped" if verdict == "skip" else "done",
            verdict=verdict,
            closed_at=now,
            reserved_until=None,
            minutes=self._minutes(project_id, item, now, seconds),
            confirms=confirms,
        )
        with self.turn:
            more = [*self._referee(project_id, closed, now), *self._needless(project_id, closed, now)]
            sealed = seal_all(self._cleaners.of(project_id), [closed, *more])
            self._store.commit({project_id: Writes(reviewed=sealed, work=worked(closed))})
            self._last[project_id, closed.reserved_by or ""] = now
        return sealed[0].record

    def open(self, project_id: str, writes: Writes, stale: Sequence[ReviewItem], now: datetime) -> None:
        """Commit new items, and close those of `stale` that still nobody has, with their cards."""
        with self.turn:
            cards = {each.id: [each] for each in stale if each.card_id is None}
            cards |= {key: self._store.review_card(project_id, key) for key in {each.card_id for each in stale} if key}
            left: list[ReviewItem] = []
            for items in cards.values():
                fresh = [self._store.review(project_id, each.id) for each in items]
                if all(each is not None and each.state == "open" for each in fresh):
                    left += [each for each in fresh if each is not None]
            closed = [msgspec.structs.replace(each, state="skipped", closed_at=now) for each in left]
            writes.reviewed += seal_all(self._cleaners.of(project_id), closed)
            self._store.commit({project_id: writes})

    def asked_of(self, project_id: str, item: str, reviewer: str, now: datetime) -> ReviewItem:
        """Return an item about the same answer that only this person is asked, made where there is none yet.

        An example is asked about once: its own item goes to that person. Raises NotFound for an unknown item, Conflict
        where the person judged the answer already, or the example is somebody else's by now.
        """
        cleaner = self._cleaners.of(project_id)
        known_as = cleaner.identifier(reviewer)
        with self.turn:
            found = self._store.review(project_id, item)
            if found is None:
                raise NotFound(f"no review item {item!r}", param="item_id")
            if found.source == "example":
                return self._handed(project_id, found, known_as, now)
            card = found.card_id or found.id
            others = self._store.review_card(project_id, card) or [found]
            for each in others:
                if each.asked_of == known_as and each.state in ("open", "reserved"):
                    return each
                if each.reserved_by == known_as and each.state != "open":
                    raise Conflict(f"{known_as!r} judged the answer of review item {item!r} already, or is about to")
            extra = _seat(found, card, max(each.seat for each in others) + 1, now)
            extra = msgspec.structs.replace(extra, asked_of=known_as)
            # A card of one becomes a card of two: the first item has to say so, too.
            first = [] if found.card_id else [msgspec.structs.replace(found, card_id=card)]
            sealed = seal_all(cleaner, [extra, *first])
            self._store.commit({project_id: Writes(reviewed=sealed)})
        return sealed[0].record

    def let_go(self, project_id: str, feature: str, now: datetime) -> None:
        """Close the items of guests that no link opens any more, and ask the referee where only those were waited for.

        A referee's own item stays: who has a key needs no link.
        """
        asked: list[ReviewItem] = []
        query: Query | None = Query(feature=feature, limit=1000)
        with self.turn:
            while query is not None:
                page = self._store.reviews(project_id, query, ("open", "reserved"))
                asked += [row.record for row in page.rows if row.record.asked_of is not None and not row.record.referee]
                query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None
            for item in asked:
                links = self._store.review_links(project_id, item.id)
                if not links or any(each.revoked_at is None and each.expires_at > now for each in links):
                    continue
                nobody = {"reserved_by": None, "reserved_until": None, "taken_at": None}
                closed = msgspec.structs.replace(item, state="skipped", closed_at=now, **nobody)
                sealed = seal_all(self._cleaners.of(project_id), [closed, *self._referee(project_id, closed, now)])
                self._store.commit({project_id: Writes(reviewed=sealed)})

    def _held(self, item: ReviewItem, reviewer: str, now: datetime, *, shown: bool = True) -> ReviewItem:
        until = now + timedelta(minutes=self._settings.reserve_minutes)
        again = item.reserved_by == reviewer and item.taken_at is not None
        taken = item.taken_at if again or not shown else now
        return msgspec.structs.replace(
            item, state="reserved", reserved_by=reviewer, reserved_until=until, taken_at=taken
        )

    def _minutes(self, project_id: str, item: ReviewItem, now: datetime, seconds: float | None) -> float | None:
        """Return how long the reviewer took: by their own clock, else from when they had this item and no other.

        Whoever leaves the desk is not at work: more than `idle_minutes` are not counted. None where it was not seen.
        """
        if seconds is None:
            if item.taken_at is None:
                return None
            begun = max(item.taken_at, self._last.get((project_id, item.reserved_by or ""), item.taken_at))
            seconds = max(0.0, (now - begun).total_seconds())
        return min(seconds / 60, self._settings.idle_minutes)

    def _handed(self, project_id: str, item: ReviewItem, reviewer: str, now: datetime) -> ReviewItem:
        """Give an item that nobody else has to one person."""
        held = item.state == "reserved" and item.reserved_until is not None and item.reserved_until > now
        if item.state in ("done", "skipped") or (held and item.reserved_by != reviewer):
            raise Conflict(f"review item {item.id!r} is about an example, which is asked once, and is {item.state}")
        given = seal(self._cleaners.of(project_id), msgspec.structs.replace(item, asked_of=reviewer))
        self._store.commit({project_id: Writes(reviewed=[given])})
        return given.record

    def _needless(self, project_id: str, closed: ReviewItem, now: datetime) -> list[ReviewItem]:
        """Return the open items of a doubt that this one ended, closed."""
        if closed.source != "example" or closed.confirms:
            return []
        looks = self._store.review_looks(project_id, closed.feature, closed.opened_at)
        rest = [each for each in looks if each.doubt_id == closed.doubt_id and each.state == "open"]
        return [msgspec.structs.replace(each, state="skipped", closed_at=now) for each in rest if each.id != closed.id]

    def _referee(self, project_id: str, closed: ReviewItem, now: datetime) -> list[ReviewItem]:
        """Return the item of one more person where as many found the answer good as bad, and nobody is asked still."""
        if closed.card_id is None:
            return []
        card = [each for each in self._store.review_card(project_id, closed.card_id) if each.id != closed.id]
        said = [each.verdict for each in (*card, closed) if each.state == "done"]
        waits = any(each.state in ("open", "reserved") for each in card)
        if waits or any(each.referee for each in card) or not said or said.count("good") != said.count("bad"):
            return []
        named = self._cleaners.of(project_id).identifier(self._settings.referee) if self._settings.referee else None
        busy = {each.reserved_by for each in (*card, closed)}
        extra = _seat(closed, closed.card_id, max(each.seat for each in (*card, closed)) + 1, now)
        return [
            msgspec.structs.replace(
                extra,
                referee=True,
                reason="reviewers are of two minds",
                priority=closed.priority + 1.0,
                asked_of=None if named in busy else named,
            )
        ]


def verdict_id(item: ReviewItem, kind: FeedbackKind) -> str:
    """Return the id of the feedback that a verdict on the item becomes."""
    return derived_id("verdict", item.id, item.reserved_by or "", kind)


def seats(item: ReviewItem, count: int) -> list[ReviewItem]:
    """Return the item for each of `count` reviewers; alone it is no card."""
    if count == 1:
        return [item]
    first = msgspec.structs.replace(item, card_id=item.id)
    return [first, *(_seat(first, item.id, seat, item.opened_at) for seat in range(2, count + 1))]


def _seat(item: ReviewItem, card_id: str, seat: int, now: datetime) -> ReviewItem:
    """Return a fresh item about the same answer."""
    return msgspec.structs.replace(
        item,
        id=derived_id("review", item.inference_id, str(seat)),
        card_id=card_id,
        seat=seat,
        state="open",
        opened_at=now,
        asked_of=None,
        referee=False,
        reserved_by=None,
        reserved_until=None,
        taken_at=None,
        closed_at=None,
        verdict=None,
        minutes=None,
    )


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
