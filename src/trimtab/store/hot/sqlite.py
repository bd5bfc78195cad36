"""The embedded hot store: one SQLite file in WAL mode, one writer, readers from a pool, every commit synced."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    FromClause,
    case,
    create_engine,
    literal_column,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from trimtab.errors import ConfigError, Unavailable
from trimtab.store.hot.database import Insert, Prepared, holes, prepare
from trimtab.store.hot.sqlite_bulk import Bulk
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.ports import HotStore
from trimtab.store.schema import FEEDBACK, INFERENCES, SCHEMA_VERSION, Noun, counters, metadata

__all__ = ["SqliteDatabase", "open_sqlite"]

_APPLICATION_ID = 0x54524D54  # "TRMT": tells our file from any other SQLite file
_PAGE_BYTES = 16_384
_CACHE_KIB = 32_768
_BUSY_TIMEOUT_S = 10.0
_WAL_WAITS_S = [0.02] * 100
_SCRUB_WAITS_S = [0.02] * 50
_IDLE_READERS = 8
_DIALECT = sqlite.dialect(paramstyle="qmark")
_CURES = {
    "SQLITE_FULL": "the disk is full; free space and send again",
    "SQLITE_BUSY": "another process holds the database; stop it or try again",
    "SQLITE_LOCKED": "another process holds the database; stop it or try again",
    "SQLITE_READONLY": "the database file cannot be written; check its owner, mode and mount",
    "SQLITE_PERM": "the database file cannot be opened; check its owner and mode",
    "SQLITE_CANTOPEN": "the database file cannot be opened; check that its directory exists and may be written",
    "SQLITE_IOERR": "the disk failed to read or write; check its health and free space",
    "SQLITE_CORRUPT": "the database file is damaged; restore it from a backup",
    "SQLITE_NOTADB": "the file is not an SQLite database; move it away or name another path",
    "SQLITE_NOMEM": "there is no memory left; try again with less in flight",
}


def open_sqlite(path: Path, *, max_pages: int | None = None) -> HotStore:
    """Open the hot store in the file `path`; make the file, its directory and its tables when there are none.

    `max_pages` caps the file at so many pages of 16 KiB, as a full disk would. Raises `ConfigError` for a file that a
    newer Trimtab or another program wrote, and `Unavailable` when the file cannot be opened.
    """
    return SqlHotStore(SqliteDatabase(path, max_pages=max_pages))


class SqliteDatabase:
    """One SQLite file. Writes share one connection behind a lock; each read borrows a connection of its own."""

    dialect: Dialect = _DIALECT
    insert: Insert = staticmethod(sqlite.insert)

    def __init__(self, path: Path, *, max_pages: int | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._reading = 0
        self._closed = False
        with self._explained():
            self._writer = self._prepare_file(max_pages)
        self._write = _Write(self._writer)
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect_reader,
            poolclass=QueuePool,
            pool_size=_IDLE_READERS,
            max_overflow=-1,
            isolation_level="AUTOCOMMIT",
        )
        self._engine.dialect.statement_compiler = _HintingCompiler

    @contextmanager
    def snapshot(self) -> Iterator[_View]:
        """Open a view for reading that later writes do not change."""
        with self._idle:
            self._require_open()
            self._reading += 1
        try:
            with self._explained(), self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                try:
                    yield _View(connection)
                finally:
                    connection.exec_driver_sql("COMMIT")
        finally:
            with self._idle:
                self._reading -= 1
                self._idle.notify_all()

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of one query."""
        with self.snapshot() as view:
            return view.rows(statement, values)

    def settled(self, place: Column[Any]) -> list[ColumnElement[bool]]:  # noqa: ARG002  one writer: nothing comes late
        """Return no condition."""
        return []

    def make_room(self, until: datetime) -> None:
        """Do nothing: no table is split by time."""

    def require_room(self) -> None:
        """Do nothing: every commit goes to the end of the WAL."""

    def give_back(self, before: datetime) -> int:  # noqa: ARG002  free pages are used again
        """Do nothing: what goes leaves free pages, and the next rows fill them."""
        return 0

    @contextmanager
    def transaction(
        self,
        claims: Iterable[str] = (),  # noqa: ARG002  there is one writer anyway
        *,
        beside: Iterable[str] = (),  # noqa: ARG002  the same
    ) -> Iterator[_Write]:
        """Open the write; leaving it commits and syncs, an error undoes all of it."""
        with self._lock, self._explained():
            self._require_open()
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._write
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def scrub(self) -> list[str]:
        """Move the write-ahead log into the file and cut it: what was overwritten is on the disk no more.

        Raises `Unavailable` while a long read holds the log.
        """
        for wait_s in (*_SCRUB_WAITS_S, None):
            with self._lock, self._explained():
                self._require_open()
                # Without waiting for readers: whoever wants to write would wait as well.
                self._writer.execute("PRAGMA busy_timeout = 0")
                try:
                    busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                finally:
                    self._writer.execute(f"PRAGMA busy_timeout = {round(_BUSY_TIMEOUT_S * 1000)}")
            if not busy:
                return []
            if wait_s is not None:
                threading.Event().wait(wait_s)
        raise Unavailable("a read that began before holds the write-ahead log; it is cut when that has ended")

    def close(self) -> None:
        """Wait for the write and the reads under way, then close every connection."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._reading == 0)
        self._engine.dispose()
        with self._lock:
            self._writer.close()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable(f"expected an open store, {str(self._path)!r} is closed; open it again")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise self._unavailable(error.orig) from error
            raise
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> Exception:
        """Return what to raise: `Unavailable` for the machine's faults, the error itself for ours."""
        code = getattr(error, "sqlite_errorname", "")
        cure = next((text for name, text in _CURES.items() if code == name or code.startswith(f"{name}_")), None)
        if cure is None:
            return error
        return Unavailable(f"{cure} ({str(self._path)!r}: {error})")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA secure_delete = ON")  # words that were cleaned again must not lie on in free space
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _prepare_file(self, max_pages: int | None) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # before SQLite would make it readable for everyone
        except OSError as error:
            raise Unavailable(f"expected a file that can be written at {str(self._path)!r}: {error}") from error
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            self._require_ours(connection)
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            self._create(connection)
            if max_pages is not None:
                connection.execute(f"PRAGMA max_page_count = {int(max_pages)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_ours(self, connection: sqlite3.Connection) -> None:
        version = _pragma(connection, "user_version")
        owner = _pragma(connection, "application_id")
        filled = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
        if filled and owner != _APPLICATION_ID:
            raise ConfigError(
                f"expected a Trimtab database or no file at {str(self._path)!r}, got a database of another program; "
                "name another path in storage.path",
                param="storage.path",
            )
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"expected schema version {SCHEMA_VERSION} or older in {str(self._path)!r}, got {version!r}, written "
                "by a newer Trimtab; upgrade this one or restore the backup from before",
                param="storage.path",
            )

    def _create(self, connection: sqlite3.Connection) -> None:
        version = _pragma(connection, "user_version")
        if 0 < version < SCHEMA_VERSION:
            self._upgrade()
        elif version == 0:
            connection.execute("BEGIN IMMEDIATE")
            # Looked at again behind the lock: two processes may open a new file at once.
            if _pragma(connection, "user_version") == 0:
                for table in metadata.sorted_tables:
                    connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
                    for index in sorted(table.indexes, key=lambda index: str(index.name)):
                        connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")

    def _upgrade(self) -> None:
        """Bring an older file to this version, all of it or nothing."""
        from trimtab.store.migrations.history import upgrade  # noqa: PLC0415  Alembic, only where there is work for it

        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            if version < SCHEMA_VERSION:
                upgrade(connection, version)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.commit()


