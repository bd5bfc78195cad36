"""The ways to keep documents right that a study compares. Each is what people do at the end of some days."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Literal, get_args

from trimtab.errors import InputError
from trimtab.records import Change, ChangeState, KnowledgePatch
from trimtab.store.ports import Query
from trimtab.study.arms import Arm, DocumentTally, Labour, Mend
from trimtab.study.knowledge.session import DeskSession
from trimtab.study.stream import FEATURE, PROJECT
from trimtab.study.world import START, Drift

__all__ = ["DESK_ARMS", "DeskArm", "make_desk_arm"]

DeskArmName = Literal["static", "human", "closed", "oracle"]
DESK_ARMS: tuple[DeskArmName, ...] = get_args(DeskArmName)
_MONTH_DAYS = 28
_MOST = 10_000
_TWICE = (3, 7)
_UNDECIDED: tuple[ChangeState, ...] = ("awaiting", "paused")


class DeskArm(Arm[DeskSession]):
    """What an arm's people do. `mended` says when a page was first right again after its policy had changed."""

    automatic = False

    def __init__(self, labour: Labour) -> None:
        super().__init__(labour)
        self.mended: dict[str, datetime] = {}

    def documents(self, session: DeskSession) -> DocumentTally:
        """Count what became of the pages and of the entries beside them."""
        until = session.clock.now()
        mends = []
        for drift in session.world.drifts:
            began = START + timedelta(weeks=drift.week)
            at = self._first_right(session, drift)
            mends.append(Mend(days=_days(at - began) if at else None, age=_days(until - began)))
        upserts = [patch for patch in session.carried_out if patch.kind == "upsert"]
        served = session.stable().knowledge
        rows = session.engine.store.patches(PROJECT, Query(feature=FEATURE, limit=_MOST)).rows
        return DocumentTally(
            mends=mends,
            patches=dict(Counter(f"{row.record.kind} {row.record.state}" for row in rows)),
            entries=len(upserts),
            wrong=sum(not session.is_right(each.question, each.text, _when(each)) for each in upserts),
            served=len(served),
            outdated=sum(not session.is_right(each.question, each.text, until) for each in served),
        )

    def _first_right(self, session: DeskSession, drift: Drift) -> datetime | None:
        """Return when the index first held what a policy became."""
        return self.mended.get(session.page_of[drift.label])


class _Monthly(DeskArm):
    """Once a month somebody reads all complaints, and rereads and mends the pages that drew most of them."""

    def after(self, session: DeskSession, now: datetime) -> None:
        day = (now - START).days
        if day <= 0 or day % _MONTH_DAYS:
            return
        complaints = [item for item in session.since(now - timedelta(days=_MONTH_DAYS)) if item.vote == 0]
        drawn = Counter(item.sources[0] for item in complaints)
        for page_id, count in drawn.most_common(self.labour.documents_a_month):
            if count < self.labour.complaints_to_look:
                continue
            right = session.right_page(page_id, now)
            was_right = session.desk.pages[page_id].answer == right
            written = session.slipped(right)
            if written != session.desk.pages[page_id].answer:
                session.desk.write(page_id, written)
            if not was_right and written == right:
                self.mended.setdefault(page_id, now)
            self.labels += 1
            self.errors_found += not was_right
            self.hours["label"] += self.labour.minutes_per_document / 60
        self.hours["review"] += len(complaints) * self.labour.minutes_per_complaint / 60


class _Oracle(DeskArm):
    """The pages change on the day on which the policies do."""

    def after(self, session: DeskSession, now: datetime) -> None:
        for page_id, page in session.desk.pages.items():
            right = session.right_page(page_id, now)
            if now >= START and page.answer != right:
                session.desk.write(page_id, right)
                self.mended[page_id] = now
                self.labels += 1
                self.errors_found += 1


class _Closed(DeskArm):
    """The engine acts by itself, and somebody answers what it asks, twice a week; then the worker works off patches.

    What gate and canary have not refused, and two days of votes have not decided, somebody reads: one look at each
    entry that is new, and the change is approved if most of them are right, else taken back. Wrong ones among right
    ones go through.
    """

    ends = _TWICE
    automatic = True

    def after(self, session: DeskSession, now: datetime) -> None:
        if now <= START:
            return
        undecided = _undecided(session)
        for change in undecided:
            self._decide(session, change, now)
        if undecided:
            session.engine.settle(now)
        session.work_off_patches()

    def _decide(self, session: DeskSession, change: Change, now: datetime) -> None:
        known = {entry.id for entry in session.stable().knowledge}
        entries = [
            entry for entry in session.version(change.candidate_version_id or "").knowledge if entry.id not in known
        ]
        right = sum(session.right_now(entry.question, now) == entry.text for entry in entries)
        if 2 * right > len(entries):
            session.engine.decisions.promote(PROJECT, change.id, now)
        else:
            session.engine.decisions.roll_back(PROJECT, change.id, now)
        self.labels += len(entries)
        self.errors_found += len(entries) - right
        spent = len(entries) * self.labour.minutes_per_review / 60
        self.hours["review"] += spent
        self.hours["approve"] += self.labour.hours_per_approval
        self.reactive += spent + self.labour.hours_per_approval

    def _first_right(self, session: DeskSession, drift: Drift) -> datetime | None:
        found = (
            each.checked_at
            for each in session.carried_out
            if each.kind == "upsert" and each.state == "verified" and each.text == drift.answer
        )
        return next(found, None)


def _undecided(session: DeskSession) -> list[Change]:
    query = Query(feature=FEATURE, limit=20)
    return [row.record for row in session.engine.store.changes(PROJECT, query, states=_UNDECIDED).rows]


def _when(patch: KnowledgePatch) -> datetime:
    return patch.delivered_at or patch.created_at


def _days(span: timedelta) -> float:
    return round(span / timedelta(days=1), 2)


def make_desk_arm(name: str, labour: Labour) -> DeskArm:
    """Return the arm of that name. Raises InputError for one that documents do not have."""
    match name:
        case "static":
            return DeskArm(labour)
        case "human":
            return _Monthly(labour)
        case "closed":
            return _Closed(labour)
        case "oracle":
            return _Oracle(labour)
    told = ", ".join(DESK_ARMS)
    raise InputError(f"expected one of {told} where the product answers from documents, got {name!r}", param="preset")
