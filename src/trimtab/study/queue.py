"""Which answers the closed arm's reviewer is asked about: what is suspect, by theme, beside a draw at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.act.memory import Considered
from trimtab.errors import Conflict
from trimtab.records import Outcome, ReviewItem
from trimtab.stats.batch import choose
from trimtab.stats.suspect import around, by_answer, suspicion
from trimtab.store.ports import Query
from trimtab.study.session import Session
from trimtab.study.stream import FEATURE, PROJECT, REVIEWER, Served
from trimtab.study.world import START

__all__ = ["Picked", "Queue", "QueueKind"]

QueueKind = Literal["desk", "desk-ranked", "themes", "ranked", "random"]
_WEEK = timedelta(weeks=1)
_KEPT = 5 * _WEEK  # older answers are not asked about
_AGAIN = timedelta(weeks=8)  # a text reviewed so lately is known
_AUDIT = 0.1
_PAGE = 1000
_VOTED = (-1.0, 4.0)  # what a vote adds to the log-odds: at its best, and from there to its worst


class Picked(NamedTuple):
    """What to review, and the review items about it."""

    items: list[Served]
    asked: list[ReviewItem]


class Queue:
    """Rates the last week's answers by how likely they are wrong, as learned from the reviews so far, and picks.

    `desk` leaves all of it to the server's own queue, which sees what an app sends and nothing of its memory but how
    sure it was; `desk-ranked` to the same without themes. The others see the memory: `themes` asks about one of each
    theme, `ranked` about the most suspect, without an audit, `random` about any.
    """

    def __init__(self, kind: QueueKind, seed: int) -> None:
        self._kind = kind
        self._seed = seed
        self._random = np.random.default_rng([seed, 40])
        self._rows: list[NDArray[np.float64]] = []
        self._wrong: list[float] = []
        self._drawn: list[bool] = []
        self._reviewed: dict[str, datetime] = {}
        self._heard: dict[str, float] = {}
        self._asked: dict[str, tuple[NDArray[np.float64], bool]] = {}  # as it was known when it was picked

    def pick(self, session: Session, now: datetime, budget: int) -> Picked:
        """Return at most `budget` answers of the last week, one of each text, none that was reviewed lately."""
        if self._kind in ("desk", "desk-ranked"):
            return _ordered(session, now, budget)
        recent = session.since(now - 3 * _WEEK)
        week = [place for place, item in enumerate(recent) if item.ask.at >= now - _WEEK]
        if not week or budget < 1:
            return Picked([], [])
        if self._kind == "random":
            pool = self._pool([recent[place] for place in week], np.zeros(len(week)), now)
            drawn = self._random.choice(len(pool), min(budget, len(pool)), replace=False)
            items = [recent[week[pool[place]]] for place in drawn]
            return self._noted(session, items, items[: round(_AUDIT * len(items))], now)
        version = session.stable()
        considered = session.memory.consider(version, [recent[place].ask.text for place in week])
        older = session.memory.vectors(version, [item.ask.text for item in recent[: week[0]]])
        vectors = np.vstack([older, considered.vectors]) if len(older) else considered.vectors
        self._heard.update(_heard(session, now - _WEEK))
        table = _table(self._heard, recent, week, now, considered, vectors)
        suspect = suspicion(table, self._rows, self._wrong, drawn=self._drawn).p_wrong(table)
        pool = self._pool([recent[place] for place in week], suspect, now)
        if self._kind == "ranked":
            picked = [pool[place] for place in np.argsort(-suspect[pool], kind="stable")[:budget]]
            audit: list[int] = []
        else:
            seed = [self._seed, (now - START).days]
            batch = choose(suspect[pool], considered.vectors[pool], seed=seed, budget=budget, audit=_AUDIT)
            picked = [pool[place] for place in dict.fromkeys(batch.picks)]
            audit = [pool[place] for place in batch.audit]
        self._asked = {recent[week[place]].inference_id: (table[place], place in audit) for place in picked}
        items = [recent[week[place]] for place in picked]
        return self._noted(session, items, [recent[week[place]] for place in audit], now)

    def learn(self, items: Sequence[Served], rights: Sequence[str]) -> None:
        """Take what the reviewer said is right of the items picked last."""
        for item, right in zip(items, rights, strict=True):
            if item.inference_id in self._asked:
                row, drawn = self._asked[item.inference_id]
                self._rows.append(row)
                self._wrong.append(float(item.answer != right))
                self._drawn.append(drawn)
        self._asked = {}

    def _pool(self, items: Sequence[Served], suspect: NDArray[np.float64], now: datetime) -> list[int]:
        """Return the places of one answer for each text, the most suspect, leaving out what was reviewed lately."""
        best: dict[str, int] = {}
        for place in np.argsort(-suspect, kind="stable"):
            best.setdefault(items[place].ask.text, int(place))
        known = {text for text, at in self._reviewed.items() if at > now - _AGAIN}
        return sorted(place for text, place in best.items() if text not in known)

    def _noted(self, session: Session, items: list[Served], audit: list[Served], now: datetime) -> Picked:
        self._reviewed.update({item.ask.text: now for item in items})
        return Picked(items, session.ask(items, {item.inference_id for item in audit}, now))


def _ordered(session: Session, now: datetime, budget: int) -> Picked:
    """Order a batch of the server's queue, and take all of it."""
    engine = session.engine
    with suppress(Conflict):  # nothing to ask about
        engine.queue.order(PROJECT, FEATURE, now, budget)
    asked = engine.reviews.next(PROJECT, REVIEWER, _PAGE, now, FEATURE)
    served = {item.inference_id: item for item in session.since(now - _KEPT)}
    asked = [item for item in asked if item.inference_id in served]
    return Picked([served[item.inference_id] for item in asked], asked)


def _table(
    heard: Mapping[str, float],
    recent: Sequence[Served],
    week: Sequence[int],
    now: datetime,
    considered: Considered,
    vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return what is known of the week's answers, as `trimtab.stats.suspect.COLUMNS` has it."""
    signals = np.array([heard.get(item.inference_id, 0.0) for item in recent])
    fortnight = [place for place, item in enumerate(recent) if item.ask.at >= now - 2 * _WEEK]
    begin = fortnight[0]
    answers = by_answer(
        [recent[place].answer for place in fortnight], signals[begin:], [place - begin for place in week]
    )
    near = around(vectors, signals, week)
    return np.column_stack([signals[week], considered.margin, considered.nearest, near, answers])


def _heard(session: Session, since: datetime) -> dict[str, float]:
    """Return, by answer, the log-odds of wrong that its users' votes and hints add, as the engine fused them."""
    found: dict[str, float] = {}
    query: Query | None = Query(feature=FEATURE, since=since, limit=_PAGE)
    while query is not None:
        page = session.engine.store.list_outcomes(PROJECT, query)
        found.update({row.record.inference_id: _log_odds(row.record) for row in page.rows})
        query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None
    return found


def _log_odds(outcome: Outcome) -> float:
    hinted = sum(item.weight for item in outcome.evidence)
    best, rise = _VOTED
    return hinted + (0.0 if outcome.vote is None else best + rise * outcome.vote)
