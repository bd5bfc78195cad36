"""Lists of events by their own time, and the inbox: the same on every backend, whatever order the events came in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, select, update
from sqlalchemy.pool import NullPool

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P, ids
from trimtab.records import Feedback, Inference
from trimtab.store.migrations.listing import fill
from trimtab.store.ports import HotStore, Page, Query, Writes
from trimtab.store.schema import joins

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def followed(read: Callable[[int | None], Page[Any]]) -> list[str]:
    """Return the ids of all pages, each of which must follow the one before."""
    found: list[str] = []
    after: int | None = None
    for _ in range(100):
        page = read(after)
        found += ids(page)
        if page.next is None:
            return found
        assert page.next != after
        after = page.next
    raise AssertionError("the pages have no end")


def join(store: HotStore, about: Inference, *words: Feedback) -> None:
    store.append([a.arrival(word) for word in words])
    store.commit({P: Writes(joined=[(word.id, about.id) for word in words])})


@pytest.fixture
def served(store: HotStore) -> list[Inference]:
    """Thirty answers in an order other than their times', two at each of fifteen moments, over many days."""
    places = [(7 * number) % 30 for number in range(30)]
    made = [
        a.inference(
            created_at=a.NOW + (place // 2) * DAY,
            feature=("answer", "search", "mail")[place % 3],
            version_id="v1" if place % 5 else "v2",
        )
        for place in places
    ]
    store.append([a.arrival(item) for item in made])
    return made


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        Query(feature="search"),
        Query(version_id="v2"),
        Query(version_id="v1", feature="answer"),
        Query(since=a.NOW + 3 * DAY, until=a.NOW + 9 * DAY),
        Query(version_id="v1", since=a.NOW + 2 * DAY, until=a.NOW + 2 * DAY + HOUR),
        Query(version_id="v2", since=a.NOW + HOUR),
        Query(version_id="nobody"),
        Query(feature="nobody", since=a.NOW),
    ],
)
def test_pages_of_a_narrowed_list_are_all_that_match_in_the_order_of_their_time(
    store: HotStore, served: list[Inference], query: Query, *, newest: bool
) -> None:
    def read(after: int | None) -> Page[Inference]:
        asked = Query(
            feature=query.feature,
            version_id=query.version_id,
            since=query.since,
            until=query.until,
            after=after,
            limit=4,
            newest=newest,
        )
        return store.list_inferences(P, asked)

    matching = [
        (item.created_at, place, item.id)
        for place, item in enumerate(served)
        if query.feature in (None, item.feature)
        and query.version_id in (None, item.version_id)
        and (query.since is None or query.since <= item.created_at)
        and (query.until is None or item.created_at < query.until)
    ]
    assert followed(read) == [each[2] for each in sorted(matching, reverse=newest)]
    assert store.list_inferences("q", query).rows == []


def test_pages_of_feedback_are_all_that_was_said_of_a_version_or_feature(store: HotStore) -> None:
    first, second = a.inference(version_id="v1"), a.inference(version_id="v2", feature="search")
    store.append([a.arrival(each) for each in (first, second)])
    words = [a.feedback(created_at=a.NOW + ((5 * place) % 9) * HOUR) for place in range(9)]
    join(store, first, *words[:5])
    join(store, second, *words[5:])
    named = a.feedback(feature="search", created_at=a.NOW + 3 * HOUR)
    both = a.feedback(feature="answer", created_at=a.NOW + 4 * HOUR)
    store.append([a.arrival(named)])
    join(store, first, both)

    def of(**narrow: Any) -> list[str]:
        return followed(lambda after: store.list_feedback(P, Query(after=after, limit=2, newest=False, **narrow)))

    def in_time(*said: Feedback) -> list[str]:
        return [each.id for each in sorted(said, key=lambda each: each.created_at)]

    assert of(version_id="v1") == in_time(*words[:5], both)
    assert of(version_id="v2", feature="search") == in_time(*words[5:])
    assert of(version_id="v2", feature="answer") == []
    assert of(feature="answer") == in_time(*words[:5], both)
    assert sorted(of(feature="search")) == sorted(in_time(*words[5:], named))
    assert of(version_id="v1", since=a.NOW + 2 * HOUR, until=a.NOW + 6 * HOUR) == in_time(
        *(word for word in [*words[:5], both] if 2 * HOUR <= word.created_at - a.NOW < 6 * HOUR)
    )


def test_a_word_that_moves_to_another_answer_is_listed_under_that_one(store: HotStore) -> None:
    first, second = a.inference(version_id="v1"), a.inference(version_id="v2")
    store.append([a.arrival(each) for each in (first, second)])
    word = a.feedback(kind="comment", value=None, text="wrong")
    join(store, first, word)
    store.commit({P: Writes(joined=[(word.id, second.id)])})
    assert ids(store.list_feedback(P, Query(version_id="v1"))) == []
    assert ids(store.list_feedback(P, Query(version_id="v2"))) == [word.id]
    assert ids(store.inbox(P, Query(version_id="v2"))) == [word.id]
    assert ids(store.inbox(P, Query(version_id="v1"))) == []


