"""On PostgreSQL many write at once: no reader skips a row, nobody's word is lost, places never go back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from tests.postgres import PostgresServer, postgres_server
from trimtab.errors import Conflict
from trimtab.records import Inference, Opinion
from trimtab.store.hot.counters import Tally
from trimtab.store.hot.postgres import PostgresDatabase, open_postgres
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.hot.writes import Committer
from trimtab.store.ports import HotStore, Switch, Writes
from trimtab.store.schema import INFERENCES

# What a store with an ordinary sequence would do: a number is taken when a row is written, not when it is committed.
PLAIN_SEQUENCE = """
CREATE SEQUENCE plain;
CREATE OR REPLACE FUNCTION trimtab_seq(rows integer DEFAULT 1) RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT max(nextval(''plain'')) - rows + 1 FROM generate_series(1, rows)';
CREATE OR REPLACE FUNCTION trimtab_horizon() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 9223372036854775807'
"""


@pytest.fixture
def database(postgres_url: str) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(postgres_url, connections=20)
    yield opened
    opened.close()


def row(item: Inference) -> list[Any]:
    return INFERENCES.row(P, item, 0, "test", "")


class Crowd:
    """Many writers, each with a transaction that it holds open for as long as the dice say."""

    def __init__(self, database: PostgresDatabase, dice: random.Random) -> None:
        self.database = database
        self.dice = dice
        self.committer = Committer(database)
        self.open: list[tuple[AbstractContextManager[Any], Any, list[str]]] = []
        self.committed: list[str] = []

    def begin(self) -> None:
        held = self.database.transaction()
        self.open.append((held, held.__enter__(), []))

    def write(self) -> None:
        _, write, written = self.dice.choice(self.open)
        items = [a.inference() for _ in range(self.dice.randrange(1, 4))]
        assert write.insert_new(INFERENCES, [row(item) for item in items]) == [True] * len(items)
        # Counters are left out: whoever moves the same ones waits, and here one thread holds all transactions open.
        self.committer._judge(write, P, [a.outcome(item) for item in items], Tally())
        written.extend(item.id for item in items)

    def end(self) -> None:
        held, _, written = self.open.pop(self.dice.randrange(len(self.open)))
        if self.dice.random() < 0.2:
            error = RuntimeError("changed its mind")
            assert not held.__exit__(RuntimeError, error, None)
        else:
            held.__exit__(None, None, None)
            self.committed.extend(written)


def follow(database: PostgresDatabase, dice: random.Random) -> tuple[list[str], list[str], list[str]]:
    """Let a crowd write and commit in random order; return what it stored and what two readers with a cursor saw."""
    store, crowd = SqlHotStore(database), Crowd(database, dice)
    seen: tuple[list[str], list[str]] = ([], [])
    places: list[int] = [0, 0]

    def read() -> bool:
        inferences = store.inferences_after(places[0], dice.randrange(1, 9))
        outcomes = store.outcomes_after(places[1], dice.randrange(1, 9))
        seen[0].extend(each.record.id for each in inferences)
        seen[1].extend(each.record.inference_id for each in outcomes)
        places[0] = inferences[-1].seq if inferences else places[0]
        places[1] = outcomes[-1].seq if outcomes else places[1]
        return bool(inferences or outcomes)

    try:
        for _ in range(250):
            step: Callable[[], object] = dice.choice([crowd.begin, crowd.write, crowd.write, crowd.end, read])
            if step == crowd.begin and len(crowd.open) > 12:
                step = crowd.end
            if step in (crowd.write, crowd.end) and not crowd.open:
                step = crowd.begin
            step()
    finally:
        while crowd.open:
            crowd.end()
    while read():
        pass
    return crowd.committed, *seen


@pytest.mark.parametrize("seed", range(4))
def test_no_row_is_skipped_or_doubled_whatever_the_order_of_commits(database: PostgresDatabase, seed: int) -> None:
    stored, inferences, outcomes = follow(database, random.Random(seed))
    assert len(stored) > 50
    assert sorted(inferences) == sorted(stored)
    assert sorted(outcomes) == sorted(stored)


def test_the_same_writers_make_a_reader_skip_rows_of_a_plain_sequence(
    database: PostgresDatabase, server: PostgresServer, postgres_url: str
) -> None:
    server.execute(PLAIN_SEQUENCE, postgres_url)
    stored, inferences, outcomes = follow(database, random.Random(0))
    assert set(inferences) < set(stored)
    assert set(outcomes) < set(stored)


def test_a_reader_waits_for_the_oldest_open_transaction_and_then_sees_all(database: PostgresDatabase) -> None:
    store = SqlHotStore(database)
    early, late = a.inference(), a.inference()
    with database.transaction() as write:
        write.insert_new(INFERENCES, [row(early)])
        store.append([a.arrival(late)])
        assert store.inferences_after(0, 10) == []
        assert store.inferences(P, [late.id]) == {late.id: late}
    assert [each.record for each in store.inferences_after(0, 10)] == [early, late]


def test_rows_of_one_transaction_keep_their_order(database: PostgresDatabase) -> None:
    store = SqlHotStore(database)
    items = [a.inference() for _ in range(50)]
    random.Random(0).shuffle(items)
    store.append([a.arrival(item) for item in items])
    assert [each.record for each in store.inferences_after(0, 100)] == items


def test_more_rows_than_a_transaction_has_places_are_refused_as_such(database: PostgresDatabase) -> None:
    def too_many() -> None:
        with database.transaction() as write:
            write._connection.execute("SELECT trimtab_seq(1048575)")
            write.insert_new(INFERENCES, [row(a.inference())])

    with pytest.raises(ValueError, match="1048575 rows"):
        too_many()


# ---------------------------------------------------------------- commits at once


@pytest.fixture
def stores(postgres_url: str) -> Iterator[list[HotStore]]:
    """Return several stores over one database, as several processes have them."""
    opened = [open_postgres(postgres_url, connections=2) for _ in range(4)]
    yield opened
    for store in opened:
        store.close()


def at_once(stores: list[HotStore], work: Callable[[HotStore, int], object], times: int) -> list[Any]:
    with ThreadPoolExecutor(len(stores)) as pool:
        futures = [pool.submit(work, stores[number % len(stores)], number) for number in range(times)]
        return [future.result() for future in futures]


def test_every_revision_is_switched_to_by_exactly_one_process(stores: list[HotStore]) -> None:
    def switch(store: HotStore, _: int) -> int:
        current = store.rollout(P, "answer")
        revision = current.revision if current else 0
        try:
            store.commit({P: Writes(switches=[Switch(a.rollout(revision + 1), revision)])})
        except Conflict:
            return 0
        return revision + 1

    won = sorted(revision for revision in at_once(stores, switch, 40) if revision)
    assert won == list(range(1, len(won) + 1))
    assert [each.revision for each in stores[0].rollout_history(P, "answer")] == won


def test_the_latest_opinion_stays_whichever_process_commits_last(stores: list[HotStore]) -> None:
    served = [a.inference() for _ in range(5)]
    words: list[Opinion] = [
        a.opinion(a.feedback(user_id="u", created_at=a.NOW + timedelta(seconds=at)), item)
        for at in range(20)
        for item in served
    ]
    random.Random(0).shuffle(words)
    at_once(stores, lambda store, at: store.commit({P: Writes(opinions=words[at::40])}), 40)
    found = stores[0].opinions(P, [item.id for item in served])
    assert {key: [word.created_at for word in each] for key, each in found.items()} == {
        item.id: [a.NOW + timedelta(seconds=19)] for item in served
    }


def test_an_outcome_written_by_many_processes_is_one_row_at_the_end(stores: list[HotStore]) -> None:
    served = [a.inference() for _ in range(6)]

    def judge(store: HotStore, at: int) -> None:
        order = random.Random(at).sample(served, len(served))
        store.commit(
            {P: Writes(outcomes=[a.outcome(item, p_bad=at / 100) for item in order])}, cursors={"s": at, "t": at}
        )

    at_once(stores, judge, 40)
    rows = stores[0].outcomes_after(0, 100)
    assert sorted(each.record.inference_id for each in rows) == sorted(item.id for item in served)
    assert len({each.record.p_bad for each in rows}) == 1
    assert stores[0].cursor("s") == 39


def test_one_batch_sent_to_many_processes_at_once_is_stored_once(stores: list[HotStore]) -> None:
    batch = [a.arrival(a.inference() if at % 2 else a.feedback()) for at in range(3_000)]

    def send(store: HotStore, at: int) -> int:
        return store.append(random.Random(at).sample(batch, len(batch))).count(True)

    assert sum(at_once(stores, send, 12)) == 3_000
    assert sum(each.inferences for each in stores[0].exposures(P, "answer", a.NOW, a.NOW + a.SECOND)) == 1_500


# ---------------------------------------------------------------- another cluster


def test_places_go_on_rising_in_a_cluster_whose_transactions_are_numbered_lower(
    server: PostgresServer, postgres_url: str
) -> None:
    server.execute("DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    store = open_postgres(postgres_url)
    before = [a.inference() for _ in range(3)]
    store.append([a.arrival(item) for item in before])
    last = store.inferences_after(0, 10)[-1].seq
    store.commit({}, cursors={"enrich": last})
    store.close()
    backup = server.dump(postgres_url)
    with postgres_server() as other:
        url = other.database()
        other.restore(url, backup)
        for _ in range(2):
            store = open_postgres(url)
            after = [a.inference() for _ in range(3)]
            store.append([a.arrival(item) for item in after])
            rows = store.inferences_after(last, 10)
            assert [each.record for each in rows] == after
            assert [each.record for each in store.inferences_after(0, 3)] == before
            last = rows[-1].seq
            store.close()
