"""The file of the embedded vector store: its connections, its tables, the words of its errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import sqlite_vec  # type: ignore[import-untyped]

from trimtab.errors import ConfigError, Unavailable

__all__ = ["VectorFile", "first"]

_APPLICATION_ID = 0x54524D56  # "TRMV"
_SCHEMA_VERSION = 1
_PAGE_BYTES = 16_384
_CACHE_KIB = 65_536
_MAPPED_BYTES = 1 << 30
_BUSY_TIMEOUT_MS = 10_000
_SCHEMA = (
    """CREATE TABLE spaces (id INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT NOT NULL, name TEXT NOT NULL,
    dimensions INTEGER NOT NULL, current INTEGER NOT NULL DEFAULT 0, mark TEXT NOT NULL,
    UNIQUE (project_id, name))""",
    """CREATE TABLE items (row INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, kind INTEGER NOT NULL,
    id BLOB NOT NULL, at INTEGER NOT NULL, feature INTEGER NOT NULL, version INTEGER NOT NULL,
    negative INTEGER NOT NULL, user BLOB, UNIQUE (space, kind, id))""",
    "CREATE INDEX items_time ON items (space, at)",
    "CREATE INDEX items_user ON items (user) WHERE user IS NOT NULL",
    "CREATE TABLE words (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE tombstones (mark BLOB PRIMARY KEY) WITHOUT ROWID",
)
_CURES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full; free space and try again"),
    (apsw.BusyError, "another process holds the database; stop it or try again"),
    (apsw.LockedError, "another process holds the database; stop it or try again"),
    (apsw.ReadOnlyError, "the database file cannot be written; check its owner, mode and mount"),
    (apsw.PermissionsError, "the database file cannot be opened; check its owner and mode"),
    (apsw.CantOpenError, "the database file cannot be opened; check that its directory exists and may be written"),
    (apsw.IOError, "the disk failed to read or write; check its health and free space"),
    (apsw.CorruptError, "the vector file is damaged; remove it, it is made again from the stored texts"),
    (apsw.NotADBError, "the file is not an SQLite database; move it away or name another path"),
    (apsw.NoMemError, "there is no memory left; try again with less in flight"),
)


class VectorFile:
    """One SQLite file. Writes share one connection behind a lock; each read borrows a connection of its own.

    Raises `ConfigError` for a file that a newer Trimtab or another program wrote, `Unavailable` when the machine is at
    fault.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pool = threading.Condition()
        self._idle: list[apsw.Connection] = []
        self._reading = 0
        self._closed = False
        with self._explained():
            self._writer = self._prepare_file()

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Open the write; leaving it commits and syncs, an error undoes all of it."""
        with self._lock, self._explained():
            self._require_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """Open a view for reading that later writes do not change."""
        with self._pool:
            self._require_open()
            self._reading += 1
            connection = self._idle.pop() if self._idle else None
        try:
            with self._explained():
                connection = connection or self._connect()
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    connection.execute("COMMIT")
        finally:
            with self._pool:
                self._reading -= 1
                if connection is not None:
                    self._idle.append(connection)
                self._pool.notify_all()

    def empty_log(self) -> None:
        """Move the write-ahead log into the file and cut it: what was overwritten is on the disk no more."""
        with self._lock, self._explained():
            self._require_open()
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Wait for what is under way, then close every connection. A second call does nothing."""
        with self._pool:
            if self._closed:
                return
            self._closed = True
            self._pool.wait_for(lambda: self._reading == 0)
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        with self._lock:
            self._writer.close()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable(f"expected an open vector store, {str(self._path)!r} is closed; open it again")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            cure = next((text for kind, text in _CURES if isinstance(error, kind)), None)
            if cure is None:
                raise
            raise Unavailable(f"{cure} ({str(self._path)!r}: {error})") from error

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        connection.enable_load_extension(True)  # noqa: FBT003 apsw's own signature
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)  # noqa: FBT003 apsw's own signature
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA mmap_size = {_MAPPED_BYTES}")
        return connection

    def _prepare_file(self) -> apsw.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # before SQLite would make it readable for everyone
        except OSError as error:
            raise Unavailable(f"expected a file that can be written at {str(self._path)!r}: {error}") from error
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            self._require_ours(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            if not first(connection, "PRAGMA user_version"):
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_ours(self, connection: apsw.Connection) -> None:
        filled = first(connection, "SELECT 1 FROM sqlite_master LIMIT 1") is not None
        if filled and first(connection, "PRAGMA application_id") != _APPLICATION_ID:
            raise ConfigError(
                f"expected a Trimtab vector file or none at {str(self._path)!r}, got a database of another program; "
                "name another path in storage.path",
                param="storage.path",
            )
        version = int(first(connection, "PRAGMA user_version"))
        if version > _SCHEMA_VERSION:
            raise ConfigError(
                f"expected schema version {_SCHEMA_VERSION} or older in {str(self._path)!r}, got {version!r}, written "
                "by a newer Trimtab; upgrade this one or remove the file, it is made again from the stored texts",
                param="storage.path",
            )


def first(view: apsw.Connection, text: str, values: Sequence[Any] = ()) -> Any:
    """Return the first column of a query's first row, None when it has none."""
    rows = view.execute(text, tuple(values)).fetchall()
    return rows[0][0] if rows else None
