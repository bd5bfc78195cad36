"""The ways to keep a feature good that a study compares. An arm is what people do at the end of some days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Generic, Literal, TypeVar, get_args

import numpy as np
from msgspec import Meta, Struct

from trimtab.records import Change, ChangeState, GateReport
from trimtab.stats.gate import paired_difference
from trimtab.store.ports import Query
from trimtab.study.queue import Queue, QueueKind
from trimtab.study.session import Session
from trimtab.study.stream import FEATURE, PROJECT, Stream
from trimtab.study.world import START

__all__ = [
    "ARMS",
    "Arm",
    "ArmName",
    "Closed",
    "DocumentTally",
    "Human",
    "Labour",
    "Mend",
    "Oracle",
    "Unreviewed",
    "make",
]

ArmName = Literal["static", "human", "human-weekly", "triggers", "closed", "unreviewed", "oracle"]
ARMS: tuple[ArmName, ...] = get_args(ArmName)
_WEEK_DAYS = 7
_MONTH_DAYS = 28
_LOOKS = 6  # of a week's labels, kept for looks at old examples; what is left of them is in the next batch
_URGENT = 10  # reviews saved up that are worth a batch of their own when an incident opens
_TRIAL = timedelta(days=1)
_UNDER_WAY: tuple[ChangeState, ...] = ("building", "awaiting", "canary", "paused")
_WEEK = timedelta(weeks=1)
_INSTANT = timedelta(microseconds=1)
S = TypeVar("S", bound=Stream)


class Labour(Struct, frozen=True, kw_only=True):
    """What people are assumed to do, and what it costs them; the last four where the product answers from documents."""

    labels_a_month: Annotated[int, Meta(ge=0)] = 160
    labels_a_week: Annotated[int, Meta(ge=0)] = 65
    minutes_per_cold_label: float = 1.5
    minutes_per_review: float = 0.75
    hours_per_manual_deploy: float = 4.0
    hours_per_approval: float = 0.5
    documents_a_month: Annotated[int, Meta(ge=0)] = 8
    complaints_to_look: Annotated[int, Meta(ge=1)] = 2
    minutes_per_document: float = 20.0
    minutes_per_complaint: float = 0.75


class Mend(Struct, frozen=True, kw_only=True):
    """One change of policy: days until the index held it, seen to be found; None: not by the end, `age` days later."""

    days: float | None
    age: float


class DocumentTally(Struct, frozen=True, kw_only=True):
    """What became of the documents: one mend for each change of policy, patches by their state at the end.

    `entries` were carried out in all; of them `wrong` said something wrong on that day. `served` are left at the end,
    of them `outdated` no longer right, or never.
    """

    mends: list[Mend]
    patches: dict[str, int] = {}
    entries: int = 0
    wrong: int = 0
    served: int = 0
    outdated: int = 0


class Arm(Generic[S]):
    """What an arm's people do, and what they spent; by itself nobody does anything after launch.

    `ends` are the days of a week (1 to 7) at whose end they look. `hours` are assumed, by kind of work; `reactive` of
    them were spent on what an incident called for.
    """

    ends: tuple[int, ...] = (7,)

    def __init__(self, labour: Labour) -> None:
        self.labour = labour
        self.labels = 0
        self.errors_found = 0
        self.hours = {"label": 0.0, "review": 0.0, "deploy": 0.0, "approve": 0.0}
        self.reactive = 0.0

    def after(self, session: S, now: datetime) -> None:
        """Do what is due then."""

    def finish(self, session: S) -> None:
        """Decide what is under way when the last week is over: what was labelled by then shall count."""

    def documents(self, session: S) -> DocumentTally | None:  # noqa: ARG002  for those that have some
        """Return what became of the product's documents; None where it has none."""
        return None


class Human(Arm[Session]):
    """Every so often somebody labels a random sample of what was asked since and deploys it by hand."""

    def __init__(self, labour: Labour, seed: int, *, every_days: int, count: int) -> None:
        super().__init__(labour)
        self._every_days = every_days
        self._count = count
        self._random = np.random.default_rng([seed, 160])

    def after(self, session: Session, now: datetime) -> None:
        """Label and deploy when the time is over."""
        day = (now - START).days
        if day <= 0 or day % self._every_days or not self._count:
            return
        said = list({item.ask.text: item for item in session.since(now - timedelta(days=self._every_days))}.values())
        count = min(self._count, len(said))
        chosen = [said[i] for i in self._random.choice(len(said), count, replace=False)]
        session.deploy([(item, session.label(item)) for item in chosen], now)
        self.labels += count
        self.errors_found += sum(not item.good for item in chosen)
        self.hours["label"] += count * self.labour.minutes_per_cold_label / 60
        self.hours["deploy"] += self.labour.hours_per_manual_deploy


class Oracle(Arm[Session]):
    """Every answer's right one is known at the end of the week, of old examples too: what labels can do at most."""

    def after(self, session: Session, now: datetime) -> None:
        """Learn the week."""
        day = (now - START).days
        if day > 0 and day % _WEEK_DAYS == 0:
            items = session.since(now - timedelta(days=_WEEK_DAYS))
            session.know([(item.ask.text, item.ask.right) for item in items], now)
            self.labels += len(items)