SHOWN: list[dict[str, Any]] = [
    {"kind": "thumb", "value": 0.0},
    {"kind": "thumb", "value": 1.0, "text": "lovely"},
    {"kind": "rating", "value": 2.0, "best": 5.0},
    {"kind": "outcome", "value": 0.0, "source": "app"},
    {"kind": "reject", "value": None},
    {"kind": "correction", "value": None, "text": "it is blue"},
    {"kind": "comment", "value": None, "text": "hm", "source": "reviewer"},
    {"kind": "label", "value": None, "label": "off topic"},
]
NOT_SHOWN: list[dict[str, Any]] = [
    {"kind": "thumb", "value": 1.0},
    {"kind": "thumb", "value": None, "retracted": True},
    {"kind": "rating", "value": 3.0, "best": 5.0},
    {"kind": "copy", "value": None},
    {"kind": "edit", "value": 0.9, "text": "what they kept"},
    {"kind": "comment", "value": None, "text": "a model says so", "source": "judge"},
]


@pytest.mark.parametrize("told", [*SHOWN, *NOT_SHOWN])
def test_the_inbox_holds_words_and_bad_votes_of_people(store: HotStore, told: dict[str, Any]) -> None:
    served = a.inference()
    store.append([a.arrival(served)])
    word = a.feedback(**told)
    join(store, served, word)
    assert ids(store.inbox(P, Query())) == ([word.id] if told in SHOWN else [])
    bad = told in SHOWN and told["kind"] not in ("comment", "label") and told["value"] != 1.0
    assert ids(store.inbox(P, Query(), negative=True)) == ([word.id] if bad else [])
    assert ids(store.inbox("q", Query())) == []


@pytest.mark.parametrize("look", [20_000, 6, 1])
@pytest.mark.parametrize("newest", [True, False])
def test_pages_of_the_inbox_have_no_gap_however_few_rows_one_looks_at(
    store: HotStore, monkeypatch: pytest.MonkeyPatch, *, newest: bool, look: int
) -> None:
    monkeypatch.setattr("trimtab.store.hot.inbox._LOOK", look)
    monkeypatch.setattr("trimtab.store.hot.inbox._LOTS", 1)
    served = [a.inference(feature=name, version_id="v1") for name in ("answer", "search")]
    store.append([a.arrival(each) for each in served])
    words = []
    for place in range(40):
        told: dict[str, Any] = {"kind": "comment", "value": None, "text": "words"} if place % 7 else {}
        words.append(a.feedback(created_at=a.NOW + (place % 20) * HOUR, **told))
        join(store, served[place % 3 == 0], words[-1])

    def of(feature: str | None = None, **narrow: Any) -> list[str]:
        def read(after: int | None) -> Page[Feedback]:
            return store.inbox(P, Query(feature=feature, after=after, limit=4, newest=newest), **narrow)

        return followed(read)

    def in_time(said: list[Feedback]) -> list[str]:
        order = sorted(said, key=lambda each: (each.created_at, words.index(each)), reverse=newest)
        return [each.id for each in order]

    assert of() == in_time(words)
    assert of(kind="thumb") == of(negative=True) == in_time([word for word in words if word.kind == "thumb"])
    assert of(negative=False) == in_time([word for word in words if word.kind == "comment"])
    assert of(feature="search") == in_time(words[::3])
    assert of(feature="search", kind="thumb") == in_time([word for word in words[::3] if word.kind == "thumb"])
    assert of(kind="correction") == []


def test_a_feedback_that_waits_for_its_answer_is_not_in_the_inbox(store: HotStore) -> None:
    word = a.feedback(kind="comment", value=None, text="where is it?")
    store.append([a.arrival(word)])
    store.commit({P: Writes(orphans=[(word.id, a.SESSION)])})
    assert store.inbox(P, Query()).rows == []


def test_an_upgrade_copies_into_joins_what_a_commit_copies(store: HotStore) -> None:
    served = a.inference(version_id="v1")
    store.append([a.arrival(served)])
    words = [a.feedback(**told) for told in [*SHOWN, *NOT_SHOWN]]
    join(store, served, *words)
    database: Any = store._database  # type: ignore[attr-defined]

    def copied() -> list[tuple[Any, ...]]:
        return sorted(tuple(row) for row in database.rows(select(joins)))

    before = copied()
    assert len(before) == len(words)
    engine = database._engine
    with engine.connect() as reading:
        url = reading.engine.url if reading.dialect.name == "postgresql" else f"sqlite:///{database._path}"
    writer = create_engine(url, poolclass=NullPool)
    with writer.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        blank = dict.fromkeys(("feature", "version_id", "created_at", "place", "kind"))
        connection.execute(update(joins).values(**blank, negative=False, readable=False))
        fill()
    assert copied() == before
