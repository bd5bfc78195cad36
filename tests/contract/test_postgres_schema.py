"""On PostgreSQL, too, migrations make the tables that are declared, and both are what a new database gets."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from tests.postgres import PostgresServer
from trimtab.store.hot.postgres import open_postgres
from trimtab.store.hot.postgres_tables import declared, make_functions
from trimtab.store.migrations import history
from trimtab.store.schema import SCHEMA_VERSION

OLDEST = 3  # the first release that kept its tables in PostgreSQL
# What a migration need not repeat: the default that filled a new column's rows.
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, collation_name,
       CASE WHEN column_name = 'seq' THEN column_default END
FROM information_schema.columns WHERE table_schema = 'public'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
PARTS = (
    "SELECT relname, relkind::text, relispartition, pg_get_partkeydef(oid) FROM pg_class WHERE relkind IN ('r', 'p')"
)


def migrated(url: str, version: int) -> Engine:
    """Make the tables by migrations alone, as they were at that version."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.begin() as connection, pytest.MonkeyPatch.context() as patch:
        make_functions(connection)
        patch.setattr(history, "migrations", lambda: ALL[:version])
        history.upgrade(connection, 0)
        connection.exec_driver_sql(f"UPDATE trimtab_meta SET version = {version}")
    return engine


ALL = history.migrations()


def shape(server: PostgresServer, url: str) -> list[Any]:
    queries = (COLUMNS, INDEXES, f"{PARTS} AND relnamespace = 'public'::regnamespace")
    return [sorted((row for row in server.execute(query, url) if "_w2" not in row[0]), key=str) for query in queries]


def difference(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_object": lambda _, name, kind, __, ___: (
                kind != "table" or (not name.endswith("_other") and name != "trimtab_meta")
            ),
        },
    )
    return list(compare_metadata(context, declared()))


def test_declared_tables_are_what_the_migrations_make(
    server: PostgresServer, empty_url: str, postgres_url: str
) -> None:
    with migrated(empty_url, SCHEMA_VERSION).connect() as connection:
        assert difference(connection) == []
    assert shape(server, empty_url) == shape(server, postgres_url)


def test_a_column_that_no_migration_makes_is_found(empty_url: str) -> None:
    with migrated(empty_url, 1).connect() as connection:
        found = [each[3].name for each in difference(connection) if each[0] == "add_column" and each[2] == "api_keys"]
    assert found == ["origins"]


@pytest.mark.parametrize("version", range(OLDEST, SCHEMA_VERSION + 1))
def test_a_database_of_an_earlier_release_is_brought_up_to_date_with_its_rows(
    server: PostgresServer, empty_url: str, postgres_url: str, version: int
) -> None:
    migrated(empty_url, version)
    values = (1, P, 7, 7, "test", "", b"\x01" * 16, "answer", '"what?"', "[]", "{}")
    names = "seq, project_id, received_at, created_at, rules, input_hash, id, feature, input, context, tags"
    told = ", ".join(f"'\\x{value.hex()}'" if isinstance(value, bytes) else repr(value) for value in values)
    server.execute(f"INSERT INTO inferences ({names}) VALUES ({told})", empty_url)
    store = open_postgres(empty_url)
    try:
        assert [row.record.input for row in store.inferences_after(0, 10)] == ["what?"]
        assert store.append([a.arrival(a.inference())]) == [True]
    finally:
        store.close()
    assert server.execute("SELECT version FROM trimtab_meta", empty_url) == [(SCHEMA_VERSION,)]
    assert shape(server, empty_url) == shape(server, postgres_url)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(server: PostgresServer, empty_url: str) -> None:
    migrated(empty_url, 1)
    server.execute("CREATE TABLE users (mine integer)", empty_url)  # in the third migration's way
    before = shape(server, empty_url)
    with pytest.raises(Exception, match="already exists"):
        open_postgres(empty_url)
    assert shape(server, empty_url) == before
    assert server.execute("SELECT version FROM trimtab_meta", empty_url) == [(1,)]
