"""Every count agrees through the whole engine, however rows left; a row that is lost on purpose is told."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests import household as home
from tests.household import people, send
from trimtab.clock import SetClock
from trimtab.config import Lake, Retention, Settings, Storage
from trimtab.ids import derived_id
from trimtab.measure.reconcile import Pair, Reconciliation, Sent
from trimtab.runtime.assemble import Engine, assemble


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    home.filled(folder)
    return folder


@pytest.fixture
def folder(full: Path, tmp_path: Path) -> Path:
    shutil.copytree(full, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def clock() -> SetClock:
    return SetClock(home.NOW + timedelta(hours=1))


@pytest.fixture
def engine(folder: Path, clock: SetClock) -> Iterator[Engine]:
    with home.opened(folder, clock=clock) as running:
        home.grown(running, clock)
        yield running


def pair(found: Reconciliation, name: str) -> Pair:
    return next(each for each in found.pairs if each.name == name)


def wrong(found: Reconciliation) -> set[str]:
    return {each.name for each in found.pairs if not each.explained}


def damage(folder: Path, *statements: str, file: str = "trimtab.db") -> None:
    """Change a database behind the engine's back."""
    with sqlite3.connect(folder / file) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement
    connection.close()


def test_all_counts_of_an_engine_that_settled_agree_exactly(engine: Engine) -> None:
    sent = len(home.events())
    found = engine.books.reconcile(sent=Sent(accepted=sent))
    assert found.whole
    assert [each.difference for each in found.pairs] == [0] * len(found.pairs)
    assert found.received == {"stored": sent, "duplicates": 0}
    assert set(found.behind.values()) == {0}
    assert pair(found, "texts that have a meaning to be found by").count > 100
    assert len(found.pairs) == 12


