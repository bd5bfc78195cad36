"""What PostgreSQL's errors mean to a caller: come back later, mend the settings, or a mistake of ours."""

from __future__ import annotations

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from trimtab.errors import ConfigError, Unavailable

__all__ = ["explained"]

_CURES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, "the disk of the database is full; free space and send again"),
    (errors.TooManyConnections, "the database has no connection left; raise max_connections or run fewer processes"),
    (errors.OutOfMemory, "the database has no memory left; try again with less in flight"),
    (errors.ReadOnlySqlTransaction, "the database takes no writes (a replica?); name the primary in storage.url"),
    (errors.LockNotAvailable, "another process holds the rows for too long; try again"),
    (errors.DeadlockDetected, "another process wrote the same rows at the same time; try again"),
    (errors.SerializationFailure, "another process wrote the same rows at the same time; try again"),
    (errors.QueryCanceled, "the database ended a statement that took too long; try again"),
    (errors.IdleInTransactionSessionTimeout, "the database ended a transaction that stood still; try again"),
)
_WRONG_SETTINGS = (
    errors.InvalidAuthorizationSpecification,
    errors.InvalidPassword,
    errors.InvalidCatalogName,
    errors.InsufficientPrivilege,
)
_GONE = "the database cannot be reached; check that it runs, then try again"


def explained(error: Exception, place: str) -> Exception:
    """Return what to raise instead: `Unavailable` for the machine's faults, `ConfigError` for the settings' ones.

    `place` names the database without its password. What is neither is returned as it is.
    """
    found = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, PoolTimeout):
        return Unavailable(f"every connection to {place} is in use; try again with less in flight")
    if isinstance(found, errors.NumericValueOutOfRange):
        return OverflowError(f"a number is too large for the database: {_said(found)}")
    if isinstance(found, errors.ProgramLimitExceeded):
        return ValueError(f"expected less in one write, got {_said(found)}; send it in parts")
    if not isinstance(found, psycopg.Error):
        return error
    for kind, cure in _CURES:
        if isinstance(found, kind):
            return Unavailable(f"{cure} ({place}: {_said(found)})")
    if isinstance(found, _WRONG_SETTINGS) or _refused(found):
        return ConfigError(f"cannot use the database {place} of storage.url: {_said(found)}", param="storage.url")
    if isinstance(found, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable(f"{_GONE} ({place}: {_said(found)})")
    return error


def _refused(error: psycopg.Error) -> bool:
    # While connecting there is no code yet, only the words of the server or of libpq.
    words = str(error)
    return error.sqlstate is None and any(
        part in words for part in ("authentication failed", "does not exist", "no password supplied", "pg_hba.conf")
    )


def _said(error: psycopg.Error) -> str:
    return str(error.diag.message_primary or error).strip().splitlines()[0]
