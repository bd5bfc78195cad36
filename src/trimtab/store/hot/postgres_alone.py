"""One engine per database: a lock that PostgreSQL holds for as long as the engine's session lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from trimtab.errors import Conflict

__all__ = ["Alone"]

_ENGINE = 0x54524D4F


class Alone:
    """Holds the lock on a connection of its own, and takes it again when the server has ended that one."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], alive: Callable[[Any], bool], place: str
    ) -> None:
        self._connect = connect
        self._alive = alive
        self._place = place
        self._taking = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.require()

    def require(self) -> None:
        """Raise Conflict while another engine has the lock, `psycopg.Error` when the server cannot be reached."""
        with self._taking:
            if self._connection is not None and not self._connection.closed and self._alive(self._connection):
                return
            self.release()
            connection = self._connect()
            [[taken]] = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", (_ENGINE,)).fetchall()
            connection.commit()
            if not taken:
                connection.close()
                raise Conflict(f"another engine already uses the database {self._place}; stop it, or name another one")
            self._connection = connection

    def release(self) -> None:
        """Let go of the lock. A second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
