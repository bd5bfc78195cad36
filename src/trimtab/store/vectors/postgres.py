"""Connections to the PostgreSQL that keeps vectors: a small pool, its errors in words, the tables all spaces share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from pgvector.psycopg import register_vector

from trimtab.errors import ConfigError, Unavailable

__all__ = ["SCHEMA", "PostgresLink"]

SCHEMA = "trimtab_vectors"
_LOCK_CLASS = 0x5452  # advisory locks of ours: (class, hash of a project)
_TABLES = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.spaces (id serial PRIMARY KEY, project_id text NOT NULL, name text NOT NULL,
    dimensions integer NOT NULL, is_current boolean NOT NULL DEFAULT false,
    mark text NOT NULL DEFAULT gen_random_uuid(), UNIQUE (project_id, name))""",
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.tombstones (mark bytea PRIMARY KEY)",
)
# One statement of a search is planned for the very values it has: how rare a filter is decides which index serves it.
_SESSION = "SET plan_cache_mode = force_custom_plan"

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresLink:
    """A pool of connections to one database, grown when all are in use, with at most `idle` kept."""

    def __init__(self, url: str, *, idle: int) -> None:
        self._url = url
        self._most_idle = idle
        self._pool = threading.Condition()
        self._idle: list[Connection] = []
        self._busy = 0
        self._closed = False
        self._prepare()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction; leaving it commits, an error undoes all of it. Raises `Unavailable`."""
        with self._borrowed() as connection, connection.transaction():
            yield connection

    @contextmanager
    def locked(self, project_id: str, *, alone: bool) -> Iterator[Connection]:
        """Open a transaction under the project's lock: writers share it, whoever removes things for good is alone."""
        shared = "" if alone else "_shared"
        with self.transaction() as write:
            write.execute(f"SELECT pg_advisory_xact_lock{shared}(%s, hashtext(%s))", (_LOCK_CLASS, project_id))
            yield write

    def close(self) -> None:
        """Wait for what is under way, then close every connection. A second call does nothing."""
        with self._pool:
            self._closed = True
            self._pool.wait_for(lambda: self._busy == 0)
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        with self._pool:
            if self._closed:
                raise Unavailable("expected an open vector store, this one is closed; open it again")
            self._busy += 1
            connection = self._idle.pop() if self._idle else None
        try:
            with _explained():
                if connection is None or connection.closed:
                    connection = self._connect()
                yield connection
        finally:
            with self._pool:
                self._busy -= 1
                if connection is not None and not connection.closed:
                    if len(self._idle) < self._most_idle:
                        self._idle.append(connection)
                    else:
                        connection.close()
                elif connection is not None:
                    self._discard()  # the server went: the others are as dead as this one
                self._pool.notify_all()

    def _discard(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _connect(self) -> Connection:
        connection = psycopg.connect(self._url, autocommit=True)
        try:
            connection.execute(_SESSION)
            register_vector(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        with _explained(), psycopg.connect(self._url, autocommit=True) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_LOCK_CLASS,))
            if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
                _add_extension(connection)
            for statement in _TABLES:
                connection.execute(statement)


def _add_extension(connection: Connection) -> None:
    try:
        connection.execute("CREATE EXTENSION vector")
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.UndefinedFile,
    ) as no:
        raise ConfigError(
            f"expected PostgreSQL with the extension pgvector 0.8 or newer, got {str(no).strip()!r}; install it "
            "and let an administrator run CREATE EXTENSION vector in this database",
            param="storage",
        ) from no


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise Unavailable(f"PostgreSQL cannot be used now: {told[0]}; check that it runs and has space") from error
