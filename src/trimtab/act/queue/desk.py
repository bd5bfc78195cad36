"""The desk that chooses what people are asked about: each feature once a week, and whenever somebody wants it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from trimtab.act.notices import Notices
from trimtab.act.queue.budget import WEEK, left, weekly
from trimtab.act.queue.examples import ExampleLooks
from trimtab.act.queue.known import NEIGHBOURS, Pool, known_of, question_of, reviewed
from trimtab.act.review import Reviews, item_id, seats
from trimtab.act.rounds import Rounds
from trimtab.config import Settings
from trimtab.embed.port import Embedder
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id
from trimtab.records import AuditItem, Feature, Inference, ReviewBatch, ReviewItem, ReviewTheme
from trimtab.stats.batch import Batch, Theme, choose
from trimtab.stats.ctfidf import telling_terms
from trimtab.stats.suspect import COLUMNS, Suspicion, suspicion
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["LEAST_ANSWERS", "QueueDesk"]

LEAST_ANSWERS = 50
"""With fewer answers in its time the schedule makes no batch."""

_LOOK = timedelta(hours=1)
_DAY = timedelta(days=1)
_PAGE = 1000
_MOST_SUSPECT = 500  # answers that look bad, beside those sampled
_MOST_COMPARED = 2000  # suspects: each is compared with each
_WORDS = 3


class QueueDesk:
    """Fills the review queue. A batch is one commit: items, themes, the audit, and what it was chosen by.

    Before a batch, and once a day, `looks` puts examples in doubt into the queue: they come first in the week's budget.
    """

    name = "queue"

    def __init__(
        self,
        store: HotStore,
        reviews: Reviews,
        settings: Settings,
        notices: Notices,
        embedder: Callable[[str], Embedder],
        looks: ExampleLooks,
    ) -> None:
        self._store = store
        self.reviews = reviews
        self.looks = looks
        self._settings = settings
        self._notices = notices
        self._embedder = embedder
        self._rounds = Rounds(store, _LOOK)
        self._doubted: dict[tuple[str, str], tuple[datetime, bool]] = {}  # when, and whether a batch was due then

    def embed_with(self, embedder: Callable[[str], Embedder]) -> None:
        """Compare questions in another space from now on; `embedder` is asked by project."""
        self._embedder = embedder

    def tick(self, now: datetime) -> int:
        """Look at each feature once an hour; handle at most one per tick and return how many were.

        What waits for a guest whose link is over waits no more, and where a batch is due it is made.
        """
        return self._rounds.tick(now, self._look)

    def order(self, project_id: str, feature: str, now: datetime, items: int | None = None) -> ReviewBatch:
        """Choose a batch now, of `items`, or of what is left of the week's budget.

        Raises NotFound for an unknown feature, Conflict where nothing is left of the budget or nothing can be asked.
        """
        if feature not in {each.name for each in self._store.features(project_id)}:
            raise NotFound(f"no feature {feature!r}; its first answer makes it", param="feature")
        raised = len(self.looks.raise_doubts(project_id, feature, now))
        more = f"; {raised} of its examples are asked about" if raised else ""
        budget = left(self._store, self._settings, project_id, feature, now) if items is None else items
        if budget < 1:
            whole = weekly(self._settings, feature)
            raise Conflict(f"the {whole} items a week of {feature!r} are used up{more}; say how many more with `items`")
        since = now - timedelta(days=self._settings.review.every_days)
        made = self._made(project_id, feature, since, now, budget, by="person", least=1)
        if made is None:
            raise Conflict(
                f"{feature!r} gave no answer since {since.isoformat()} that people were not asked about yet{more}"
            )
        return made

    def _look(self, project_id: str, feature: Feature, now: datetime) -> None:
        self.reviews.let_go(project_id, feature.name, now)
        self._scheduled(project_id, feature.name, feature.created_at, now)

    def _scheduled(self, project_id: str, feature: str, born: datetime, now: datetime) -> None:
        every = timedelta(days=self._settings.review.every_days)
        last = self._store.review_batches(project_id, Query(feature=feature, limit=50)).rows
        begun = next((row.record.until for row in last if row.record.by == "schedule"), born)
        due = now >= begun + every
        self._doubt(project_id, feature, now, due=due)
        if not due:
            return
        whole = round(weekly(self._settings, feature) * (every / WEEK))
        budget = min(whole, left(self._store, self._settings, project_id, feature, now))
        if budget > 0:
            self._made(project_id, feature, now - every, now, budget, by="schedule", least=LEAST_ANSWERS)

    def _doubt(self, project_id: str, feature: str, now: datetime, *, due: bool) -> None:
        """Ask about examples in doubt: once a day, and when a batch falls due, before it takes the week's budget."""
        at, was_due = self._doubted.get((project_id, feature), (None, False))
        if at is None or now >= at + _DAY or (due and not was_due):
            self.looks.raise_doubts(project_id, feature, now)
            self._doubted[project_id, feature] = (now, due)

    def _made(
        self, project_id: str, feature: str, since: datetime, now: datetime, budget: int, *, by: str, least: int
    ) -> ReviewBatch | None:
        """Choose and commit a batch; None where there are too few answers."""
        batch_id = derived_id("review batch", project_id, feature, now.isoformat())
        seed = int(batch_id.replace("-", ""), 16)
        pool, total = self._pool(project_id, feature, since, now, seed)
        if len(pool.answers) < least:
            return None
        rows, wrong, drawn = reviewed(self._store, project_id, feature)
        model = suspicion(pool.rows, rows, wrong, drawn=drawn, base_rate=self._base_rate(feature))
        p_wrong = model.p_wrong(pool.rows)
        judged = self._asked_before(project_id, pool.answers)
        batch = choose(
            p_wrong,
            pool.vectors,
            seed=seed,
            budget=budget,
            audit=self._settings.review.audit_share,
            top=min(_MOST_COMPARED, round(budget * self._settings.review.suspects_per_item)),
            judged=judged,
            frame=pool.frame,
        )
        if not batch.picks:
            return None
        told = ReviewBatch(
            id=batch_id,
            feature=feature,
            created_at=now,
            by="schedule" if by == "schedule" else "person",
            since=since,
            until=now,
            budget=budget,
            answers=total,
            pool=len(pool.answers),
            themes=len(batch.themes),
            audits=len(batch.audit),
            inclusion=batch.inclusion * pool.frame / total,
            reviews=model.reviews,
            drawn=model.drawn,
            weights=_weights(model),
        )
        writes = self._writes(told, batch, pool, p_wrong, judged)
        self._notices.add(project_id, writes, now)
        stale = self._untouched(project_id, feature) if by == "schedule" else []
        self.reviews.open(project_id, writes, stale, now)
        return told

    def _pool(self, project_id: str, feature: str, since: datetime, now: datetime, seed: int) -> tuple[Pool, int]:
        """Return the answers to choose from, and how many answers of that time may be drawn for an audit.

        They are a uniform sample, the frame of the audit, and beside it what looks bad.
        """
        most = self._settings.review.pool_answers
        sampled = self._store.sample(project_id, feature, since, now, most, seed)
        total = len(sampled)
        if total == most:
            served = self._store.exposures(project_id, feature, since, now)
            total = max(total, sum(each.inferences for each in served))
        extra = [] if len(sampled) < most else self._suspects(project_id, feature, since, now, sampled)
        earlier = self._store.sample(project_id, feature, now - NEIGHBOURS, since, most, seed + 1)
        pool = known_of(
            self._store,
            project_id,
            feature,
            [*sampled, *extra],
            earlier,
            self._embedder(project_id),
            frame=len(sampled),
            confidence_tag=self._settings.review.confidence_tag,
        )
        return pool, total

    def _suspects(
        self, project_id: str, feature: str, since: datetime, now: datetime, sampled: Sequence[Inference]
    ) -> list[Inference]:
        """Return the answers that look worst among the newest outcomes and are not in the sample."""
        page = self._store.list_outcomes(
            project_id, Query(feature=feature, since=since, until=now, limit=_MOST_SUSPECT * 4)
        )
        bad = sorted((row.record for row in page.rows if row.record.p_bad > 0.5), key=lambda each: -each.p_bad)
        known = {answer.id for answer in sampled}
        ids = [each.inference_id for each in bad if each.inference_id not in known][:_MOST_SUSPECT]
        found = self._store.inferences(project_id, ids)
        return [found[key] for key in ids if key in found]

    def _base_rate(self, feature: str) -> float:
        own = self._settings.features.get(feature)
        return (own.bad_rate if own else None) or self._settings.outcome.bad_rate

    def _asked_before(self, project_id: str, answers: Sequence[Inference]) -> list[bool]:
        """Say of which answers the truth is known, or somebody was asked for it already."""
        ids = [answer.id for answer in answers]
        asked, said = self._store.reviews_on(project_id, ids), self._store.opinions(project_id, ids)
        return [key in asked or any(each.source == "reviewer" for each in said.get(key, [])) for key in ids]

    def _untouched(self, project_id: str, feature: str) -> list[ReviewItem]:
        """Return the open items of earlier batches that a new one takes the place of; the audit's stay."""
        page = self._store.reviews(project_id, Query(feature=feature, limit=_PAGE), ("open",))
        return [row.record for row in page.rows if row.record.source == "queue" and not row.record.referee]

    def _writes(
        self, told: ReviewBatch, batch: Batch, pool: Pool, p_wrong: NDArray[np.float64], judged: Sequence[bool]
    ) -> Writes:
        writes = Writes(review_batches=[told])
        words = telling_terms(
            [[question_of(pool.answers[row]) for row in theme.members] for theme in batch.themes], terms=_WORDS
        )
        worth: list[float] = []
        for theme, named in zip(batch.themes, words, strict=True):
            worth.append(float(p_wrong[theme.pick]) * (1 + math.log(len(theme.members))))
            reason = f"stands for {len(theme.members)} answers that look wrong" if len(theme.members) > 1 else ""
            writes.reviews += self._items(
                told, pool, theme.pick, "queue", worth[-1], reason, float(p_wrong[theme.pick])
            )
            writes.review_themes.insert(0, _theme(told, theme, named, pool))  # lists begin with what came last
        # Strewn among the themes, so that who stops half way has done half of the audit.
        places = np.random.default_rng(int(told.id.replace("-", ""), 16)).permutation(len(worth))
        for number, row in enumerate(batch.audit):
            priority = worth[places[number % len(worth)]] if worth else 0.5
            if not judged[row]:
                items = self._items(told, pool, row, "random", priority, "drawn at random", float(p_wrong[row]))
                writes.reviews += items
            writes.audits.append(_audit(pool.answers[row], told))
        return writes

    def _items(
        self, told: ReviewBatch, pool: Pool, row: int, source: str, priority: float, reason: str, p_wrong: float
    ) -> list[ReviewItem]:
        answer = pool.answers[row]
        first = ReviewItem(
            id=item_id(answer.id),
            feature=told.feature,
            inference_id=answer.id,
            source="random" if source == "random" else "queue",
            state="open",
            reason=reason,
            priority=priority,
            opened_at=told.created_at,
            batch_id=told.id,
            p_wrong=p_wrong,
            known={
                name: float(value) for name, value in zip(COLUMNS, pool.rows[row], strict=True) if not math.isnan(value)
            },
            inclusion=told.inclusion if source == "random" else None,
        )
        return seats(first, self._settings.review.reviewers)


def _theme(told: ReviewBatch, theme: Theme, words: list[str], pool: Pool) -> ReviewTheme:
    pick = pool.answers[theme.pick].id
    return ReviewTheme(
        id=derived_id("review theme", told.id, pick),
        feature=told.feature,
        batch_id=told.id,
        inference_id=pick,
        created_at=told.created_at,
        size=len(theme.members),
        weight=theme.weight,
        words=words,
        members=[pool.answers[row].id for row in theme.members],
    )


def _audit(answer: Inference, told: ReviewBatch) -> AuditItem:
    return AuditItem(
        inference_id=answer.id,
        feature=answer.feature,
        version_id=answer.version_id,
        created_at=answer.created_at,
        drawn_at=told.created_at,
        inclusion=told.inclusion,
    )


def _weights(model: Suspicion) -> dict[str, float]:
    return {"base": model.base, **dict(zip(COLUMNS, model.slopes, strict=True))}
