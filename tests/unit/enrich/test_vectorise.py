"""The vectorise stage over a real hot store, a real vector store and fitted spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contract.hot_store_sample import NOW, P, arrival, correction, feedback, inference, outcome
from trimtab.embed.lsa import fit_lsa
from trimtab.embed.port import Embedder
from trimtab.enrich.vectorise import VectoriseStage
from trimtab.errors import Unavailable
from trimtab.records import Feedback, Inference, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes
from trimtab.store.vectors.port import VectorStore, Where
from trimtab.store.vectors.sqlite import open_sqlite_vectors

TEXTS = [f"{verb} my {thing} {when}" for verb in ("cancel", "refund", "track") for thing in ("order", "card", "parcel")
         for when in ("now", "today", "later")]  # fmt: skip
OLD = fit_lsa(TEXTS, dimensions=8)
NEW = fit_lsa([*TEXTS, "something else entirely"], dimensions=12)


@dataclass
class Shelf:
    """Which embedder serves, and which are still kept."""

    serving: Embedder = OLD
    kept: list[Embedder] = field(default_factory=lambda: [OLD])

    def current(self, project_id: str) -> Embedder:
        return self.serving

    def embedder_of(self, project_id: str, space: str) -> Embedder | None:
        return next((each for each in self.kept if each.space == space), None)


@dataclass
class Bench:
    """One stage with all it stands on."""

    store: HotStore
    vectors: VectorStore
    shelf: Shelf
    stage: VectoriseStage

    def settle(self) -> int:
        handled = 0
        while rows := self.stage.tick(NOW):
            handled += rows
        return handled

    def say(self, *records: Inference | Feedback, project: str = P) -> None:
        self.store.append([arrival(record, project) for record in records])

    def ids(self, where: Where = Where()) -> set[str]:  # noqa: B008 frozen
        current = self.vectors.current(P)
        return {each.id for each in self.vectors.recent(P, current, 1000, where)[0]} if current else set()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = open_sqlite(tmp_path / "hot.db")
    vectors = open_sqlite_vectors(tmp_path / "vectors.db")
    store.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})
    shelf = Shelf()
    yield Bench(store, vectors, shelf, VectoriseStage(store, vectors, shelf, batch_rows=10, inline=True))
    vectors.close()
    store.close()


def comment(text: str, **fields: object) -> Feedback:
    return feedback(kind="comment", value=None, text=text, **fields)


def test_words_and_bad_answers_are_found_by_meaning(bench: Bench) -> None:
    bad, good = inference(input="cancel my order now"), inference(input="track my parcel")
    word, vote = comment("refund my card today", inference_id=bad.id), feedback(inference_id=bad.id)
    bench.say(bad, good, word, vote)
    bench.store.commit({P: Writes(joined=[(word.id, bad.id)], outcomes=[outcome(bad), outcome(good, p_bad=0.2)])})
    bench.settle()
    assert bench.ids() == {bad.id, word.id}
    assert bench.ids(Where(kind="feedback", feature=bad.feature, negative=True)) == {word.id}
    hit = bench.vectors.nearest(P, OLD.space, OLD.embed(["refund the card"])[0], 1)[0]
    assert (hit.kind, hit.id) == ("feedback", word.id)


def test_a_tick_handles_a_batch_and_the_rest_follows(bench: Bench) -> None:
    words = [comment(f"{TEXTS[number % len(TEXTS)]} {number}") for number in range(35)]
    bench.say(*words)
    assert bench.stage.tick(NOW) == 10
    assert bench.vectors.current(P) is None
    bench.settle()
    assert bench.ids() == {word.id for word in words}
    assert bench.settle() == 0


def test_what_became_known_later_is_written_again(bench: Bench) -> None:
    answer = inference(input="track my parcel", feature="search", version_id="v7")
    word = comment("cancel my order", inference_id=answer.id)
    bench.say(word)
    bench.settle()
    assert bench.ids(Where(feature="search")) == set()
    bench.say(answer)
    bench.store.commit({P: Writes(joined=[(word.id, answer.id)], outcomes=[outcome(answer)])})
    bench.settle()
    assert bench.ids(Where(feature="search", version_id="v7", negative=True)) == {word.id, answer.id}
    bench.store.commit({P: Writes(outcomes=[outcome(answer, p_bad=0.1)])})
    bench.settle()
    assert bench.ids() == {word.id}
    assert bench.ids(Where(negative=True)) == set()


def test_a_judgement_taken_back_takes_its_vector_along(bench: Bench) -> None:
    answer = inference(input="track my parcel")
    bench.say(answer)
    bench.store.commit({P: Writes(outcomes=[outcome(answer)])})
    bench.settle()
    assert bench.ids() == {answer.id}
    bench.store.commit({P: Writes(outcomes=[outcome(answer, withdrawn=True)])})
    bench.settle()
    assert bench.ids() == set()


def test_a_correction_is_negative_even_before_it_is_joined(bench: Bench) -> None:
    answer = inference()
    fixed = correction(answer, text="refund my order")
    bench.say(fixed)
    bench.settle()
    assert bench.ids(Where(negative=True)) == {fixed.id}


def test_a_new_space_is_filled_beside_the_old_one_and_then_serves(bench: Bench) -> None:
    words = [comment(f"{TEXTS[number]}") for number in range(25)]
    bench.say(*words)
    bench.settle()
    assert bench.vectors.current(P) == OLD.space
    bench.shelf.serving, bench.shelf.kept = NEW, [OLD, NEW]
    late = comment("track my card")
    bench.say(late)
    bench.stage.tick(NOW)
    assert bench.vectors.current(P) == OLD.space
    assert late.id in bench.ids(), "the old space is fed while it serves"
    assert len(bench.vectors.spaces(P)) == 2
    bench.settle()
    bench.stage.tick(NOW)
    assert [(space.name, space.current) for space in bench.vectors.spaces(P)] == [(NEW.space, True)]
    assert bench.ids() == {word.id for word in [*words, late]}


def test_a_lot_that_is_written_again_leaves_what_it_left(bench: Bench, tmp_path: Path) -> None:
    words = [comment(text) for text in TEXTS[:15]]
    bench.say(*words)
    bench.settle()
    before = bench.vectors.recent(P, OLD.space, 100)
    killed = open_sqlite(tmp_path / "before-the-cursor.db")  # the same events, and no cursor was written
    try:
        killed.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})
        killed.append([arrival(word) for word in words])
        again = VectoriseStage(killed, bench.vectors, bench.shelf, inline=True)
        assert again.tick(NOW) == 15
    finally:
        killed.close()
    after = bench.vectors.recent(P, OLD.space, 100)
    assert after[0] == before[0]
    assert np.array_equal(after[1], before[1])


def test_a_space_that_was_dropped_is_filled_from_the_beginning_when_it_is_asked_for_again(bench: Bench) -> None:
    words = [comment(text) for text in TEXTS]
    bench.say(*words)
    bench.settle()
    for serving in (NEW, OLD):
        bench.shelf.serving, bench.shelf.kept = serving, [OLD, NEW]
        bench.settle()
        bench.stage.tick(NOW)
    assert [space.name for space in bench.vectors.spaces(P)] == [OLD.space]
    assert bench.ids() == {word.id for word in words}


def test_a_lost_vector_file_is_made_again(bench: Bench, tmp_path: Path) -> None:
    words = [comment(text) for text in TEXTS[:12]]
    bench.say(*words)
    bench.settle()
    empty = open_sqlite_vectors(tmp_path / "other.db")
    try:
        stage = VectoriseStage(bench.store, empty, bench.shelf, inline=True)
        assert stage.tick(NOW) == 12
        assert empty.count(P, OLD.space) == 12
    finally:
        empty.close()


def test_what_was_erased_is_not_made_again_by_a_new_space(bench: Bench) -> None:
    mine, theirs = comment("cancel my order", user_id="anna"), comment("refund my card", user_id="ben")
    bench.say(mine, theirs)
    bench.settle()
    bench.vectors.erase(P, user_ids=["anna"])
    bench.shelf.serving, bench.shelf.kept = NEW, [OLD, NEW]
    bench.settle()
    bench.stage.tick(NOW)
    assert bench.vectors.current(P) == NEW.space
    assert bench.ids() == {theirs.id}


def test_words_taken_back_and_signals_without_words_have_no_vector(bench: Bench) -> None:
    bench.say(feedback(), comment("cancel my order", retracted=True), feedback(kind="copy", value=None))
    bench.settle()
    assert bench.ids() == set()


def test_projects_have_spaces_of_their_own(bench: Bench) -> None:
    bench.store.commit({"q": Writes(projects=[Project(id="q", created_at=NOW)])})
    here, there = comment("cancel my order"), comment("refund my card")
    bench.say(here)
    bench.say(there, project="q")
    bench.settle()
    assert bench.ids() == {here.id}
    assert [each.id for each in bench.vectors.recent("q", OLD.space, 10)[0]] == [there.id]


def test_an_embedder_that_is_away_loses_nothing(bench: Bench) -> None:
    away = _Away()
    bench.shelf.serving = away
    word = comment("cancel my order")
    bench.say(word)
    assert bench.stage.tick(NOW) == 0
    away.reachable = True
    bench.settle()
    assert bench.ids() == {word.id}


class _Away:
    """An embedder behind a network that is down at first."""

    reachable = False
    space = OLD.space

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self.reachable:
            raise Unavailable("the endpoint cannot be reached")
        return OLD.embed(texts)
