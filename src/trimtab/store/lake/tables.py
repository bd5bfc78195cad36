"""The Delta tables behind the verbs: opened once, brought up to date, made and evolved where that is needed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
from arro3.core import Table
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction, write_deltalake

from trimtab.store.lake.place import Place, explained
from trimtab.store.lake.port import LAKE_TABLES, LakeTable
from trimtab.store.lake.schema import LAKE_NOUNS, STATS_COLUMNS
from trimtab.store.lake.turn import Turn

__all__ = ["CURSOR", "Tables"]

CURSOR = "trimtab.archive"
"""The application whose transaction version in a table's log is that table's cursor."""

_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class Tables:
    """Handles of the lake's tables. `turn` is what every change of them must hold."""

    def __init__(self, place: Place, turn: Turn) -> None:
        self.place = place
        self.turn = turn
        self._lock = threading.Lock()
        self._looking: dict[str, DeltaTable] = {}
        self._changing: dict[str, DeltaTable] = {}

    def current(self, name: str) -> DeltaTable | None:
        """Return the table at its newest version, None when there is none yet. The handle is shared: only look."""
        return self._newest(self._looking, name)

    def exclusive(self, name: str) -> DeltaTable | None:
        """Return the table at its newest version for changing it. Hold the turn.

        Nobody who only looks moves this handle on: a commit follows the very version that was looked at for it.
        """
        return self._newest(self._changing, name)

    def pinned(self, name: str) -> DeltaTable | None:
        """Return a handle of its own, which stays at the version that is the newest now."""
        with explained(f"read table {name!r}"):
            return self.place.open(name)

    def writable(self, name: LakeTable) -> DeltaTable:
        """Return the table with every column its record has; made or evolved if need be. Hold the turn.

        Raises ConfigError when a column has another type than its field.
        """
        noun = LAKE_NOUNS[name]
        handle = self.exclusive(name)
        if handle is None:
            handle = self.make(name, noun.schema(), partition_by=["day"])
        missing = noun.missing(handle.schema())
        if missing:
            with explained(f"add columns to table {name!r}"):
                handle.alter.add_columns(missing, post_commithook_properties=_NO_HOOKS)
        return handle

    def make(self, name: str, schema: Schema, *, partition_by: list[str] | None = None) -> DeltaTable:
        """Create the table unless it exists. Its log keeps statistics of columns that hold nobody's words alone."""
        with self._lock, explained(f"create table {name!r}"):
            self._changing[name] = DeltaTable.create(
                self.place.table(name),
                schema,
                mode="ignore",
                partition_by=partition_by,
                storage_options=self.place.options or None,
                configuration={"delta.dataSkippingStatsColumns": STATS_COLUMNS},
            )
            return self._changing[name]

    def ensure(self) -> None:
        """Make the tables that are not there yet, so that a query may name every one."""
        if all(self.current(name) is not None for name in LAKE_TABLES):
            return
        with self.turn.taken(wait_s=10.0):
            for name in LAKE_TABLES:
                self.writable(name)

    def add(self, name: str, handle: DeltaTable, data: Table, *, cursor: int | None = None) -> None:
        """Append in one commit, with the cursor where one is given, and sync it to a local disk. Hold the turn.

        Forgets the handle when that fails: whether the commit was made, only a fresh look at the log tells.
        """
        moved = None if cursor is None else [Transaction(CURSOR, cursor)]
        try:
            with explained(f"append to table {name!r}"):
                write_deltalake(
                    handle,
                    data,
                    mode="append",
                    commit_properties=CommitProperties(app_transactions=moved),
                    post_commithook_properties=_NO_HOOKS,
                )
                self._sync(name, handle)
        except BaseException:
            self.forget(name)
            raise

    def forget(self, name: str) -> None:
        """Open the table anew for its next change."""
        with self._lock:
            self._changing.pop(name, None)

    def close(self) -> None:
        """Let go of every handle."""
        with self._lock:
            self._looking.clear()
            self._changing.clear()

    def _newest(self, handles: dict[str, DeltaTable], name: str) -> DeltaTable | None:
        with self._lock, explained(f"read table {name!r}"):
            handle = handles.get(name)
            if handle is not None:
                handle.update_incremental()
                return handle
            handle = self.place.open(name)
            if handle is not None:
                handles[name] = handle
            return handle

    def _sync(self, name: str, handle: DeltaTable) -> None:
        """Put the newest commit on the disk, files first: the library itself never does."""
        if self.place.folder is None:
            return
        folder = self.place.folder / name
        log = folder / "_delta_log" / f"{handle.version():020}.json"
        actions = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
        files = [folder / action["add"]["path"] for action in actions if "add" in action]
        for path in (*files, *{file.parent for file in files}, folder, log, log.parent):
            _fsync(path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
