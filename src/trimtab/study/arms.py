"""The ways to keep a feature good that a study compares. An arm is what people do at the end of a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Protocol, get_args

import numpy as np
from msgspec import Meta, Struct

from trimtab.records import GateReport
from trimtab.stats.gate import paired_difference
from trimtab.store.ports import Query
from trimtab.study.session import FEATURE, PROJECT, Served, Session
from trimtab.study.world import START

__all__ = ["ARMS", "Arm", "ArmName", "Closed", "Human", "Labour", "Static", "make"]

ArmName = Literal["static", "human", "closed"]
ARMS: tuple[ArmName, ...] = get_args(ArmName)
_MONTH_DAYS = 28
_RECENT = timedelta(days=7)
_EVIDENCE = timedelta(days=28)
_PER_ERROR = 3  # look-alikes of one error a day


class Labour(Struct, frozen=True, kw_only=True):
    """What people are assumed to do and what it costs them. Reviewers are assumed to be always right."""

    human_labels_a_month: Annotated[int, Meta(ge=0)] = 160
    closed_labels_a_week: Annotated[int, Meta(ge=0)] = 50
    minutes_per_cold_label: float = 1.5
    minutes_per_review: float = 0.75
    hours_per_manual_deploy: float = 4.0
    hours_per_approval: float = 0.5


class Arm(Protocol):
    """What an arm's people do, and what they spent."""

    labels: int
    hours: float

    def after_day(self, session: Session, now: datetime) -> None:
        """Do what is due at the end of a day."""
        ...


class Static:
    """Nobody does anything after launch."""

    def __init__(self) -> None:
        self.labels = 0
        self.hours = 0.0

    def after_day(self, session: Session, now: datetime) -> None:
        """Do nothing."""


class Human:
    """Once a month somebody labels a random sample of the month's inputs and deploys it by hand."""

    def __init__(self, labour: Labour, seed: int) -> None:
        self.labels = 0
        self.hours = 0.0
        self._labour = labour
        self._random = np.random.default_rng([seed, 160])

    def after_day(self, session: Session, now: datetime) -> None:
        """Label and deploy when a month is over."""
        day = (now - START).days
        if day <= 0 or day % _MONTH_DAYS or not self._labour.human_labels_a_month:
            return
        month = _since(session, now - timedelta(days=_MONTH_DAYS))
        count = min(self._labour.human_labels_a_month, len(month))
        chosen = [month[i] for i in self._random.choice(len(month), count, replace=False)]
        session.deploy(chosen, now)
        self.labels += count
        self.hours += count * self._labour.minutes_per_cold_label / 60 + self._labour.hours_per_manual_deploy


class Closed:
    """The engine decides when; while an incident is open a reviewer works through its evidence.

    First what users voted down since the onset, then recent inputs nearest in meaning to confirmed errors that were
    answered otherwise than the error's right answer. When the engine pauses a canary and asks, the reviewer reads the
    gate's numbers: with the 99% lower bound on the gain in golden cases above zero it goes live, else it is withdrawn.
    """

    def __init__(self, labour: Labour) -> None:
        self.labels = 0
        self.hours = 0.0
        self.approved = 0
        self.withdrawn = 0
        self.errors_found = 0
        self._labour = labour
        self._budget = 0.0
        self._reviewed: set[str] = set()
        self._texts: set[str] = set()
        self._errors: list[tuple[datetime, str, str]] = []

    def after_day(self, session: Session, now: datetime) -> None:
        """Answer what the engine asks, then review while an incident is open."""
        self._decide(session, now)
        store = session.engine.store
        opened = store.incidents(PROJECT, Query(feature=FEATURE, limit=1000), states=("firing", "recovering")).rows
        if not opened:
            self._budget = 0.0
            return
        weekly = self._labour.closed_labels_a_week
        self._budget = min(self._budget + weekly / 7, float(weekly))
        onset = min(row.record.onset_at for row in opened)
        items = self._pick(session, max(onset, now - _EVIDENCE), now, int(self._budget))
        if not items:
            return
        session.review(items, now)
        self._budget -= len(items)
        for item in items:
            right = session.label(item)
            self._reviewed.add(item.inference_id)
            self._texts.add(item.ask.text)
            if right != item.answer:
                self._errors.append((now, item.ask.text, right))
                self.errors_found += 1
        self.labels += len(items)
        self.hours += len(items) * self._labour.minutes_per_review / 60

    def _decide(self, session: Session, now: datetime) -> None:
        engine = session.engine
        for row in engine.store.changes(PROJECT, Query(feature=FEATURE, limit=1000), states=("paused",)).rows:
            gate = row.record.gate
            if gate is not None and _clearly_better(gate):
                engine.decisions.promote(PROJECT, row.record.id, now)
                self.approved += 1
            else:
                engine.decisions.roll_back(PROJECT, row.record.id, now)
                self.withdrawn += 1
            self.hours += self._labour.hours_per_approval

    def _pick(self, session: Session, since: datetime, now: datetime, count: int) -> list[Served]:
        if count <= 0:
            return []
        waiting = [item for item in reversed(_since(session, since)) if item.inference_id not in self._reviewed]
        voted = [item for item in waiting if item.vote == 0][:count]
        return voted + self._alike(session, waiting, voted, now, count - len(voted))

    def _alike(
        self, session: Session, waiting: list[Served], voted: list[Served], now: datetime, count: int
    ) -> list[Served]:
        """Return recent inputs nearest to confirmed errors that would still be answered otherwise."""
        errors = {text: right for at, text, right in self._errors if at >= now - _EVIDENCE}
        taken = self._texts | {item.ask.text for item in voted}
        recent = list(
            {i.ask.text: i for i in waiting if i.ask.at >= now - _RECENT and i.ask.text not in taken}.values()
        )
        if count <= 0 or not errors or not recent:
            return []
        answers = session.memory.answer(session.stable(), [item.ask.text for item in recent])
        likeness = session.vectors([item.ask.text for item in recent]) @ session.vectors(list(errors)).T
        rights = np.array(list(errors.values()))
        likeness[np.array(answers)[:, None] == rights[None, :]] = -1.0
        nearest = likeness.argmax(axis=1)
        used: dict[int, int] = {}
        chosen: list[Served] = []
        for row in np.argsort(-likeness.max(axis=1), kind="stable"):
            error = int(nearest[row])
            if likeness[row, error] <= 0 or len(chosen) == count:
                break
            if used.get(error, 0) < _PER_ERROR:
                used[error] = used.get(error, 0) + 1
                chosen.append(recent[row])
        return chosen


def make(name: ArmName, labour: Labour, seed: int) -> Arm:
    """Return the arm of that name."""
    if name == "static":
        return Static()
    return Human(labour, seed) if name == "human" else Closed(labour)


def _since(session: Session, since: datetime) -> list[Served]:
    """Return what was served since then, oldest first."""
    found: list[Served] = []
    for item in reversed(session.served):
        if item.ask.at < since:
            break
        found.append(item)
    return found[::-1]


def _clearly_better(gate: GateReport) -> bool:
    """Say whether the golden cases vouch for a gain. At 99%, since the same reviewer looks at attempt after attempt."""
    return paired_difference(gate.cases, gate.broken, gate.fixed, confidence=0.99).low > 0
