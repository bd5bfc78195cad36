"""Erasure where several processes share a PostgreSQL: no write misses a tombstone, and files are cleared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import household as home
from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import NOW, P
from tests.postgres import PostgresServer
from trimtab.clock import SetClock
from trimtab.config import Settings, Storage
from trimtab.ids import new_id
from trimtab.records import Erasure
from trimtab.runtime.assemble import assemble
from trimtab.store.erasing import person
from trimtab.store.hot.postgres import PostgresDatabase, open_postgres
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.hot.tombstones import ERASING, DeadRows
from trimtab.store.packing import pack_arrivals
from trimtab.store.schema import FEEDBACK, INFERENCES


@pytest.fixture
def database(postgres_url: str) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(postgres_url)
    yield opened
    opened.close()


def asked() -> Erasure:
    return Erasure(id=new_id(NOW), person=person(P, "gone"), asked_at=NOW, state="working")


def wait_for_a_lock(url: str) -> None:
    """Return once somebody waits for an advisory lock."""
    with psycopg.connect(url, autocommit=True) as watching:
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not watching.execute(waiting).fetchone():
            threading.Event().wait(0.005)


def test_a_tombstone_waits_for_the_append_under_way_elsewhere_and_finds_its_rows(
    database: PostgresDatabase, postgres_url: str
) -> None:
    """The other process asked before there was a tombstone, and commits after: its row must not survive."""
    store, mine = SqlHotStore(database), a.inference(user_id="gone")
    row = INFERENCES.row(P, mine, 0, "test", "")
    other = open_postgres(postgres_url)
    erasure, done = asked(), threading.Event()

    def bury() -> None:
        other.bury(P, erasure, ["gone"])
        done.set()

    burying = threading.Thread(target=bury)
    with database.transaction(beside=[ERASING]) as write:
        assert store._erased.packed(write, pack_arrivals([a.arrival(mine)])) == DeadRows()
        burying.start()
        wait_for_a_lock(postgres_url)
        assert not done.is_set()
        assert write.insert_new(INFERENCES, [row]) == [True]
    burying.join()
    assert other.collect(P, erasure.id).inferences == [mine.id]
    other.erase(P, erasure)
    assert store.inferences(P, [mine.id]) == {}
    assert store.append([a.arrival(mine)]) == [None]
    other.close()


def test_an_append_elsewhere_waits_for_the_tombstone_that_is_being_written(
    database: PostgresDatabase, postgres_url: str
) -> None:
    """Events of the erased that come while the tombstone is on its way are refused, by a process that knew of none."""
    other, mine = open_postgres(postgres_url), a.inference(user_id="gone")
    flags: list[bool | None] = []
    sending = threading.Thread(target=lambda: flags.extend(other.append([a.arrival(mine)])))
    store = SqlHotStore(database)
    with database.transaction([P, ERASING]) as write:
        sending.start()
        wait_for_a_lock(postgres_url)
        store._graves.bury(write, P, "user", ["gone"])
    sending.join()
    assert flags == [None]
    other.close()


def test_appends_do_not_wait_for_each_other(database: PostgresDatabase, postgres_url: str) -> None:
    other = open_postgres(postgres_url)
    with database.transaction(beside=[ERASING]):
        assert other.append([a.arrival(a.feedback())]) == [True]
    other.close()


def heap(server: PostgresServer, url: str, text: str) -> list[str]:
    """Return the tables in whose files the text stands, those of indexes and long values too."""
    server.execute("CHECKPOINT", url)
    files = server.execute("SELECT oid::regclass::text, pg_relation_filepath(oid) FROM pg_class", url)
    data = Path(str(server.execute("SHOW data_directory", url)[0][0]))
    found = []
    for name, path in files:
        parts = data.glob(f"{path}*") if path else ()
        found += [str(name) for part in parts if text.encode() in part.read_bytes()]
    return found


def test_no_byte_of_the_erased_is_left_in_the_tables_files(
    tmp_path: Path, server: PostgresServer, postgres_url: str
) -> None:
    settings = Settings(storage=Storage(path=str(tmp_path), url=postgres_url))
    clock = SetClock(home.NOW)
    with assemble(settings, clock=clock, inline_runs=True) as engine:
        home.send(engine, home.events())
        home.grown(engine, clock)
        gone, stays = home.people()[7], home.people()[8]
        kinds = {name.split("_")[0] for name in heap(server, postgres_url, gone)}
        assert {"inferences", "feedback", "opinions", "outcomes"} <= kinds, "the test looks where nothing is"
        receipt = home.erased(engine, clock, gone)
        assert (receipt.state, receipt.notes) == ("done", [])
        assert heap(server, postgres_url, gone) == []
        assert heap(server, postgres_url, gone[5:]) == []
        assert heap(server, postgres_url, stays) != []


def test_a_table_too_large_to_be_written_anew_is_named_in_the_receipt(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.store.hot.postgres_vacuum._SMALL_BYTES", 80_000)
    store = SqlHotStore(database)
    store.append([a.arrival(a.inference(input="x" * 3000)) for _ in range(100)])
    [note] = store.scrub()
    assert "VACUUM FULL removes them at once: inferences" in note
    assert "votes" not in note
    assert FEEDBACK.table.name + "_other" not in note
