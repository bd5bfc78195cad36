"""The hot store on PostgreSQL: many processes write at once; events come in by COPY; readers never skip a row."""

from __future__ import annotations

import select
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import psycopg
from psycopg.errors import CharacterNotInRepertoire, LockNotAvailable, UniqueViolation
from psycopg.types.string import StrDumper
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Executable,
    Float,
    LargeBinary,
    create_engine,
    event,
    func,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import ArgumentError, DisconnectionError, OperationalError, SQLAlchemyError

from trimtab.errors import ConfigError, Unavailable
from trimtab.store.hot.database import Insert, Prepared
from trimtab.store.hot.postgres_alone import Alone
from trimtab.store.hot.postgres_counters import COUNT
from trimtab.store.hot.postgres_errors import explained
from trimtab.store.hot.postgres_tables import EVENTS, prepare_database
from trimtab.store.hot.postgres_vacuum import vacuumed
from trimtab.store.hot.postgres_weeks import WEEK, drop_week, empty_weeks, made_until, make_week, week_of
from trimtab.store.hot.store import SqlHotStore
from trimtab.store.ports import HotStore
from trimtab.store.schema import Noun

__all__ = ["PostgresDatabase", "open_postgres"]

_OLDEST_SERVER = 140_000
_CONNECT_TIMEOUT_S = 10
_CLAIMS = 0x54524D  # the first half of the key of an advisory lock; the second names a project
_WEEKS_AHEAD = 4
_MARGIN = timedelta(days=14)
_MINUTE = timedelta(minutes=1)
_DIALECT = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
_SESSION = """
SELECT set_config('lock_timeout', '10s', false), set_config('idle_in_transaction_session_timeout', '60s', false),
    set_config('timezone', 'UTC', false), set_config('tcp_keepalives_idle', '30', false),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""
_ROOM = "CREATE TEMP TABLE IF NOT EXISTS trimtab_room (filler text STORAGE PLAIN) ON COMMIT DELETE ROWS"


def open_postgres(url: str, *, connections: int = 10, alone: bool = False) -> HotStore:
    """Open the hot store in the PostgreSQL database at `url` (postgresql://...); make its tables when there are none.

    At most `connections` are open at a time; a call that finds none free waits 10 seconds. A password may stand in the
    URL or come from PGPASSWORD or a password file; it is never shown. `alone` is for an engine, of which a database has
    one at a time: Conflict tells of another, here or when it took over after a break.

    Raises `ConfigError` for a URL that cannot be used, a server older than 14, and tables that a newer Trimtab or
    another program made, and `Unavailable` when the server cannot be reached.

    Where a connection breaks in the very moment of a commit, the call raises `Unavailable` though the rows may be
    stored: every write may be sent again.
    """
    return SqlHotStore(PostgresDatabase(url, connections=connections, alone=alone))


class PostgresDatabase:
    """One PostgreSQL database behind a pool of connections."""

    dialect: Dialect = _DIALECT
    insert: Insert = staticmethod(postgresql.insert)

    def __init__(self, url: str, *, connections: int = 10, alone: bool = False) -> None:
        self._idle = threading.Condition()
        self._busy = 0
        self._closed = False
        self._engine, self._place = _engine(url, connections)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        # Not read-only: such a connection, given back, begins READ WRITE from then on, whatever the database allows.
        self._looking = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._making_room = threading.Lock()
        self._room_refused: datetime | None = None
        self._alone: Alone | None = None
        try:
            with self._explained():
                with self._engine.begin() as connection:
                    _require_version(connection, self._place)
                    prepare_database(connection)
                    self._room_until = made_until(connection)
                if alone:
                    self._alone = Alone(self._unpooled, _alive, self._place)
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[_View]:
        """Open a view for reading that later writes do not change."""
        with self._in_use(), self._explained(), self._looking.connect() as connection:
            yield _View(connection)

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of one query."""
        with self._in_use(), self._explained(), self._reading.connect() as connection:
            return _View(connection).rows(statement, values)

    def settled(self, place: Column[Any]) -> list[ColumnElement[bool]]:
        """Return the condition that no transaction is still open that could write a row below this one."""
        return [place < func.trimtab_horizon(type_=BigInteger())]

    @contextmanager
    def transaction(self, claims: Iterable[str] = (), *, beside: Iterable[str] = ()) -> Iterator[_Write]:
        """Open a write; leaving it commits, an error undoes all of it. Writes with a claim in common take turns."""
        with self._in_use(), self._explained():
            if self._alone is not None:
                self._alone.require()
            with (
                self._engine.connect() as connection,
                connection.begin(),
                self._written(connection, claims, beside) as write,
            ):
                yield write

    @contextmanager
    def _written(self, connection: Connection, claims: Iterable[str], beside: Iterable[str]) -> Iterator[_Write]:
        raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        try:
            locks = {_claim(claim): "pg_advisory_xact_lock_shared" for claim in beside}
            locks |= {_claim(claim): "pg_advisory_xact_lock" for claim in claims}
            # In one order for everyone, so that no two wait for each other.
            for key, lock in sorted(locks.items()):
                raw.execute(f"SELECT {lock}(%s, %s)".encode(), (_CLAIMS, key))
            yield _Write(raw)
        except BaseException:
            if raw.closed:
                connection.invalidate()
            raise

    def make_room(self, until: datetime) -> None:
        """See to it that the event tables have partitions for weeks to come, seen from `until`.

        Where a long read is in the way it is tried again a minute later; rows without a week of theirs are kept, too.
        """
        if self._room_until is not None and until + _MARGIN < self._room_until:
            return
        with self._making_room:
            if self._room_refused is not None and abs(until - self._room_refused) < _MINUTE:
                return
            monday = week_of(until)
            try:
                for ahead in range(_WEEKS_AHEAD + 1):
                    for table in EVENTS:
                        self._make_week(table, monday + ahead * WEEK)
            except OperationalError as error:
                if not isinstance(error.orig, LockNotAvailable):
                    raise explained(error, self._place) from error
                self._room_refused = until
            else:
                self._room_until = monday + (_WEEKS_AHEAD + 1) * WEEK

    def require_room(self) -> None:
        """Write a table of the session's own, which is emptied at the commit, so that every time it takes new pages."""
        with self._in_use(), self._explained(), self._engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL client_min_messages = warning")  # that it is there already is no news
            connection.exec_driver_sql(_ROOM)
            connection.exec_driver_sql("INSERT INTO trimtab_room SELECT repeat('x', 1900) FROM generate_series(1, 64)")

    def _make_week(self, table: str, monday: datetime) -> None:
        with self._in_use(), self._engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")  # who waits here holds others back
            make_week(connection, table, monday)

    def scrub(self) -> list[str]:
        """Vacuum every table; small ones are written anew, so that freed bytes are gone from their files, too."""
        with self._in_use(), self._explained(), self._reading.connect() as connection:
            return vacuumed(connection)

    def give_back(self, before: datetime) -> int:
        """Drop the empty weeks of the event tables that ended before `before`; one that is being read waits."""
        dropped = 0
        try:
            for table in EVENTS:
                with self._in_use(), self._reading.connect() as connection:
                    found = empty_weeks(connection, table, before)
                for monday in found:
                    with self._in_use(), self._engine.begin() as connection:
                        connection.exec_driver_sql(
                            "SET LOCAL lock_timeout = '200ms'"
                        )  # who waits here holds others back
                        drop_week(connection, table, monday, keep="true")
                    dropped += 1
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise explained(error, self._place) from error
        return dropped

    def close(self) -> None:
        """Wait for what is under way, then close every connection."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._busy == 0)
        if self._alone is not None:
            self._alone.release()
        self._engine.dispose()

    def _unpooled(self) -> psycopg.Connection[Any]:
        borrowed = self._engine.raw_connection()
        connection = cast("psycopg.Connection[Any]", borrowed.driver_connection)
        borrowed.detach()
        return connection

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._idle:
            if self._closed:
                raise Unavailable(f"expected an open store, the one of {self._place} is closed; open it again")
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, SQLAlchemyError) as error:
            told = explained(error, self._place)
            if told is error:
                raise
            raise told from error


class _View:
    """Reads on one borrowed connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return all rows of a query."""
        return self._connection.execute(statement, dict(values or {})).fetchall()


class _Write:
    """The write under way on one connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def many(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> int:
        """Run the statement for each row of values; return how many rows of the table it changed."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.sql.encode(), statement.arranged(rows))
            return max(0, cursor.rowcount)

    def found(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return all rows of a query inside the transaction."""
        return self._connection.execute(statement.sql.encode(), statement.arranged([values])[0]).fetchall()

    def returned(self, statement: Prepared, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Run the statement for each row of values and return all that it returned."""
        found: list[Sequence[Any]] = []
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.sql.encode(), statement.arranged(rows), returning=True)
            more = bool(rows)
            while more:
                found += cursor.fetchall()
                more = bool(cursor.nextset())
        return found

    def one(self, statement: Prepared, values: Sequence[Any]) -> Sequence[Any] | None:
        """Return the first row of a query inside the transaction."""
        found: Sequence[Any] | None = self._connection.execute(
            statement.sql.encode(), statement.arranged([values])[0]
        ).fetchone()
        return found

    def insert_new(self, noun: Noun[Any], rows: Sequence[Sequence[Any]]) -> list[bool]:
        """Insert the rows whose key is not there and say by position which they were."""
        owner, key = noun.inserted.index("project_id"), noun.inserted.index("id")
        first: dict[tuple[Any, Any], int] = {}
        for place, row in enumerate(rows):
            first.setdefault((row[owner], row[key]), place)
        # In the order of keys: two writers of the same rows then wait for each other only one way round.
        places = [place for _, place in sorted(first.items())]
        [[start]] = self._connection.execute("SELECT trimtab_seq(%s)", (len(rows),)).fetchall()
        placed = [(start + place, *rows[place]) for place in places]
        flags = [False] * len(rows)
        for seq in self._copied(noun, placed):
            flags[seq - start] = True
        return flags

    def _copied(self, noun: Noun[Any], placed: Sequence[Sequence[Any]]) -> Iterable[int]:
        """Copy the rows into the table and return the places of those that were new."""
        name, names = noun.table.name, ", ".join(f'"{column}"' for column in ("seq", *noun.inserted))
        self._connection.execute("SAVEPOINT rows")
        try:
            self._copy(noun, f"{name} ({names})", placed)
        except (UniqueViolation, CharacterNotInRepertoire):  # seldom: something is sent again, or cannot be shown
            self._connection.execute("ROLLBACK TO SAVEPOINT rows")
        else:
            self._connection.execute("RELEASE SAVEPOINT rows")
            return [row[0] for row in placed]
        self._connection.execute(f"CREATE TEMP TABLE sent (LIKE {name}) ON COMMIT DROP".encode())
        self._copy(noun, f"sent ({names})", [[_shown(value) for value in row] for row in placed])
        new = self._connection.execute(
            f"INSERT INTO {name} ({names}) SELECT {names} FROM sent ON CONFLICT DO NOTHING RETURNING seq".encode()
        ).fetchall()
        self._connection.execute("DROP TABLE sent")
        return [seq for (seq,) in new]

    def _copy(self, noun: Noun[Any], into: str, rows: Sequence[Sequence[Any]]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {into} FROM STDIN (FORMAT BINARY)".encode()) as copy,
        ):
            copy.set_types(["int8", *(_copied(noun.table.c[column]) for column in noun.inserted)])
            for row in rows:
                copy.write_row(row)

    def count(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add to the counters, in one statement."""
        told = msgspec.json.encode([[_shown(value) for value in row] for row in rows])
        self._connection.execute(COUNT, (told.decode(),))


class _Text(StrDumper):
    """Text as PostgreSQL takes it, which has no NUL: the sign for what cannot be shown stands in its place."""

    def dump(self, obj: str) -> Any:
        """Return the bytes of `obj`."""
        return super().dump(str(_shown(obj)))


def _shown(value: object) -> object:
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value


def _claim(name: str) -> int:
    return zlib.crc32(name.encode()) - (1 << 31)


def _copied(column: Column[Any]) -> str:
    kinds: dict[type, str] = {LargeBinary: "bytea", BigInteger: "int8", Float: "float8", Boolean: "bool"}
    return kinds.get(type(column.type), "text")


def _engine(url: str, connections: int) -> tuple[Engine, str]:
    """Return the engine, and the database's name without a password."""
    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        given = None  # its text may hold a password, so it is not shown
    if given is None or given.get_backend_name() != "postgresql":
        raise ConfigError(
            "expected storage.url to be like postgresql://user@host:5432/database (or empty for SQLite)",
            param="storage.url",
        ) from None
    host = given.host or given.query.get("host") or "localhost"
    engine = create_engine(
        given.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_CONNECT_TIMEOUT_S,
        pool_use_lifo=True,
        use_native_hstore=False,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": "trimtab", "keepalives_idle": 30},
    )
    event.listen(engine, "connect", _begin_session)
    event.listen(engine, "checkout", _require_alive)
    return engine, f"{given.database!r} on {host!r}"


def _begin_session(connection: psycopg.Connection[Any], _: object) -> None:
    connection.adapters.register_dumper(str, _Text)
    connection.execute(_SESSION)
    connection.commit()


def _require_alive(connection: Any, *_: object) -> None:
    """Let the pool take another connection where the server has ended this one."""
    if not _alive(connection):
        raise DisconnectionError


def _alive(connection: Any) -> bool:
    """Say whether the server has kept the idle connection: where it has not, there is something to be read."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _require_version(connection: Connection, place: str) -> None:
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST_SERVER:
        raise ConfigError(
            f"expected PostgreSQL 14 or newer at {place}, got server_version_num {version!r}; upgrade it",
            param="storage.url",
        )
