"""The backends of the hot store: a new one is one more line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.hot_store_sample import NOW
from tests.postgres import PostgresServer, database_name, postgres_server
from trimtab.store.hot.postgres import PostgresDatabase, open_postgres
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Return a PostgreSQL that runs for as long as the tests do."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session")
def prepared(server: PostgresServer) -> str:
    """Return the name of a database with our tables; a copy is made faster than a new one."""
    url = server.database()
    database = PostgresDatabase(url)
    database.make_room(NOW)
    database.close()
    return database_name(url)


@pytest.fixture
def postgres_url(server: PostgresServer, prepared: str) -> Iterator[str]:
    """Return the URL of a database with our tables and no rows."""
    url = server.database(like=prepared)
    yield url
    server.drop(url)


@pytest.fixture
def empty_url(server: PostgresServer) -> Iterator[str]:
    """Return the URL of a new, empty database."""
    url = server.database()
    yield url
    server.drop(url)


def on_sqlite(_: pytest.FixtureRequest, folder: Path) -> HotStore:
    return open_sqlite(folder / "data" / "hot.db")


def on_postgres(request: pytest.FixtureRequest, _: Path) -> HotStore:
    return open_postgres(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=[on_sqlite, on_postgres])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], HotStore]]:
    opened: list[HotStore] = []

    def again() -> HotStore:
        for store in opened:
            store.close()
        opened.append(request.param(request, tmp_path))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], HotStore]) -> HotStore:
    return reopen()
