"""What only the SQLite backend promises: its file, its connections, and what it says when the machine fails."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event

from tests.contract import hot_store_sample as a
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Inference
from trimtab.store.hot.sqlite import SqliteDatabase, open_sqlite
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.ports import Due, HotStore, PurgedKind, Query, Writes
from trimtab.store.schema import SCHEMA_VERSION

BIG = "x" * 40_000


def open_files(path: Path) -> int:
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 links vanish while read
    return sum(1 for link in links if link.is_symlink() and str(link.readlink()).startswith(str(path)))


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(statement)
    finally:
        connection.close()


def test_the_file_is_ours_alone_in_wal_mode_with_large_pages(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "hot.db"
    store = open_sqlite(path)
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()
    told = [pragma(path, name) for name in ("journal_mode", "page_size", "user_version")]
    assert told == ["wal", 16_384, SCHEMA_VERSION]


def test_every_connection_is_closed_whatever_threads_read(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = open_sqlite(path)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: [store.cursor("s") for _ in range(20)], range(12)))
    assert open_files(path) > 0
    store.close()
    assert open_files(path) == 0


def test_a_file_of_a_newer_trimtab_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    open_sqlite(path).close()
    execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match="newer Trimtab"):
        open_sqlite(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert open_files(path) == 0


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    execute(path, "CREATE TABLE mine (a)")
    with pytest.raises(ConfigError, match="another program"):
        open_sqlite(path)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database, " * 200)
    with pytest.raises(Unavailable, match="not an SQLite database"):
        open_sqlite(path)
    with pytest.raises(Unavailable, match="file that can be written"):
        open_sqlite(path / "below" / "hot.db")


def test_a_full_disk_is_unavailable_stores_nothing_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = open_sqlite(path, max_pages=200)
    try:
        kept: list[Inference] = []
        lot: list[Inference] = []
        refused = None
        for _ in range(100):
            lot = [a.inference(input=BIG) for _ in range(5)]
            try:
                store.append([a.arrival(item) for item in lot])
            except Unavailable as error:
                refused = error
                break
            kept.extend(lot)
        assert refused is not None
        assert "disk is full" in refused.message
        assert [row.record for row in store.inferences_after(0, 1_000)] == kept
        with pytest.raises(Unavailable, match="disk is full"):
            store.commit({"p": Writes(cases=[a.sealed(a.case(input=BIG * 20))])}, cursors={"s": 1})
        assert store.cursor("s") == 0
        execute(path, "DELETE FROM inferences WHERE seq <= 20")
        assert store.append([a.arrival(item) for item in lot]) == [True] * 5
        assert [row.record for row in store.inferences_after(0, 1_000)] == kept[20:] + lot
    finally:
        store.close()


def test_a_locked_file_is_unavailable_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.store.hot.sqlite._BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "hot.db"
    store = open_sqlite(path)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process"):
            store.append([a.arrival(a.inference())])
        assert store.inferences_after(0, 10) == []
        other.execute("ROLLBACK")
        assert store.append([a.arrival(a.inference())]) == [True]
    finally:
        other.close()
        store.close()


def test_a_seq_is_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = open_sqlite(path)
    try:
        store.append([a.arrival(a.inference()) for _ in range(3)])
        last = store.inferences_after(0, 10)[-1].seq
        execute(path, "DELETE FROM inferences")
        store.append([a.arrival(a.inference())])
        assert store.inferences_after(0, 10)[0].seq > last
    finally:
        store.close()


def test_an_input_is_known_again_by_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = open_sqlite(path)
    asked = {"b": "what", "a": 1}
    store.append([a.arrival(a.inference(input=each)) for each in (asked, dict(reversed(asked.items())))])
    store.close()
    connection = sqlite3.connect(path)
    hashes = [row[0] for row in connection.execute("SELECT input_hash FROM inferences")]
    connection.close()
    canonical = msgspec.json.encode(asked, order="deterministic")
    assert hashes == [hashlib.sha256(canonical).hexdigest()] * 2


@pytest.mark.parametrize("table", ["inferences", "feedback"])
def test_hot_tables_have_only_their_key_and_time_indexed(tmp_path: Path, table: str) -> None:
    path = tmp_path / "hot.db"
    open_sqlite(path).close()
    connection = sqlite3.connect(path)
    names = {row[1] for row in connection.execute(f"PRAGMA index_list({table})")}
    connection.close()
    partial = {"feedback_feature"} if table == "feedback" else set()  # of the few that name a feature, by time
    assert names == {f"{table}_key", f"{table}_time"} | partial


@pytest.mark.parametrize(
    "query",
    [
        Query(feature="answer"),
        Query(feature="answer", version_id="v1"),
        Query(version_id="v1", since=a.NOW, until=a.NOW + a.SECOND),
        Query(since=a.NOW),
    ],
)
def test_a_list_of_events_is_read_from_an_index_in_its_order(tmp_path: Path, query: Query) -> None:
    store = open_sqlite(tmp_path / "hot.db")
    served = a.inference(version_id="v1")
    word = a.feedback(feature="answer")
    store.append([a.arrival(served), a.arrival(word)])
    store.commit({a.P: Writes(joined=[(word.id, served.id)])})
    with explained(store) as plans:
        for verb in (store.list_inferences, store.list_feedback, store.inbox):
            plans.clear()
            assert verb(a.P, query).rows
            whole = [
                step for step in plans if "FOR ORDER BY" in step or (step.startswith("SCAN ") and "names" not in step)
            ]
            assert not whole, (verb, plans)
    store.close()


def test_a_page_without_a_span_is_read_in_order_and_never_sorted(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "hot.db")
    with explained(store) as plans:
        for verb in (store.list_outcomes, store.corrections, store.orphans):
            plans.clear()
            verb("p", Query(feature="answer"))
            assert plans
            assert not [step for step in plans if "TEMP B-TREE" in step], (verb, plans)
        for events in (store.list_inferences, store.list_feedback):
            plans.clear()
            events("p", Query())
            assert plans
            assert not [step for step in plans if "TEMP B-TREE" in step], (events, plans)
    store.close()


@contextmanager
def explained(store: HotStore) -> Iterator[list[str]]:
    """Collect the steps of the plans of what is read meanwhile."""
    plans: list[str] = []

    def explain(_: object, cursor: sqlite3.Cursor, statement: str, values: tuple[object, ...], *__: object) -> None:
        plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        plans.extend(str(row[3]) for row in plan)

    assert isinstance(store, SqlHotStore)
    database = store._database
    assert isinstance(database, SqliteDatabase)
    event.listen(database._engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(database._engine, "before_cursor_execute", explain)


def test_the_room_of_rows_that_left_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = open_sqlite(path)
    sizes = []
    try:
        for _ in range(5):
            store.append([a.arrival(a.inference(input=BIG)) for _ in range(100)])
            before: dict[PurgedKind, datetime] = {"inferences": a.NOW + timedelta(days=1)}
            due = Due(before=before, upto={"inferences": 1 << 62})
            store.purge(store.purgeable("inferences", due, after=0, limit=1000))
            sizes.append(int(str(pragma(path, "page_count"))))
    finally:
        store.close()
    assert max(sizes[1:]) <= sizes[0] * 1.05
    assert BIG[:1000].encode() not in path.read_bytes()  # nor do the words lie on in the free pages