LOSSES: list[tuple[str, Callable[[Path], None], set[str]]] = [
    (
        "an answer",
        lambda folder: damage(folder, "DELETE FROM inferences WHERE seq = 7"),
        {"inferences stored", "inferences shipped to the lake", "texts that have a meaning to be found by"},
    ),
    (
        "a word",
        lambda folder: damage(folder, "DELETE FROM feedback WHERE id = (SELECT max(id) FROM feedback WHERE text > '')"),
        {
            "feedback stored",
            "feedback held",
            "feedback shipped to the lake",
            "texts that have a meaning to be found by",
        },
    ),
    (
        "a join",
        lambda folder: damage(folder, "DELETE FROM joins WHERE feedback_id = (SELECT min(feedback_id) FROM joins)"),
        {"feedback held"},
    ),
    (
        "a judgement",
        lambda folder: damage(folder, "DELETE FROM outcomes WHERE seq = (SELECT min(seq) FROM outcomes)"),
        {
            "answers that somebody spoke of",
            "judgements that stood, by the counters",
            "texts that have a meaning to be found by",
        },
    ),
    (
        "a vector",
        lambda folder: damage(folder, "DELETE FROM items WHERE id = (SELECT min(id) FROM items)", file="vectors.db"),
        {"texts that have a meaning to be found by"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lose", "told"), [each[1:] for each in LOSSES], ids=[each[0] for each in LOSSES])
def test_a_row_that_is_lost_on_purpose_is_told(
    engine: Engine, folder: Path, lose: Callable[[Path], None], told: set[str]
) -> None:
    lose(folder)
    found = engine.books.reconcile()
    assert wrong(found) == told
    assert not found.whole
    assert found.lost + found.extra >= 1
    assert all(abs(pair(found, name).difference) == 1 for name in told)


def test_a_word_that_reached_nothing_is_named(engine: Engine, folder: Path) -> None:
    one = derived_id("vote", derived_id("answer", home.word(3), "0"))
    damage(folder, f"DELETE FROM joins WHERE feedback_id = x'{one.replace('-', '')}'")
    assert pair(engine.books.reconcile(), "feedback held").ids == [one]
    assert pair(engine.books.reconcile(seen_by="default"), "feedback held").ids == [one]
    assert pair(engine.books.reconcile(seen_by="another"), "feedback held").ids == []


@pytest.mark.parametrize("table", ["inferences", "feedback", "outcomes"])
def test_a_row_that_the_lake_lost_is_told(engine: Engine, folder: Path, table: str) -> None:
    lake = DeltaTable(str(folder / "lake" / table))
    lake.delete(f"seq = {engine.store.last_places()[table]}")  # type: ignore[index]
    found = engine.books.reconcile()
    name = "judgements" if table == "outcomes" else table
    assert wrong(found) == {f"{name} shipped to the lake"}
    assert pair(found, f"{name} shipped to the lake").difference == 1


def test_events_that_a_sender_counts_as_stored_and_that_are_not_are_lost(engine: Engine) -> None:
    found = engine.books.reconcile(sent=Sent(accepted=len(home.events()) + 3))
    assert (found.whole, found.lost) == (False, 3)
    assert wrong(found) == {"events that the sender counts as accepted"}


def test_what_is_refused_or_sent_twice_is_counted_by_reason_across_restarts(folder: Path, clock: SetClock) -> None:
    good = home.events()[:1]
    with home.opened(folder, clock=clock) as engine:
        receipt = send(engine, [*good, {**good[0], "id": derived_id("x"), "created_at": "2040-01-01T00:00:00Z"}])
        assert (receipt.accepted, receipt.duplicates, len(receipt.rejected)) == (0, 1, 1)
    with home.opened(folder, clock=clock) as engine:
        send(engine, [{**good[0], "id": derived_id("y"), "type": "nothing"}])
        home.grown(engine, clock)
        found = engine.books.reconcile(sent=Sent(accepted=0, duplicates=1, rejected=2))
        assert found.whole
        told = {
            "stored": len(home.events()),
            "duplicates": 1,
            "refused: invalid_field": 1,
            "refused: time_in_future": 1,
        }
        assert found.received == told
        assert pair(found, "events refused by the sender's count").difference == 0


def test_rows_that_left_with_a_person_are_accounted_for(engine: Engine, clock: SetClock) -> None:
    for user in people()[:4]:
        assert home.erased(engine, clock, user).state == "done"
    found = engine.books.reconcile()
    assert found.whole, wrong(found)
    assert pair(found, "inferences stored").found["erased with a person"] == 20
    assert pair(found, "feedback held").difference == 0


def test_rows_that_left_by_age_are_accounted_for(folder: Path, clock: SetClock) -> None:
    settings = Settings(
        storage=Storage(path=str(folder)), lake=Lake(commit_seconds=1.0), retention=Retention(hot_days=30)
    )
    with assemble(settings, clock=clock, inline_runs=True) as engine:
        for _ in range(13):  # rows that made exemplars or that an open incident needs stay
            engine.settle()
            clock.advance(timedelta(days=10))
        engine.settle()
        found = engine.books.reconcile()
    assert found.whole, wrong(found)
    assert pair(found, "inferences shipped to the lake").difference == 0


def test_what_is_not_read_yet_is_no_loss(folder: Path, clock: SetClock) -> None:
    with home.opened(folder, clock=clock) as engine:
        home.grown(engine, clock)
        at = clock.now().isoformat()
        fresh = [
            {
                **event,
                "id": derived_id("again", event["id"]),
                "created_at": at,
                "trace_id": None,
                "text": event.get("text"),
            }
            for event in home.events()
        ]
        fresh = [{key: value for key, value in event.items() if value is not None} for event in fresh]
        words = [event for event in fresh if event["type"] == "inference" or "inference_id" in event]
        assert send(engine, words).rejected == []
        dice = random.Random(1)
        for _ in range(12):
            found = engine.books.reconcile()
            assert found.whole, wrong(found)
            dice.choice(engine.stages).tick(clock.now())
        home.grown(engine, clock)
        assert {each.difference for each in engine.books.reconcile().pairs} == {0}
