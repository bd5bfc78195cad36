"""Whose turn it is to change the lake: one holder at a time, over threads, processes and, on S3, machines."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from arro3.core import Array, DataType, Table
from arro3.core import Field as ArrowField
from arro3.core import Schema as ArrowSchema
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from trimtab.clock import Clock, to_micros
from trimtab.errors import Conflict
from trimtab.store.lake.place import Place, explained

__all__ = ["FileTurn", "LeaseTurn", "Turn", "turn_of"]

_POLL_S = 0.05
_LEASE = timedelta(minutes=15)
_UNTIL = "until"
_EMPTY = ArrowSchema([ArrowField("nothing", DataType.string())])


class Turn(Protocol):
    """A lock with a place in the world outside this process."""

    @contextmanager
    def taken(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the turn inside the block. Raises Conflict when it is not free within `wait_s`."""
        ...

    def renew(self) -> None:
        """Say that the holder is alive; long work calls it between its parts."""
        ...


class FileTurn:
    """A lock on a file: the system frees it when its holder dies, however it dies."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def taken(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the turn inside the block."""
        with explained("lock its directory"):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _until_free(lambda: _locked(lock), wait_s)
            yield
        finally:
            os.close(lock)

    def renew(self) -> None:
        """Do nothing: a living holder keeps its lock."""


class LeaseTurn:
    """A lease in the lake itself, for storage without locks: an empty Delta table whose log is the compare-and-swap.

    The newest commit says until when the lease is held. Taking it is one more commit, and of two that follow the same
    version the object store lets one through. A holder that died keeps it for 15 minutes at most.
    """

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._handle: DeltaTable | None = None
        self._here = threading.Lock()

    @contextmanager
    def taken(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the turn inside the block."""
        _until_free(lambda: self._here.acquire(blocking=False), wait_s)
        try:
            _until_free(self._take, wait_s)
            try:
                yield
            finally:
                self._write(to_micros(self._clock.now()))
        finally:
            self._handle = None
            self._here.release()

    def renew(self) -> None:
        """Hold the lease for its whole time again. Raises Conflict when somebody else has taken it meanwhile."""
        if not self._write(to_micros(self._clock.now() + _LEASE)):
            raise Conflict("the lake's lease ran out and another holder took it; stop what this one does and retry")

    def _take(self) -> bool:
        with explained("read its lease"):
            handle = self._place.open("lease") or self._made()
            now = self._clock.now()
            if handle is None or (handle.transaction_version(_UNTIL) or 0) > to_micros(now):
                return False
        self._handle = handle
        return self._write(to_micros(now + _LEASE))

    def _made(self) -> DeltaTable | None:
        try:
            return DeltaTable.create(
                self._place.table("lease"),
                _EMPTY,
                mode="ignore",
                storage_options=self._place.options or None,
                configuration={"delta.logRetentionDuration": "interval 1 days", "delta.checkpointInterval": "50"},
            )
        except CommitFailedError:  # another holder made it at the same moment
            return None

    def _write(self, until: int) -> bool:
        if self._handle is None:
            return False
        try:
            with explained("write its lease"):
                write_deltalake(
                    self._handle,
                    Table.from_arrays([Array([], DataType.string())], schema=_EMPTY),
                    mode="append",
                    commit_properties=CommitProperties(app_transactions=[Transaction(_UNTIL, until)]),
                )
        except Exception as error:
            if isinstance(error.__cause__, CommitFailedError):
                return False
            raise
        return True


def turn_of(place: Place, clock: Clock) -> Turn:
    """Return the lock that fits the place."""
    return FileTurn(place.folder / "turn.lock") if place.folder is not None else LeaseTurn(place, clock)


def _until_free(take: Callable[[], bool], wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while not take():
        if time.monotonic() >= end:
            raise Conflict("somebody else is changing the lake now; wait until that is done and try again")
        time.sleep(_POLL_S)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
