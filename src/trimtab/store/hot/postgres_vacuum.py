"""Vacuuming PostgreSQL after an erasure: small tables are written anew, large ones only lose their dead rows.

A plain VACUUM frees the place of a deleted row and leaves its bytes there until another row is written over them. Only
writing a table anew removes them, under a lock that holds up everybody: done by itself where that takes a moment.
"""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from trimtab.store.schema import metadata

__all__ = ["vacuumed"]

_SMALL_BYTES = 32 << 20
_TABLES = """
SELECT child.oid::regclass::text, pg_total_relation_size(child.oid) FROM pg_class AS child
LEFT JOIN pg_inherits ON inhrelid = child.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
WHERE child.relkind = 'r' AND coalesce(parent.relname, child.relname) = ANY(:ours)
AND child.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def vacuumed(connection: Connection) -> list[str]:
    """Vacuum every table over a connection without a transaction; return notes about what is left in files."""
    ours = [table.name for table in metadata.sorted_tables]
    left = []
    connection.exec_driver_sql("SET lock_timeout = '2s'")
    try:
        for name, size in connection.execute(text(_TABLES), {"ours": ours}).fetchall():
            if size > _SMALL_BYTES or not _written_anew(connection, name):
                connection.exec_driver_sql(f"VACUUM {name}")
                left.append(name)
    finally:
        connection.exec_driver_sql("SET lock_timeout = '10s'")  # as `postgres._SESSION` has it
    if not left:
        return []
    return [
        "deleted rows of these tables may stay in PostgreSQL's files until their place is used again; "
        f"VACUUM FULL removes them at once: {', '.join(left)}"[:2000]
    ]


def _written_anew(connection: Connection, name: str) -> bool:
    try:
        connection.exec_driver_sql(f"VACUUM (FULL) {name}")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "55P03":  # somebody reads it, and for long
            raise
        return False
    return True