class _HintingCompiler(SQLiteCompiler):
    """SQLite's compiler with hints: it takes NOT INDEXED behind a table's name."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002 SQLAlchemy's hook
        return text


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL. SQLite does not wait for others here, so of many who open a new file some ask again.

    Raises sqlite3.OperationalError when the file stays locked.
    """
    for wait_s in (*_WAL_WAITS_S, None):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if wait_s is None or error.sqlite_errorname != "SQLITE_BUSY":
                raise
            threading.Event().wait(wait_s)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


class _View:
    """A snapshot on one borrowed connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of a query."""
        return self._connection.execute(statement, dict(values or {})).fetchall()


class _Write:
    """The write under way on the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._count = _count()
        self._inserts = {noun: _insert_new(noun) for noun in (INFERENCES, FEEDBACK)}
        self._bulks: dict[str, Bulk] = {}

    def many(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> int:
        """Run the statement for each row of values; return how many rows of the table it changed."""
        bulk = self._bulks.get(statement.sql)
        if bulk is None:
            bulk = self._bulks[statement.sql] = Bulk(statement.sql)
        return max(0, bulk.run(self._connection, statement.arranged(rows)))

    def found(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return all rows of a query inside the transaction."""
        return self._connection.execute(statement.sql, statement.arranged([values])[0]).fetchall()

    def returned(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Run the statement for each row of values and return all that it returned."""
        found: list[Sequence[Any]] = []
        for values in statement.arranged(rows):
            found += self._connection.execute(statement.sql, values)
        return found

    def one(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Any] | None:
        """Return the first row of a query inside the transaction."""
        found: Sequence[Any] | None = self._connection.execute(
            statement.sql, statement.arranged([values])[0]
        ).fetchone()
        return found

    def insert_new(self, noun: Noun[Any], rows: Sequence[Sequence[Any]]) -> list[bool]:
        """Insert the rows whose key is not there and say by position which they were."""
        name = noun.table.name
        before = self._connection.execute(f"SELECT coalesce(max(seq), 0) FROM {name}").fetchone()[0]
        inserted = self._inserts[noun].run(self._connection, rows)
        if inserted == len(rows):
            return [True] * len(rows)
        # AUTOINCREMENT never goes back, so the rows above the old end are the ones that are new.
        fresh = set(self._connection.execute(f"SELECT project_id, id FROM {name} WHERE seq > ?", (before,)))
        owner, key = noun.inserted.index("project_id"), noun.inserted.index("id")
        flags = []
        for row in rows:
            flags.append((row[owner], row[key]) in fresh)
            fresh.discard((row[owner], row[key]))
        return flags

    def count(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add to the counters."""
        self._count.run(self._connection, rows)


def _count() -> Bulk:
    new = sqlite.insert(counters).values(holes(counters.c.keys()))
    nothing: ColumnElement[Any] = literal_column("0")
    left = counters.c["count"] + new.excluded["count"]
    # What is left where nothing is left would be what rounding left.
    total = case((left == nothing, nothing), else_=counters.c.total + new.excluded.total)
    statement = new.on_conflict_do_update(
        index_elements=list(counters.primary_key.columns), set_={"count": left, "total": total}
    )
    return Bulk(prepare(statement, _DIALECT, counters.c.keys()).sql)


def _insert_new(noun: Noun[Any]) -> Bulk:
    statement = sqlite.insert(noun.table).values(holes(noun.inserted)).on_conflict_do_nothing()
    prepared = prepare(statement, _DIALECT, noun.inserted)
    return Bulk(prepared.sql)
