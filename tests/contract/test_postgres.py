"""What only the PostgreSQL backend promises: its weeks, its errors, and that it comes back when the server does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from tests.postgres import PostgresServer, postgres_server
from trimtab.errors import ConfigError, Conflict, Unavailable
from trimtab.ids import derived_id, new_id
from trimtab.store.hot.postgres import PostgresDatabase, open_postgres
from trimtab.store.hot.postgres_weeks import WEEK, drop_week, make_week, week_of, weeks
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.ports import Arrival, Due, HotStore
from trimtab.store.schema import INFERENCES, SCHEMA_VERSION

SOURCE = Path(__file__).parents[2] / "src"
MONDAY = week_of(a.NOW)


@pytest.fixture
def store(postgres_url: str) -> Iterator[HotStore]:
    opened = open_postgres(postgres_url)
    yield opened
    opened.close()


# ---------------------------------------------------------------- weeks


def where(server: PostgresServer, url: str) -> dict[str, str]:
    """Return the partition of each stored inference."""
    return {
        str(row[0]): row[1]
        for row in server.execute("SELECT encode(id, 'hex'), tableoid::regclass::text FROM inferences", url)
    }


def test_a_week_begins_on_monday_at_midnight_utc() -> None:
    assert week_of(datetime(2026, 3, 1, 23, 59, tzinfo=UTC)) == datetime(2026, 2, 23, tzinfo=UTC)
    assert week_of(datetime(2026, 3, 2, tzinfo=UTC)) == datetime(2026, 3, 2, tzinfo=UTC)


def test_events_lie_in_the_week_of_their_id_and_ids_without_a_time_beside_them(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    now, later, timeless = a.inference(), a.inference(id=new_id(a.NOW + WEEK)), a.inference(id=derived_id("x"))
    store.append([a.arrival(item) for item in (now, later, timeless)])
    assert where(server, postgres_url) == {
        now.id.replace("-", ""): f"inferences_w{MONDAY:%Y%m%d}",
        later.id.replace("-", ""): f"inferences_w{MONDAY + WEEK:%Y%m%d}",
        timeless.id.replace("-", ""): "inferences_other",
    }
    assert store.append([a.arrival(item) for item in (now, later, timeless)]) == [False] * 3


def test_weeks_are_made_ahead_of_the_events_as_time_goes_on(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    for ahead in range(0, 26, 2):
        now = a.NOW + ahead * WEEK
        arrived = a.arrival(a.inference(id=new_id(now), created_at=now))
        store.append([Arrival(P, arrived.event, now)])
    assert not [name for name in where(server, postgres_url).values() if name == "inferences_other"]


def test_rows_that_came_before_their_week_was_made_move_into_it(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    past = MONDAY - 10 * WEEK
    old = a.inference(id=new_id(past + timedelta(days=1)), created_at=past)
    store.append([a.arrival(old), a.arrival(a.inference())])
    assert where(server, postgres_url)[old.id.replace("-", "")] == "inferences_other"
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    for _ in range(2):
        with engine.begin() as connection:
            make_week(connection, "inferences", past)
    engine.dispose()
    assert where(server, postgres_url)[old.id.replace("-", "")] == f"inferences_w{past:%Y%m%d}"
    assert store.inferences(P, [old.id]) == {old.id: old}
    assert store.append([a.arrival(old)]) == [False]


def test_a_week_is_dropped_whole_but_for_what_is_to_be_kept(store: HotStore, postgres_url: str) -> None:
    gone, kept, young = a.inference(), a.inference(user_id="open"), a.inference(id=new_id(a.NOW + WEEK))
    store.append([a.arrival(item) for item in (gone, kept, young)])
    places = {row.record.id: row.seq for row in store.inferences_after(0, 10)}
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        assert drop_week(connection, "inferences", MONDAY, keep="user_id = 'open'") == 1
        assert MONDAY not in weeks(connection, "inferences")
    engine.dispose()
    assert {row.record.id: row.seq for row in store.inferences_after(0, 10)} == {
        item.id: places[item.id] for item in (kept, young)
    }


def test_a_long_read_in_the_way_of_a_new_week_holds_no_writer_back(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    assert isinstance(store, SqlHotStore)
    now = a.NOW + 20 * WEEK
    item = a.inference(id=new_id(now), created_at=now)
    with store._database.snapshot() as view:
        assert view.rows(select(func.count()).select_from(INFERENCES.table)) == [(0,)]
        assert store.append([Arrival(P, a.arrival(item).event, now)]) == [True]
    assert where(server, postgres_url) == {item.id.replace("-", ""): "inferences_other"}
    late = now + timedelta(minutes=2)
    store.append([Arrival(P, a.arrival(a.inference(id=new_id(late))).event, late)])
    assert set(where(server, postgres_url).values()) == {f"inferences_w{week_of(now):%Y%m%d}"}


def old_and_young(store: HotStore) -> tuple[list[str], Due]:
    """Store three rows of one week and one of the next, and let the first two go."""
    events = [a.inference() for _ in range(3)] + [a.inference(id=new_id(a.NOW + WEEK))]
    store.append([a.arrival(each) for each in events])
    last = [row.seq for row in store.inferences_after(0, 10)][1]
    due = Due(before={"inferences": a.NOW + WEEK}, upto={"inferences": last})
    store.purge(store.purgeable("inferences", due, after=0, limit=10))
    return [each.id for each in events[2:]], due


def test_a_week_is_dropped_when_the_last_of_its_rows_has_gone(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    left, due = old_and_young(store)
    assert store.tidy(a.NOW + WEEK) == 1  # of feedback, which has no rows at all
    assert set(where(server, postgres_url)) == {each.replace("-", "") for each in left}
    everything = Due(before=due.before, upto={"inferences": 1 << 62})
    lot = store.purgeable("inferences", everything, after=0, limit=1)
    store.purge(lot)
    assert store.tidy(a.NOW + WEEK) == 1
    assert set(where(server, postgres_url).values()) == {f"inferences_w{MONDAY + WEEK:%Y%m%d}"}
    assert store.append([a.arrival(a.inference())]) == [True]  # of a week that has no partition any more
    assert "inferences_other" in where(server, postgres_url).values()


def test_a_long_read_in_the_way_of_an_empty_week_puts_it_off_and_holds_no_writer_back(store: HotStore) -> None:
    assert isinstance(store, SqlHotStore)
    old_and_young(store)
    everything = Due(before={"inferences": a.NOW + WEEK}, upto={"inferences": 1 << 62})
    store.purge(store.purgeable("inferences", everything, after=0, limit=1))
    with store._database.snapshot() as view:
        assert view.rows(select(func.count()).select_from(INFERENCES.table)) == [(1,)]
        assert store.tidy(a.NOW + WEEK) == 0
        assert store.append([a.arrival(a.inference(id=new_id(a.NOW + WEEK)))]) == [True]
    assert store.tidy(a.NOW + WEEK) == 2


# ---------------------------------------------------------------- values


def test_a_sign_that_the_database_cannot_hold_is_replaced_and_found_again(store: HotStore) -> None:
    served = a.inference(input="a\x00b", user_id="u\x001", session_id="s\x001")
    said = a.feedback(kind="comment", value=None, text="n\x00o")
    store.append([a.arrival(served), a.arrival(said)])
    back = store.inferences(P, [served.id])[served.id]
    assert (back.input, back.user_id) == ("a\x00b", "u\ufffd1")
    assert store.feedback(P, [said.id])[said.id].text == "n\ufffdo"


# ---------------------------------------------------------------- when the server fails


def end_sessions(server: PostgresServer, url: str) -> None:
    ours = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'trimtab'"
    assert (True,) in server.execute(ours, url)


def test_sessions_that_the_server_ended_are_replaced_without_an_error(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    for _ in range(3):
        store.append([a.arrival(a.inference())])
        store.check()
        end_sessions(server, postgres_url)
    assert len(store.inferences_after(0, 10)) == 3


def test_a_write_whose_session_is_ended_is_unavailable_and_leaves_nothing(
    store: HotStore, server: PostgresServer, postgres_url: str
) -> None:
    assert isinstance(store, SqlHotStore)
    database, first = store._database, store._first_check

    def interrupted() -> None:
        with database.transaction() as write:
            write.many(first, [(1, 0)])
            end_sessions(server, postgres_url)
            write.many(first, [(2, 0)])

    with pytest.raises(Unavailable):
        interrupted()
    assert server.execute("SELECT count(*) FROM probe", postgres_url) == [(0,)]
    store.check()


def test_a_store_is_unavailable_while_the_server_is_down_and_comes_back_with_it() -> None:
    with postgres_server() as own:
        store = open_postgres(own.database())
        kept = a.inference()
        store.append([a.arrival(kept)])
        for how in ("fast", "immediate"):
            own.stop(how=how)
            for call in (store.check, lambda: store.append([a.arrival(a.inference())]), lambda: store.cursor("s")):
                with pytest.raises(Unavailable, match="cannot be reached"):
                    call()
            own.start()
            store.check()
            assert [row.record for row in store.inferences_after(0, 10)] == [kept]
        store.close()


def test_a_server_that_is_not_there_is_unavailable_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_postgres(f"postgresql://me:hush@/db?host={tmp_path}")


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "url", ["mysql://me:hush@there/db", "postgresql://me:hush@there:port/db", "hush", "postgresql+asyncpg//me:hush@x"]
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url") as refused:
        open_postgres(url)
    assert "hush" not in str(refused.value)


def test_a_database_that_does_not_exist_is_a_mistake_in_the_settings(server: PostgresServer) -> None:
    url = server.url("nowhere").replace("postgres@", "postgres:hush@")
    with pytest.raises(ConfigError, match="nowhere") as refused:
        open_postgres(url)
    assert "hush" not in str(refused.value)


def test_tables_of_a_newer_trimtab_are_refused_and_left_alone(server: PostgresServer, postgres_url: str) -> None:
    server.execute("UPDATE trimtab_meta SET version = version + 1", postgres_url)
    with pytest.raises(ConfigError, match="newer Trimtab"):
        open_postgres(postgres_url)
    assert server.execute("SELECT version FROM trimtab_meta", postgres_url) == [(SCHEMA_VERSION + 1,)]


def test_tables_of_another_program_are_refused_and_left_alone(server: PostgresServer, empty_url: str) -> None:
    server.execute("CREATE TABLE sessions (mine integer)", empty_url)
    with pytest.raises(ConfigError, match="another program's tables"):
        open_postgres(empty_url)
    assert server.execute("SELECT relname FROM pg_class WHERE relname IN ('sessions', 'inferences')", empty_url) == [
        ("sessions",)
    ]


def test_every_commit_is_synced_where_the_database_would_not(server: PostgresServer, postgres_url: str) -> None:
    name = server.execute("SELECT current_database()", postgres_url)[0][0]
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = PostgresDatabase(postgres_url)
    with database.transaction() as write:
        assert write._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    database.close()


def test_of_many_processes_that_open_an_empty_database_at_once_each_gets_the_store(empty_url: str) -> None:
    program = (
        "import sys; from trimtab.store.hot.postgres import open_postgres\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "store = open_postgres(sys.argv[1]); store.check(); store.close(); print('alembic' in sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    each = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in each:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    assert [process.communicate("go\n", timeout=60)[0].strip() for process in each] == ["False"] * 3


# ---------------------------------------------------------------- one engine


def test_a_database_has_one_engine_at_a_time_and_others_may_look_in(server: PostgresServer, postgres_url: str) -> None:
    engine, beside = open_postgres(postgres_url, alone=True), open_postgres(postgres_url)
    with pytest.raises(Conflict, match="another engine"):
        open_postgres(postgres_url, alone=True)
    beside.check()
    end_sessions(server, postgres_url)
    engine.check()
    with pytest.raises(Conflict, match="another engine"):
        open_postgres(postgres_url, alone=True)
    engine.close()
    engine = open_postgres(postgres_url, alone=True)
    engine.close()
    beside.close()


def test_an_engine_that_lost_its_place_to_another_writes_no_more(server: PostgresServer, postgres_url: str) -> None:
    first = open_postgres(postgres_url, alone=True)
    end_sessions(server, postgres_url)
    second = open_postgres(postgres_url, alone=True)
    with pytest.raises(Conflict, match="another engine"):
        first.append([a.arrival(a.inference())])
    second.close()
    first.check()
    first.close()