class Unreviewed(Arm[Session]):
    """What users say is right goes live every week, and nobody looks at it."""

    def after(self, session: Session, now: datetime) -> None:
        """Learn the week's corrections."""
        day = (now - START).days
        if day > 0 and day % _WEEK_DAYS == 0:
            items = session.since(now - timedelta(days=_WEEK_DAYS))
            told = [(item, item.correction) for item in items if item.correction is not None]
            if told:
                session.deploy(told, now)
                self.labels += len(told)


class Closed(Arm[Session]):
    """A reviewer works through the engine's queue; what was reviewed goes through gate and canary.

    They look twice a week: at its end the queue is worked, and on its first day what was tried since then is decided,
    and the queue worked if an incident opened; with `only_triggers` only while one is open. Each batch is a change: the
    gate must not refuse it, and a fifth of the users have it for a day. Forty votes a week prove nothing in a day, so
    the engine asks, and the reviewer approves what it has not rolled back by then, unless golden cases show a drop.
    Where reviews contradict an old answer as a whole, the reviewer looks at a few of its examples (`asks`).
    """

    ends = (1, 7)

    def __init__(
        self, labour: Labour, queue: Queue, seed: int, *, only_triggers: bool = False, asks: bool = True
    ) -> None:
        super().__init__(labour)
        self._queue = queue
        self._only_triggers = only_triggers
        self._asks = asks
        self._kept = _LOOKS if asks else 0  # for looks at old examples
        self._budget = 0.0
        self._seen = START
        self._answered: set[str] = set()
        self._poison = np.random.default_rng([seed, 300])

    def after(self, session: Session, now: datetime) -> None:
        """Answer what the engine asks, then review what is due."""
        if now <= START:
            return
        self._decide(session, now)
        weekly = self.labour.labels_a_week
        self._budget = min(self._budget + weekly * (now - self._seen) / _WEEK, float(weekly + self._kept))
        self._seen = now
        store = session.engine.store
        open_ones = store.incidents(PROJECT, Query(feature=FEATURE, limit=100), states=("firing", "recovering")).rows
        new = {row.record.id for row in open_ones} - self._answered
        if self._only_triggers and not open_ones:
            return
        if (now - START).days % _WEEK_DAYS == 0 or (new and self._budget >= _URGENT + self._kept):
            self._answered |= new
            self._review(session, now, called=bool(open_ones))

    def finish(self, session: Session) -> None:
        """Let the last batch have its day, and decide it."""
        now = session.clock.now() + _TRIAL
        session.pass_time(now)
        self._decide(session, now)

    def _review(self, session: Session, now: datetime, *, called: bool) -> None:
        picked = self._queue.pick(session, now, int(self._budget + 1e-6) - self._kept)
        rights = session.judge(picked.asked, now)
        self._queue.learn(picked.items, rights)
        looks = session.look(now, int(self._budget + 1e-6) - len(picked.items)) if self._asks else 0
        labels = len(picked.items) + looks
        self._budget -= labels
        self.labels += labels
        self.errors_found += sum(not item.good for item in picked.items)
        spent = labels * self.labour.minutes_per_review / 60
        self.hours["review"] += spent
        self.reactive += spent if called else 0.0
        dials = session.world.dials
        if dials.poisoned_weeks > self._poison.random():
            week = session.since(now - timedelta(days=_WEEK_DAYS))
            rows = self._poison.choice(len(week), min(dials.poisoned_words, len(week)), replace=False)
            reviewed = {item.inference_id for item in picked.items}
            session.poison([week[i] for i in rows if week[i].inference_id not in reviewed], now)
        session.learn(now)

    def _decide(self, session: Session, now: datetime) -> None:
        for change in self._under_way(session):
            if change.state in ("canary", "paused") and change.exposed_at and now - change.exposed_at >= _TRIAL:
                if _speaks_against(change.gate):
                    session.engine.decisions.roll_back(PROJECT, change.id, now)
                else:
                    session.engine.decisions.promote(PROJECT, change.id, now)
                self.hours["approve"] += self.labour.hours_per_approval
                self.reactive += self.labour.hours_per_approval if change.incident_id else 0.0

    def _under_way(self, session: Session) -> list[Change]:
        return [
            row.record
            for row in session.engine.store.changes(PROJECT, Query(feature=FEATURE, limit=10), states=_UNDER_WAY).rows
        ]


def _speaks_against(gate: GateReport | None) -> bool:
    """Say whether golden cases show a drop, however small, at 95%; the gate refuses only one beyond its margin."""
    return gate is not None and paired_difference(gate.cases, gate.broken, gate.fixed).high < 0


def make(name: ArmName, labour: Labour, seed: int, queue: QueueKind = "desk", *, asks: bool = True) -> Arm[Session]:
    """Return the arm of that name; the closed ones pick by that queue, and ask about answers out of date or not."""
    match name:
        case "static":
            return Arm(labour)
        case "human":
            return Human(labour, seed, every_days=_MONTH_DAYS, count=labour.labels_a_month)
        case "human-weekly":
            return Human(labour, seed, every_days=_WEEK_DAYS, count=labour.labels_a_week)
        case "oracle":
            return Oracle(labour)
        case "unreviewed":
            return Unreviewed(labour)
        case _:
            return Closed(labour, Queue(queue, seed), seed, only_triggers=name == "triggers", asks=asks)
