"""What reviewers did: how much waits, how long it takes, what they found, and whether they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import combinations
from statistics import median
from typing import Protocol

from msgspec import Struct

from trimtab.records import ReviewItem, ReviewState
from trimtab.stats.interval import wilson
from trimtab.stats.raters import Agreement, cohen_kappa, fleiss_kappa
from trimtab.store.ports import Page, Query

__all__ = ["Found", "Kappa", "Pair", "ReviewSummary", "review_summary"]

_PAGE = 1000
_MOST_READ = 20_000
_SOURCES = ("queue", "random", "incident", "example")


class ReviewsStore(Protocol):
    """What this needs of the store."""

    def reviews(self, project_id: str, query: Query, states: Sequence[ReviewState] = ()) -> Page[ReviewItem]:
        """Return one page of review items."""
        ...


class Found(Struct, frozen=True, kw_only=True):
    """Of the answers of one source that were judged, how many were bad, with the 95% Wilson interval of the rate.

    An answer counts as bad when more of its reviewers said so than not. `queue` far above `random` is what the ranking
    is good for; `random` alone speaks for all answers. Of `example`, bad are those that no longer hold.
    """

    source: str
    judged: int
    bad: int
    rate: float | None
    low: float
    high: float


class Kappa(Struct, frozen=True, kw_only=True):
    """Agreement beyond chance over `cards` answers that two people or more judged apart, with its 95% interval.

    `observed` is the share of pairs of verdicts that agree; null where nothing can be said.
    """

    kappa: float | None
    low: float | None
    high: float | None
    observed: float | None
    cards: int


class Pair(Struct, frozen=True, kw_only=True):
    """How far two reviewers agree (Cohen's kappa)."""

    reviewers: tuple[str, str]
    agreement: Kappa


class ReviewSummary(Struct, frozen=True, kw_only=True):
    """What became of the items opened in [since, until).

    `minutes` adds up what was measured, of `measured` verdicts; `minutes_each` is their median. What was not measured
    is not guessed. `agreement` is Fleiss's kappa over all reviewers; the verdict of who is asked because others
    disagreed is left out, since it is no independent one.
    """

    feature: str | None
    since: datetime
    until: datetime
    open: int
    reserved: int
    done: int
    skipped: int
    oldest_opened_at: datetime | None
    minutes: float
    minutes_each: float | None
    measured: int
    found: list[Found]
    agreement: Kappa
    pairs: list[Pair]


def review_summary(
    store: ReviewsStore, project_id: str, feature: str | None, since: datetime, until: datetime
) -> ReviewSummary:
    """Sum up the newest 20,000 items that were opened in the span."""
    items = list(_read(store, project_id, Query(feature=feature, since=since, until=until, limit=_PAGE)))
    states = {state: [item for item in items if item.state == state] for state in ("open", "reserved", "done")}
    took = [item.minutes for item in items if item.minutes is not None]
    waiting = [item.opened_at for item in (*states["open"], *states["reserved"])]
    cards = _cards(states["done"])
    apart = [[item for item in card if not item.referee] for card in cards.values()]
    return ReviewSummary(
        feature=feature,
        since=since,
        until=until,
        open=len(states["open"]),
        reserved=len(states["reserved"]),
        done=len(states["done"]),
        skipped=sum(item.state == "skipped" and item.verdict is not None for item in items),
        oldest_opened_at=min(waiting, default=None),
        minutes=sum(took),
        minutes_each=median(took) if took else None,
        measured=len(took),
        found=[_found(source, list(cards.values())) for source in _SOURCES],
        agreement=_told(fleiss_kappa([_counts(card) for card in apart])),
        pairs=_pairs(apart),
    )


def _read(store: ReviewsStore, project_id: str, first: Query) -> Iterator[ReviewItem]:
    query: Query | None = first
    read = 0
    while query is not None and read < _MOST_READ:
        page = store.reviews(project_id, query)
        read += len(page.rows)
        yield from (row.record for row in page.rows)
        after = page.next
        query = (
            None
            if after is None
            else Query(feature=first.feature, since=first.since, until=first.until, limit=_PAGE, after=after)
        )


def _cards(done: Sequence[ReviewItem]) -> dict[str, list[ReviewItem]]:
    found: dict[str, list[ReviewItem]] = defaultdict(list)
    for item in done:
        found[item.card_id or item.id].append(item)
    return found


def _counts(card: Sequence[ReviewItem]) -> tuple[int, int]:
    return (sum(item.verdict == "good" for item in card), sum(item.verdict == "bad" for item in card))


def _found(source: str, cards: Sequence[Sequence[ReviewItem]]) -> Found:
    counts = [_counts(card) for card in cards if card[0].source == source]
    rate = wilson(sum(bad > good for good, bad in counts), len(counts))
    return Found(source=source, judged=len(counts), bad=rate.bad, rate=rate.value, low=rate.low, high=rate.high)


def _pairs(cards: Sequence[Sequence[ReviewItem]]) -> list[Pair]:
    said: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for card in cards:
        told = sorted((item.reserved_by, item.verdict) for item in card if item.reserved_by and item.verdict)
        for (one, first), (other, second) in combinations(told, 2):
            said[one, other].append((first, second))
    return [Pair(reviewers=names, agreement=_told(cohen_kappa(each))) for names, each in sorted(said.items())]


def _told(found: Agreement) -> Kappa:
    return Kappa(kappa=found.kappa, low=found.low, high=found.high, observed=found.observed, cards=found.n)
