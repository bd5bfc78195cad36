"""The lake on Delta: appended to exactly once, read by span, erased from for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from arro3.core import Table

from trimtab.clock import Clock, to_micros
from trimtab.errors import Conflict, Unavailable
from trimtab.store.lake.erasure import erase, told
from trimtab.store.lake.maintain import compact, holds, vacuum, verify
from trimtab.store.lake.place import Place, explained
from trimtab.store.lake.port import Erased, HotRows, LakeTable, Progress, Span, TableStats, Told, Verified
from trimtab.store.lake.schema import LAKE_NOUNS
from trimtab.store.lake.tables import CURSOR, Tables
from trimtab.store.lake.tombstones import Tombstones
from trimtab.store.lake.turn import turn_of
from trimtab.store.ports import Stored

__all__ = ["DeltaLake", "condition", "open_lake"]


def open_lake(place: Place | Path | str, clock: Clock, *, patience_s: float = 0.0) -> DeltaLake:
    """Return the lake at that place; nothing is made there before the first append.

    `clock` times leases on S3; upkeep waits `patience_s` for its turn before it raises Conflict.
    """
    where = place if isinstance(place, Place) else Place(str(place))
    return DeltaLake(where, Tables(where, turn_of(where, clock)), patience_s=patience_s)


class DeltaLake:
    """The verbs of `LakeStore`; the contract stands there."""

    def __init__(self, place: Place, tables: Tables, *, patience_s: float = 0.0) -> None:
        self.place = place
        self._tables = tables
        self._tombstones = Tombstones(tables)
        self._patience_s = patience_s
        self._closed = False

    def cursor(self, table: LakeTable) -> int:
        """Return the seq of the last row offered to the table."""
        self._require_open()
        handle = self._tables.current(table)
        return 0 if handle is None else int(handle.transaction_version(CURSOR) or 0)

    def append(self, table: LakeTable, rows: Sequence[Stored[Any]], *, after: int) -> int:
        """Add the rows, all or none, and move the cursor to the last one's seq; return how many were kept."""
        self._require_open()
        seqs = [after, *(row.seq for row in rows)]
        if any(later <= earlier for earlier, later in pairwise(seqs)):
            raise ValueError(f"expected rows whose seqs rise from {after}, got {seqs[1:6]}...")
        if not rows:
            return 0
        with self._tables.turn.taken():
            handle = self._tables.writable(table)
            # The same handle that was asked for the cursor commits: had anybody moved it since, the commit is refused.
            stands = int(handle.transaction_version(CURSOR) or 0)
            if stands != after:
                raise Conflict(
                    f"expected {table!r} in the lake to stand at {after}, it stands at {stands}; select again"
                )
            kept = self._tombstones.spared(rows)
            data = LAKE_NOUNS[table].arrow(kept, handle.schema())
            self._tables.add(table, handle, data, cursor=rows[-1].seq)
        return len(kept)

    def read(self, table: LakeTable, span: Span, *, batch_rows: int = 8192) -> Iterator[list[Stored[Any]]]:
        """Yield the rows of the span in lists, in no order, as of one moment."""
        self._require_open()
        handle = self._tables.pinned(table)
        if handle is None:
            return
        noun = LAKE_NOUNS[table]
        there = {field.name for field in handle.schema().fields}
        wanted = [name for name in ("seq", "project_id", *noun.codec.names) if name in there]
        with explained(f"read table {table!r}"):
            for batch in handle.scan(columns=list(dict.fromkeys(wanted)), predicate=condition(span)):
                found = list(noun.stored(Table.from_batches([batch]).combine_chunks().to_batches()[0]))
                for start in range(0, len(found), batch_rows):
                    yield found[start : start + batch_rows]

    def told(self, project_id: str, user_ids: Iterable[str]) -> Told:
        """Return the ids of what `erase` would remove of these people."""
        self._require_open()
        return told(self._tables, project_id, list(dict.fromkeys(user_ids)))

    def erase(
        self,
        project_id: str,
        user_ids: Iterable[str],
        *,
        feedback_ids: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Erased:
        """Remove all that these people said or were told, physically."""
        self._require_open()
        users, words = list(dict.fromkeys(user_ids)), list(dict.fromkeys(feedback_ids))
        return erase(self._tables, self._tombstones, project_id, users, words, progress)

    def compact(self, table: LakeTable, *, progress: Progress | None = None) -> int:
        """Rewrite days of many small files into few large ones; return how many files became fewer."""
        self._require_open()
        with self._tables.turn.taken(wait_s=self._patience_s):
            return compact(self._tables, table, progress)

    def vacuum(self, table: LakeTable, *, retention_hours: int, progress: Progress | None = None) -> int:
        """Remove files that no version of the last `retention_hours` names, orphans too; return how many."""
        self._require_open()
        with self._tables.turn.taken(wait_s=self._patience_s):
            return vacuum(self._tables, table, retention_hours, progress)

    def verify(self, table: LakeTable, hot: HotRows | None, *, progress: Progress | None = None) -> Verified:
        """Compare rows, files and the log with each other and, where one is given, with the hot store."""
        self._require_open()
        return verify(self._tables, self._tombstones, table, hot, progress)

    def holds(self, table: LakeTable, hot: HotRows, *, after: int, upto: int) -> bool:
        """Say whether the table holds every row that the hot store holds in (after, upto]."""
        self._require_open()
        return holds(self._tables, self._tombstones, table, hot, after, upto)

    def stats(self, table: LakeTable) -> TableStats:
        """Return counts from the table's log; no data is read."""
        self._require_open()
        handle = self._tables.pinned(table)
        if handle is None:
            return TableStats(table, 0, 0, 0, -1, 0)
        with explained(f"read table {table!r}"):
            actions = Table.from_arrow(handle.get_add_actions(flatten=True))
            sizes = [int(size) for size in actions.column("size_bytes").to_pylist()]
            cursor = int(handle.transaction_version(CURSOR) or 0)
            return TableStats(table, handle.count(), len(sizes), sum(sizes), handle.version(), cursor)

    def ensure(self) -> None:
        """Make the tables that are not there yet, so that a query may name every one."""
        self._require_open()
        self._tables.ensure()

    def close(self) -> None:
        """Let go of every table."""
        self._closed = True
        self._tables.close()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable(f"expected an open lake, {self.place.uri!r} is closed; open it again")


def condition(span: Span) -> str | None:
    """Return the span as SQL over a lake table's columns, None for everything."""
    parts = [f"seq > {int(span.after)}"] if span.after else []
    if span.upto is not None:
        parts.append(f"seq <= {int(span.upto)}")
    for name, value in (("project_id", span.project_id), ("feature", span.feature)):
        if value is not None:
            parts.append(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'")
    if span.since is not None:
        parts += [f"day >= '{span.since:%Y-%m-%d}'", f"created_us >= {to_micros(span.since)}"]
    if span.until is not None:
        parts += [f"day <= '{span.until:%Y-%m-%d}'", f"created_us < {to_micros(span.until)}"]
    return " AND ".join(parts) or None
