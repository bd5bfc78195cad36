"""Search over a real hot store and a real vector store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.hot_store_sample import NOW, P, arrival, feedback, inference, outcome
from trimtab.embed.lsa import fit_lsa
from trimtab.errors import InvalidField
from trimtab.measure.search import Asked, Search, fused, terms_of
from trimtab.records import Feedback
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes
from trimtab.store.vectors.port import Item, VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

SAID = [
    "I was charged twice on my credit card",
    "my card was billed two times",
    "the parcel never arrived",
    "delivery is late again, where is the parcel",
    "the answer was in German but I asked in English",
    "wrong language: I speak English",
]
ANSWER = inference(input="why was my card charged twice", output="Please wait.", feature="billing", version_id="v2")
WORDS = [
    feedback(kind="comment", value=None, text=text, created_at=NOW + timedelta(minutes=place), feature="support")
    for place, text in enumerate(SAID)
]
SPACE = fit_lsa(SAID, dimensions=4)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[HotStore, VectorStore]]:
    store, vectors = open_sqlite(tmp_path / "hot.db"), open_sqlite_vectors(tmp_path / "vectors.db")
    store.append([arrival(ANSWER), *(arrival(word) for word in WORDS)])
    store.commit({P: Writes(joined=[(WORDS[0].id, ANSWER.id)], outcomes=[outcome(ANSWER)])})
    items = [Item(kind="feedback", id=word.id, created_at=word.created_at, feature="support") for word in WORDS]
    items.append(
        Item(kind="inference", id=ANSWER.id, created_at=NOW, feature="billing", version_id="v2", negative=True)
    )
    vectors.upsert(P, SPACE.space, items, SPACE.embed([*SAID, str(ANSWER.input)]))
    vectors.switch(P, SPACE.space)
    yield store, vectors
    vectors.close()
    store.close()


@pytest.fixture
def search(stores: tuple[HotStore, VectorStore]) -> Search:
    return Search(*stores, lambda _, space: SPACE if space == SPACE.space else None)


def ids(search: Search, asked: Asked) -> list[str]:
    return [match.id for match in search.find(P, asked).items]


def test_meaning_finds_what_shares_no_phrase(search: Search) -> None:
    found = search.find(P, Asked(q="billed twice", mode="semantic", limit=3))
    assert {match.id for match in found.items} == {WORDS[0].id, WORDS[1].id, ANSWER.id}
    best = found.items[0]
    assert best.score == pytest.approx(best.why[0].cosine)
    assert (best.why[0].by, best.why[0].rank) == ("meaning", 1)
    assert found.space == SPACE.space


def test_words_finds_what_has_all_of_them_in_any_case(search: Search) -> None:
    assert ids(search, Asked(q="PARCEL the", mode="exact")) == [WORDS[3].id, WORDS[2].id]
    assert ids(search, Asked(q='"the PARCEL never"', mode="exact")) == [WORDS[2].id]
    assert ids(search, Asked(q='"parcel the"', mode="exact")) == []
    assert ids(search, Asked(q="no-such-word", mode="exact")) == []


def test_whole_words_come_before_parts(search: Search, stores: tuple[HotStore, VectorStore]) -> None:
    part = feedback(kind="comment", value=None, text="Englishman in New York", created_at=NOW + timedelta(days=1))
    stores[0].append([arrival(part)])
    assert ids(search, Asked(q="english", mode="exact")) == [WORDS[5].id, WORDS[4].id, part.id]


def test_words_are_found_in_inputs_and_outputs_of_answers(search: Search) -> None:
    found = search.find(P, Asked(q="please wait", mode="exact"))
    assert [(match.kind, match.id) for match in found.items] == [("inference", ANSWER.id)]
    assert found.items[0].inference == ANSWER
    assert found.items[0].feedback is None
    assert found.items[0].why[0].words == ["please", "wait"]


def test_hybrid_puts_first_what_both_ways_found(search: Search) -> None:
    found = search.find(P, Asked(q="charged twice", limit=5))
    assert {found.items[0].id, found.items[1].id} == {WORDS[0].id, ANSWER.id}
    assert [reason.by for reason in found.items[0].why] == ["meaning", "words"]
    assert [reason.by for reason in found.items[2].why] == ["meaning"]
    scores = [match.score for match in found.items]
    assert scores == sorted(scores, reverse=True)


def test_every_filter_holds_in_every_mode(search: Search) -> None:
    since = NOW + timedelta(minutes=1)
    for mode in ("semantic", "exact", "hybrid"):
        for narrowed in (
            Asked(q="card", mode=mode, kind="inference"),
            Asked(q="card", mode=mode, feature="billing", version_id="v2", kind="inference"),
            Asked(q="card", mode=mode, kind="inference", negative=True),
        ):
            assert ids(search, narrowed) == [ANSWER.id], narrowed
        assert ids(search, Asked(q="card", mode=mode, kind="inference", negative=False)) == []
        later = ids(search, Asked(q="card", mode=mode, kind="feedback", since=since))
        assert WORDS[1].id in later
        assert WORDS[0].id not in later
        assert ids(search, Asked(q="card", mode=mode, until=NOW)) == []


def test_negative_keeps_words_about_bad_answers(search: Search) -> None:
    assert ids(search, Asked(q="card", mode="exact", kind="feedback", negative=True)) == [WORDS[0].id]
    assert ids(search, Asked(q="card", mode="exact", kind="feedback", negative=False)) == [WORDS[1].id]


def test_without_a_space_words_still_find_and_the_answer_says_so(stores: tuple[HotStore, VectorStore]) -> None:
    blind = Search(*stores, lambda *_: None)
    assert blind.find(P, Asked(q="parcel", mode="semantic")).items == []
    found = blind.find(P, Asked(q="parcel"))
    assert found.space is None
    assert [match.id for match in found.items] == [WORDS[3].id, WORDS[2].id]


def test_a_search_that_could_not_read_everything_says_so(stores: tuple[HotStore, VectorStore]) -> None:
    short = Search(*stores, lambda *_: None, read_rows=3)
    assert not short.find(P, Asked(q="card", mode="exact")).complete
    assert Search(*stores, lambda *_: None).find(P, Asked(q="card", mode="exact")).complete
    assert Search(*stores, lambda *_: None, read_rows=7).find(P, Asked(q="card", mode="exact")).complete


def test_what_is_no_longer_kept_is_not_found(stores: tuple[HotStore, VectorStore], search: Search) -> None:
    ghost = feedback(kind="comment", value=None, text="gone")
    item = Item(kind="feedback", id=ghost.id, created_at=NOW)
    stores[1].upsert(P, SPACE.space, [item], SPACE.embed(["the parcel never arrived"]))
    found = ids(search, Asked(q="the parcel never arrived", mode="semantic", limit=2))
    assert ghost.id not in found
    assert len(found) == 2


def test_other_projects_find_nothing(search: Search) -> None:
    assert search.find("other", Asked(q="card")).items == []


@pytest.mark.parametrize("q", ["", "  ", '""', "?!", "x" * 1001])
def test_a_query_without_a_word_is_refused(search: Search, q: str) -> None:
    with pytest.raises(InvalidField, match="expected q"):
        search.find(P, Asked(q=q))


def test_terms_are_folded_once_each() -> None:
    assert terms_of('Straße "Two  Words" STRASSE') == ["strasse", "two words"]
    assert terms_of('say "unclosed') == ["say", '"unclosed']


def test_fusion_adds_reciprocal_ranks() -> None:
    a, b, c = ("feedback", "a"), ("feedback", "b"), ("inference", "a")
    scores = fused([[a, b], [b, c]])  # type: ignore[list-item]
    assert scores == {a: 1 / 61, b: 1 / 62 + 1 / 61, c: 1 / 62}


def test_feedback_comes_back_whole(search: Search) -> None:
    match = search.find(P, Asked(q="never arrived", mode="exact")).items[0]
    assert isinstance(match.feedback, Feedback)
    assert match.feedback == WORDS[2]
