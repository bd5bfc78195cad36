"""Tombstones of the hot store: asked inside every transaction that could bring something of an erased person back.

The question is asked in the writing transaction itself and the tombstone is written alone (`ERASING`), so that on
PostgreSQL, too, a write either ends before the tombstone, and is found by what follows it, or sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import msgspec
from sqlalchemy import bindparam, literal_column, select

from trimtab.errors import Conflict, ErasedPerson
from trimtab.records import Feedback, Inference, Monitor, ReviewItem, Version
from trimtab.store.erasing import Grave, names_of, person
from trimtab.store.hot.database import Database, Prepared, Transaction, holes, prepare
from trimtab.store.hot.erase_reviews import without_members
from trimtab.store.ports import Packed, Writes
from trimtab.store.schema import FEEDBACK, INFERENCES, cursors, tombstones

__all__ = ["ERASING", "Dead", "DeadRows", "Tombstones", "without_users"]

ERASING = "\x00erasing"
"""The claim under which tombstones are written; events come in beside each other, but not beside it."""
_STAGE = "tombstones"
_LOTS = (16, 512)
_INFERENCE_FIELDS = len(INFERENCES.inserted) - len(INFERENCES.fields)
_FEEDBACK_FIELDS = len(FEEDBACK.inserted) - len(FEEDBACK.fields)
_NAMES = ("project_id", "hash", "kind")


_Owned = list[tuple[str, Inference | Feedback]]


class Dead(NamedTuple):
    """What of the things asked about was erased, by kind."""

    user: frozenset[str] = frozenset()
    inference: frozenset[str] = frozenset()
    feedback: frozenset[str] = frozenset()
    name: frozenset[str] = frozenset()

    @property
    def some(self) -> bool:
        """Whether anything was."""
        return any(self)


class DeadRows(NamedTuple):
    """The places of rows, among those of their table, that must not be kept."""

    inferences: frozenset[int] = frozenset()
    feedback: frozenset[int] = frozenset()


class Tombstones:
    """Prepared once. While nobody was ever erased, asking is one row read."""

    def __init__(self, database: Database) -> None:
        version = select(cursors.c.seq).where(cursors.c.stage == bindparam("stage"))
        self._version = prepare(version, database.dialect, ("stage",))
        self._lookup = {size: self._lookup_of(database, size) for size in _LOTS}
        new = database.insert(tombstones).values(holes(_NAMES)).on_conflict_do_nothing()
        self._bury = prepare(new, database.dialect, _NAMES)
        first = database.insert(cursors).values(holes(("stage", "seq")))
        risen = first.on_conflict_do_update(
            index_elements=[cursors.c.stage], set_={"seq": cursors.c.seq + literal_column("1")}
        )
        self._rise = prepare(risen, database.dialect, ("stage", "seq"))

    def bury(self, write: Transaction, project_id: str, kind: Grave, ids: Iterable[str]) -> None:
        """Write tombstones. The transaction must hold the claim `ERASING`."""
        rows = sorted((project_id, person(project_id, each), kind) for each in set(ids))
        if rows:
            write.many(self._bury, rows)
            self.rise(write, _STAGE)

    def rise(self, write: Transaction, stage: str) -> None:
        """Raise a cursor by one."""
        write.many(self._rise, [(stage, 1)])

    def among(self, write: Transaction, project_id: str, asked: Iterable[str]) -> Dead:
        """Return which of these ids and names have a tombstone."""
        if write.one(self._version, (_STAGE,)) is None:
            return Dead()
        by_hash = {person(project_id, each): each for each in set(asked)}
        found: dict[str, set[str]] = {kind: set() for kind in get_args(Grave)}
        for lot in _lots(sorted(by_hash)):
            for hash_, kind in write.found(self._lookup[len(lot)], [project_id, *lot]):
                found[kind].add(by_hash[hash_])
        return Dead(**{kind: frozenset(each) for kind, each in found.items()})

    def packed(self, write: Transaction, packed: Packed) -> DeadRows:
        """Return the places of the rows that are of an erased person or about what was erased with one."""
        if write.one(self._version, (_STAGE,)) is None:
            return DeadRows()
        answers: _Owned = [(row[0], INFERENCES.decode(row[_INFERENCE_FIELDS:])) for row in packed.inferences]
        words: _Owned = [(row[0], FEEDBACK.decode(row[_FEEDBACK_FIELDS:])) for row in packed.feedback]
        gone: tuple[set[int], set[int]] = (set(), set())
        for project_id in {owner for owner, _ in (*answers, *words)}:
            told = (each for owner, event in (*answers, *words) if owner == project_id for each in _told(event))
            dead = self.among(write, project_id, told)
            for places, rows in ((gone[0], answers), (gone[1], words)) if dead.some else ():
                places.update(
                    place for place, (owner, event) in enumerate(rows) if owner == project_id and _is_dead(event, dead)
                )
        return DeadRows(frozenset(gone[0]), frozenset(gone[1]))

    def spared(self, write: Transaction, writes: Mapping[str, Writes]) -> Mapping[str, Writes]:
        """Return the writes without what is of the erased; the same object where nothing is.

        Raises ErasedPerson for a user, Conflict for a version with an exemplar of theirs: made from what was read
        before, it must be made anew.
        """
        if write.one(self._version, (_STAGE,)) is None:
            return writes
        spared = dict(writes)
        for project_id, each in writes.items():
            dead = self.among(write, project_id, _asked(each))
            if dead.some:
                spared[project_id] = _without(each, dead)
        return spared if any(spared[each] is not writes[each] for each in writes) else writes

    @staticmethod
    def _lookup_of(database: Database, size: int) -> Prepared:
        names = [f"h{place}" for place in range(size)]
        statement = select(tombstones.c.hash, tombstones.c.kind).where(
            tombstones.c.project_id == bindparam("project_id"),
            tombstones.c.hash.in_([bindparam(name) for name in names]),
        )
        return prepare(statement, database.dialect, ("project_id", *names))


def _lots(hashes: Sequence[str]) -> Iterator[list[str]]:
    """Yield the hashes in lots of the sizes that are prepared, the last one filled up with itself."""
    small, large = _LOTS
    for start in range(0, len(hashes), large):
        lot = list(hashes[start : start + large])
        size = small if len(lot) <= small else large
        yield lot + lot[-1:] * (size - len(lot))


def _told(event: Inference | Feedback) -> list[str]:
    told = [event.id, *([event.user_id] if event.user_id else [])]
    if isinstance(event, Feedback):
        told += [event.inference_id] if event.inference_id else names_of(event)
    return told


def _is_dead(event: Inference | Feedback, dead: Dead) -> bool:
    if event.user_id in dead.user:
        return True
    if isinstance(event, Inference):
        return event.id in dead.inference
    if event.id in dead.feedback or event.inference_id in dead.inference:
        return True
    return event.inference_id is None and any(name in dead.name for name in names_of(event))


def _sources(version: Version) -> list[str]:
    sources = [item.source_feedback_id for item in version.exemplars]
    sources += [item.source_feedback_id for item in version.knowledge]
    return [source for source in sources if source]


def _versions(writes: Writes) -> list[Version]:
    sealed = [*writes.versions, *writes.rewritten]
    return [one.record for one in sealed if isinstance(one.record, Version)]


def _reviews(writes: Writes) -> list[ReviewItem]:
    return [*writes.reviews, *(one.record for one in writes.reviewed)]


def _is_of(item: ReviewItem, dead: Dead) -> bool:
    if item.inference_id in dead.inference or item.instead_id in dead.feedback:
        return True
    return bool({item.reserved_by, item.asked_of} & dead.user)


def _watched(monitor: Monitor) -> set[str]:
    return {user for mark in monitor.onsets.values() for user in mark["users"]}


def _asked(writes: Writes) -> Iterator[str]:
    """Yield every id by which something in the writes could be of an erased person."""
    for user in writes.users:
        yield user.record.id
    for opinion in writes.opinions:
        yield from (opinion.inference_id, opinion.feedback_id, opinion.user_id or "")
    for outcome in writes.outcomes:
        yield from (outcome.inference_id, outcome.user_id or "", outcome.voter_id or "")
    for feedback_id, inference_id in writes.joined:
        yield from (feedback_id, inference_id)
    for feedback_id, _ in (*writes.orphans, *writes.aims):
        yield feedback_id
    for _, inference_id in writes.targets:
        yield inference_id
    yield from (turn.inference_id for turn in writes.turns)
    yield from (f"session\x00{key}" for key, _ in writes.sessions)
    yield from (vote.user_id for vote in writes.votes)
    yield from (item.inference_id for item in writes.audits)
    for item in _reviews(writes):
        yield from (item.inference_id, item.instead_id or "", item.reserved_by or "", item.asked_of or "")
    for theme in writes.review_themes:
        yield from (theme.inference_id, *theme.members)
    for link in writes.review_links:
        yield from (link.record.inference_id, link.record.reviewer)
    yield from (case.record.feedback_id or "" for case in writes.cases)
    yield from (item.key for item in writes.backfills if item.scope == "user")
    for monitor in writes.monitors:
        yield from _watched(monitor)
    for version in _versions(writes):
        yield from _sources(version)


def _without(writes: Writes, dead: Dead) -> Writes:
    if any(user.record.id in dead.user for user in writes.users):
        raise ErasedPerson("this user was erased, and nothing is kept of them any more; use an id of a new one")
    if any(source in dead.feedback for version in _versions(writes) for source in _sources(version)):
        raise Conflict(
            "what this version learned rests in part on words that were erased meanwhile; make it anew without"
        )
    return msgspec.structs.replace(
        writes,
        opinions=[
            each
            for each in writes.opinions
            if each.user_id not in dead.user
            and each.inference_id not in dead.inference
            and each.feedback_id not in dead.feedback
        ],
        outcomes=[
            each
            for each in writes.outcomes
            if not {each.user_id, each.voter_id} & dead.user and each.inference_id not in dead.inference
        ],
        joined=[each for each in writes.joined if each[0] not in dead.feedback and each[1] not in dead.inference],
        orphans=[each for each in writes.orphans if each[0] not in dead.feedback],
        aims=[each for each in writes.aims if each[0] not in dead.feedback],
        targets=[each for each in writes.targets if each[1] not in dead.inference],
        turns=[each for each in writes.turns if each.inference_id not in dead.inference],
        sessions=[each for each in writes.sessions if f"session\x00{each[0]}" not in dead.name],
        votes=[each for each in writes.votes if each.user_id not in dead.user],
        audits=[each for each in writes.audits if each.inference_id not in dead.inference],
        reviews=[each for each in writes.reviews if not _is_of(each, dead)],
        reviewed=[each for each in writes.reviewed if not _is_of(each.record, dead)],
        review_themes=[
            each if dead.inference.isdisjoint(each.members) else without_members(each, dead.inference)
            for each in writes.review_themes
            if each.inference_id not in dead.inference
        ],
        review_links=[
            each
            for each in writes.review_links
            if each.record.inference_id not in dead.inference and each.record.reviewer not in dead.user
        ],
        cases=[each for each in writes.cases if each.record.feedback_id not in dead.feedback],
        backfills=[each for each in writes.backfills if each.scope != "user" or each.key not in dead.user],
        monitors=[without_users(each, dead.user) for each in writes.monitors],
    )


def without_users(monitor: Monitor, users: Iterable[str]) -> Monitor:
    """Return the monitor without these in its list of who voted against; its counts stay."""
    gone = set(users)
    if not _watched(monitor) & gone:
        return monitor
    onsets = {
        start: {**mark, "users": [user for user in mark["users"] if user not in gone]}
        for start, mark in monitor.onsets.items()
    }
    return msgspec.structs.replace(monitor, onsets=onsets)
