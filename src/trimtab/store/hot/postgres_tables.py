"""The declared tables as PostgreSQL has them: places that rise with transactions, text in byte order, events by week.

A row's `seq` is the number of the transaction that wrote it (shifted by 20 bits) and its place in that transaction. So
rows can be read in the order of `seq` up to the oldest transaction that is still open, and none can turn up below
later: `trimtab_horizon()` says how far that is. A sequence would not do: its numbers are taken before the commit.

Transaction numbers belong to a cluster. `trimtab_meta.xid_offset` is added to them, and raised when a database comes
up in a cluster whose numbers are lower than the rows say (a dump restored elsewhere), so that `seq` never goes back.
"""

from __future__ import annotations

from sqlalchemy import Connection, DefaultClause, MetaData, PrimaryKeyConstraint, Text, text
from sqlalchemy.schema import CreateIndex, CreateTable

from trimtab.errors import ConfigError
from trimtab.store.schema import FEEDBACK, INFERENCES, NOUNS, SCHEMA_VERSION, cursors, metadata

__all__ = [
    "EVENTS",
    "declared",
    "make_default_partition",
    "make_functions",
    "prepare_database",
    "stored_version",
]

EVENTS = (INFERENCES.table.name, FEEDBACK.table.name)
_RECORDS = frozenset(noun.table.name for noun in NOUNS)
_PLACE_BITS = 20
_OPENING = 0x54524D54  # an advisory lock: of many who open a new or older database one makes the tables
_META = """
CREATE TABLE trimtab_meta (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1), version integer NOT NULL, xid_offset bigint NOT NULL
)
"""
_SEQ = f"""
CREATE FUNCTION trimtab_seq(rows integer DEFAULT 1) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    first bigint := nullif(current_setting('trimtab.seq', true), '')::bigint;
BEGIN
    IF first IS NULL THEN
        SELECT (pg_current_xact_id()::text::bigint + xid_offset) << {_PLACE_BITS} INTO STRICT first FROM trimtab_meta;
    END IF;
    IF (first & {(1 << _PLACE_BITS) - 1}) + rows > {(1 << _PLACE_BITS) - 1} THEN
        RAISE program_limit_exceeded USING MESSAGE = 'more than {(1 << _PLACE_BITS) - 1} rows in one transaction';
    END IF;
    PERFORM set_config('trimtab.seq', (first + rows)::text, true);
    RETURN first;
END $$
"""
_HORIZON = f"""
CREATE FUNCTION trimtab_horizon() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset) << {_PLACE_BITS} FROM trimtab_meta
$$
"""


def declared() -> MetaData:
    """Return the tables of `trimtab.store.schema` with what only PostgreSQL gives them."""
    made = MetaData()
    for table in metadata.sorted_tables:
        copied = table.to_metadata(made)
        for column in copied.columns:
            if isinstance(column.type, Text):
                column.type = Text(collation="C")  # the order of bytes, as in SQLite, and the faster one
        if table.name in _RECORDS:
            copied.c.seq.autoincrement = False
            copied.c.seq.server_default = DefaultClause(text("trimtab_seq()"))
        if table.name in EVENTS:
            copied.c.id.primary_key = True
            copied.append_constraint(PrimaryKeyConstraint(copied.c.seq, copied.c.id))
            copied.dialect_options["postgresql"]["partition_by"] = "RANGE (id)"
    return made


def prepare_database(connection: Connection) -> None:
    """Make the tables, or bring older ones to this version, in the transaction under way; others who open it wait.

    Raises ConfigError for tables that a newer Trimtab or another program made, or an encoding that is not UTF-8.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING})
    version = stored_version(connection)
    if version is None:
        _require_room(connection)
        make_functions(connection)
        for table in declared().sorted_tables:
            connection.execute(CreateTable(table))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        for name in EVENTS:
            make_default_partition(connection, name)
    elif version < SCHEMA_VERSION:
        from trimtab.store.migrations.history import upgrade  # noqa: PLC0415  Alembic, only where there is work for it

        upgrade(connection, version)
        connection.execute(text("UPDATE trimtab_meta SET version = :version"), {"version": SCHEMA_VERSION})
    elif version > SCHEMA_VERSION:
        raise ConfigError(
            f"expected schema version {SCHEMA_VERSION} or older in the database of storage.url, got {version!r}, "
            "written by a newer Trimtab; upgrade this one or restore the backup from before",
            param="storage.url",
        )
    _raise_offset(connection)


def stored_version(connection: Connection) -> int | None:
    """Return the schema version of the database, None for one without our tables."""
    if connection.execute(text("SELECT to_regclass('trimtab_meta')")).scalar_one() is None:
        return None
    return int(connection.execute(text("SELECT version FROM trimtab_meta")).scalar_one())


def make_functions(connection: Connection) -> None:
    """Make what every version needs: the functions of places, and the row that carries the version."""
    for statement in (_META, _SEQ, _HORIZON):
        connection.exec_driver_sql(statement)
    connection.execute(text("INSERT INTO trimtab_meta (version, xid_offset) VALUES (:now, 0)"), {"now": SCHEMA_VERSION})


def _require_room(connection: Connection) -> None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigError(
            f"expected a database in UTF8 at storage.url, got {encoding!r}; "
            "make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
            param="storage.url",
        )
    ours = [table.name for table in metadata.sorted_tables]
    taken = connection.execute(
        text("SELECT t FROM unnest(:ours) AS t WHERE to_regclass(t) IS NOT NULL"), {"ours": ours}
    )
    names = sorted(row[0] for row in taken)
    if names:
        raise ConfigError(
            f"expected a Trimtab database or an empty one at storage.url, got another program's tables {names!r}; "
            "name another database",
            param="storage.url",
        )


def _raise_offset(connection: Connection) -> None:
    """Keep places rising where the cluster's transaction numbers lie below those that the rows carry."""
    if not _behind(connection):
        return
    # Every writer reads this table in its transaction, so none is under way behind the lock.
    connection.exec_driver_sql("LOCK TABLE trimtab_meta IN ACCESS EXCLUSIVE MODE")
    if highest := _behind(connection):
        # Not even a transaction that has its number already, and waits at the lock, may write below.
        connection.execute(
            text(
                "UPDATE trimtab_meta SET xid_offset = "
                "(:highest >> :bits) + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
            ),
            {"highest": highest, "bits": _PLACE_BITS},
        )


def _behind(connection: Connection) -> int | None:
    """Return the highest place in the database, if the next transaction's would not lie above it."""
    places = [f"SELECT max(seq) AS seq FROM {noun.table.name}" for noun in NOUNS]
    places.append(f"SELECT max(seq) AS seq FROM {cursors.name}")
    highest = f"SELECT max(seq) AS highest FROM ({' UNION ALL '.join(places)}) AS places"
    following = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint + xid_offset"
    found = connection.exec_driver_sql(
        f"SELECT highest FROM ({highest}) AS found, trimtab_meta WHERE highest >> {_PLACE_BITS} >= {following}"
    ).first()
    return None if found is None else int(found[0])


def make_default_partition(connection: Connection, name: str) -> None:
    """Make the partition of an event table for ids that carry no time, or one that no week was made for."""
    connection.exec_driver_sql(f"CREATE TABLE {name}_other PARTITION OF {name} DEFAULT")
