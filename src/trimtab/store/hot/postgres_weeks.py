"""Event tables of PostgreSQL by week: made ahead of need, dropped whole when their time is over.

A UUIDv7 begins with its millisecond, so ranges of ids are ranges of time and (project, id) stays unique over all weeks.
Ids that carry no time fall into whichever range their bytes name, nearly always into the partition of all others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from trimtab.store.hot.postgres_tables import EVENTS

__all__ = ["WEEK", "drop_week", "empty_weeks", "made_until", "make_week", "week_of", "weeks"]

WEEK = timedelta(days=7)
_MAKING = 0x54524D57  # an advisory lock: of many who make a week one does
_FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def week_of(now: datetime) -> datetime:
    """Return the Monday, 00:00 UTC, on which the week of `now` began."""
    return _FIRST_MONDAY + (now - _FIRST_MONDAY) // WEEK * WEEK


def weeks(connection: Connection, table: str) -> list[datetime]:
    """Return the Mondays of the weeks for which the event table has a partition, oldest first."""
    names = connection.execute(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:parent AS regclass)"),
        {"parent": table},
    )
    told = (str(row[0]).rpartition("_w")[2] for row in names)
    return sorted(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in told if day.isdigit())


def made_until(connection: Connection) -> datetime | None:
    """Return the end of the last week that every event table has a partition for, None when one has none."""
    last = [found[-1] if (found := weeks(connection, table)) else None for table in EVENTS]
    return None if None in last else min(day for day in last if day is not None) + WEEK


def make_week(connection: Connection, table: str, monday: datetime) -> None:
    """Make one week's partition of one event table, in the transaction under way; one that is there stays.

    Rows of that week that came before it was made move over. Reading and writing other weeks goes on meanwhile.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
    if monday in weeks(connection, table):
        return
    name = f"{table}_w{monday:%Y%m%d}"
    low, high = _bound(monday), _bound(monday + WEEK)
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    connection.exec_driver_sql(f"LOCK TABLE {table}_other IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {table}_other WHERE id >= {low} AND id < {high} RETURNING *) "
        f"INSERT INTO {name} SELECT * FROM moved"
    )
    connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})")


def drop_week(connection: Connection, table: str, monday: datetime, *, keep: str = "false") -> int:
    """Drop one week's partition in the transaction under way and return how many rows went.

    `keep` is a condition over the table's columns; rows of which it holds move to the partition of all others.
    """
    name = f"{table}_w{monday:%Y%m%d}"
    connection.exec_driver_sql(f"ALTER TABLE {table} DETACH PARTITION {name}")
    kept = connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {name} WHERE {keep}").rowcount
    count = int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())
    connection.exec_driver_sql(f"DROP TABLE {name}")
    return count - kept


def empty_weeks(connection: Connection, table: str, before: datetime) -> list[datetime]:
    """Return the Mondays of the table's weeks that ended before that moment and hold no row any more, oldest first."""
    return [
        monday
        for monday in weeks(connection, table)
        if monday + WEEK <= before
        and not connection.exec_driver_sql(f"SELECT EXISTS (SELECT 1 FROM {table}_w{monday:%Y%m%d})").scalar_one()
    ]


def _bound(monday: datetime) -> str:
    """Return the lowest id of that moment as a literal."""
    millis = (monday - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return f"'\\x{millis:012x}{'0' * 20}'::bytea"
