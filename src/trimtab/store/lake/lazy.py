"""A lake that is opened by the first who needs it: its library takes a quarter of a second to import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from trimtab.store.lake.port import Erased, HotRows, LakeStore, LakeTable, Progress, Span, TableStats, Told, Verified
from trimtab.store.ports import Stored

__all__ = ["LazyLake"]


class LazyLake:
    """The verbs of `LakeStore`, of a lake that `open_` opens when the first of them is called."""

    def __init__(self, open_: Callable[[], LakeStore]) -> None:
        self._open = open_
        self._lock = threading.Lock()
        self._lake: LakeStore | None = None

    @property
    def opened(self) -> LakeStore:
        """The lake itself."""
        with self._lock:
            if self._lake is None:
                self._lake = self._open()
            return self._lake

    def cursor(self, table: LakeTable) -> int:
        """Return the seq of the last row offered to the table."""
        return self.opened.cursor(table)

    def append(self, table: LakeTable, rows: Sequence[Stored[Any]], *, after: int) -> int:
        """Add the rows, all or none."""
        return self.opened.append(table, rows, after=after)

    def read(self, table: LakeTable, span: Span, *, batch_rows: int = 8192) -> Iterator[list[Stored[Any]]]:
        """Yield the rows of the span in lists."""
        return self.opened.read(table, span, batch_rows=batch_rows)

    def told(self, project_id: str, user_ids: Iterable[str]) -> Told:
        """Return the ids of what `erase` would remove."""
        return self.opened.told(project_id, user_ids)

    def erase(
        self,
        project_id: str,
        user_ids: Iterable[str],
        *,
        feedback_ids: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Erased:
        """Remove all that these people said or were told."""
        return self.opened.erase(project_id, user_ids, feedback_ids=feedback_ids, progress=progress)

    def compact(self, table: LakeTable, *, progress: Progress | None = None) -> int:
        """Rewrite many small files into few large ones."""
        return self.opened.compact(table, progress=progress)

    def vacuum(self, table: LakeTable, *, retention_hours: int, progress: Progress | None = None) -> int:
        """Remove files that nobody needs any more."""
        return self.opened.vacuum(table, retention_hours=retention_hours, progress=progress)

    def verify(self, table: LakeTable, hot: HotRows | None, *, progress: Progress | None = None) -> Verified:
        """Compare rows, files and the log."""
        return self.opened.verify(table, hot, progress=progress)

    def holds(self, table: LakeTable, hot: HotRows, *, after: int, upto: int) -> bool:
        """Say whether the table holds every row that the hot store holds in (after, upto]."""
        return self.opened.holds(table, hot, after=after, upto=upto)

    def stats(self, table: LakeTable) -> TableStats:
        """Return counts from the table's log."""
        return self.opened.stats(table)

    def close(self) -> None:
        """Let go of the lake, if it was ever opened."""
        with self._lock:
            if self._lake is not None:
                self._lake.close()
