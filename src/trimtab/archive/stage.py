"""The archive stage: ships rows from the hot store to the lake, and keeps the lake in shape.

The lake alone says how far it is, in the commit that carries the rows; a cursor here would be a second one.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import structlog

from trimtab.config import Lake
from trimtab.errors import Conflict, TrimtabError, Unavailable
from trimtab.store.lake.history import after_of
from trimtab.store.lake.port import LAKE_TABLES, HotRows, LakeStore, LakeTable
from trimtab.store.ports import PurgeMark

__all__ = ["ArchiveStage", "ship_all"]

_VACUUM_EVERY = timedelta(days=1)
_FIRST_VACUUM = timedelta(hours=1)
_MARK_EVERY = timedelta(hours=1)
_SAFE_AFTER = timedelta(days=1)
_PROBE_EVERY = timedelta(seconds=1)
_BACKOFF = timedelta(seconds=5)
_MAX_BACKOFF = timedelta(minutes=10)
_PATIENCE_S = 120.0
_PAUSE_S = 0.2


def ship_all(hot: HotRows, lake: LakeStore, *, batch_rows: int) -> dict[str, int]:
    """Ship all that the hot store holds now, beside whoever else ships; return where each table of the lake stands.

    Raises Unavailable when somebody else has the lake's turn for two minutes.
    """
    return {table: _shipped(hot, lake, table, batch_rows) for table in LAKE_TABLES}


def _shipped(hot: HotRows, lake: LakeStore, table: LakeTable, batch_rows: int) -> int:
    pause, waited = threading.Event(), 0.0
    while True:
        cursor = lake.cursor(table)
        rows = after_of(hot, table)(cursor, batch_rows)
        if not rows:
            return cursor
        try:
            lake.append(table, rows, after=cursor)
            waited = 0.0
        except Conflict:  # the stage shipped these rows meanwhile, or is compacting: look again
            if waited > _PATIENCE_S:
                raise Unavailable(f"the lake was busy for {_PATIENCE_S:g} s; try again later") from None
            pause.wait(_PAUSE_S)
            waited += _PAUSE_S
            continue
        if len(rows) < batch_rows:
            return int(rows[-1].seq)


class ArchiveStage:
    """Ships what has waited for `lake.commit_seconds`, or as soon as `lake.commit_rows` wait.

    A tick hands the work to a thread of the stage's own and returns at once: writing releases Python's lock, but a
    commit to a slow object store or a compaction must not hold up the other stages. `inline` does the work within the
    tick, for tests and studies. `patient` lets rows gather once before the first round, so that a process that ends
    soon never opens the lake. A failure is logged and tried again with growing pauses; nothing is lost by it, since
    the lake's cursor moves with the rows alone. `failures` counts them, `last_error` is the latest until one succeeds.
    """

    name = "archive"

    def __init__(
        self, hot: HotRows, lake: LakeStore, settings: Lake, *, inline: bool = False, patient: bool = False
    ) -> None:
        self._hot = hot
        self._lake = lake
        self._settings = settings
        self._inline = inline
        self._patient = patient
        self._thread: threading.Thread | None = None
        self._shipped_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._vacuumed_at: datetime | None = None
        self._marked_at: datetime | None = None
        self._retry_at: datetime | None = None
        # After a start nobody knows how many commits came before, so the first one is followed by a look.
        self._commits: dict[LakeTable, int] = dict.fromkeys(LAKE_TABLES, settings.compact_commits - 1)
        self._reached: dict[LakeTable, int] = {}  # where the lake stood last: tells when to look, never what to ship
        self._rows = 0
        self._in_a_row = 0
        self.failures = 0
        self.last_error: str | None = None
        self._log = structlog.get_logger("trimtab.archive")

    def tick(self, now: datetime) -> int:
        """Start a round of work when one is due; return how many rows have been shipped since the last tick."""
        if self._thread is not None and self._thread.is_alive():
            return 0
        done, self._rows = self._rows, 0
        if self._patient and self._shipped_at is None:
            self._shipped_at = now
        if not self._due(now):
            return done
        if self._inline:
            self._round(now)
            return self._rows_taken()
        self._thread = threading.Thread(target=self._guarded, args=(now,), name="trimtab-archive", daemon=True)
        self._thread.start()
        return done

    @property
    def problem(self) -> str | None:
        """Why rows wait to be shipped; None when none do."""
        return self.last_error

    def reached(self, table: LakeTable) -> int:
        """Return where the lake stood when it was last looked at, 0 before the first look. Asks nobody."""
        return self._reached.get(table, 0)

    def behind(self) -> dict[str, int]:
        """Return how many rows wait to be shipped, by table, as of the last look into the lake."""
        last = self._hot.last_places()
        return {f"lake.{table}": max(0, last[table] - place) for table, place in self._reached.copy().items()}

    def close(self) -> None:
        """Wait for the round under way. A second call does nothing."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _rows_taken(self) -> int:
        done, self._rows = self._rows, 0
        return done

    def _due(self, now: datetime) -> bool:
        if self._retry_at is not None and now < self._retry_at:
            return False
        if self._shipped_at is None or now - self._shipped_at >= timedelta(seconds=self._settings.commit_seconds):
            return True
        if self._looked_at is not None and now - self._looked_at < _PROBE_EVERY:
            return False
        self._looked_at = now
        return any(self._many_wait(table) for table in LAKE_TABLES)

    def _many_wait(self, table: LakeTable) -> bool:
        # Seqs rise by one or little more, so a row that far ahead means about that many in between: one row is read.
        ahead = self._reached.get(table, 0) + self._settings.commit_rows - 1
        return bool(after_of(self._hot, table)(ahead, 1))

    def _guarded(self, now: datetime) -> None:
        try:
            self._round(now)
        except Exception as error:  # noqa: BLE001  a thread's error has nobody else to tell
            self.failures += 1
            self.last_error = error.message if isinstance(error, TrimtabError) else type(error).__name__
            self._in_a_row += 1
            self._retry_at = now + min(_BACKOFF * 2 ** min(self._in_a_row, 7), _MAX_BACKOFF)
            self._log.error("archive failed", error=self.last_error, exc_info=not isinstance(error, TrimtabError))

    def _round(self, now: datetime) -> None:
        try:
            full = [self._ship(table) for table in LAKE_TABLES]
            self._shipped_at = now
            if any(full):  # as many may wait again: look at the next tick, not in a second
                self._looked_at = None
            self._maintain(now)
            self._mark(now)
        except Conflict:  # maintenance by hand or another process has the turn: the rows wait a little
            self._retry_at = now + _BACKOFF
            return
        self._retry_at, self.last_error = None, None
        self._in_a_row = 0

    def _ship(self, table: LakeTable) -> bool:
        """Ship one micro-batch; say whether it was full."""
        cursor = self._reached[table] = self._lake.cursor(table)
        rows = after_of(self._hot, table)(cursor, self._settings.commit_rows)
        if not rows:
            return False
        self._lake.append(table, rows, after=cursor)
        self._reached[table] = rows[-1].seq
        self._rows += len(rows)
        self._commits[table] += 1
        return len(rows) >= self._settings.commit_rows

    def _mark(self, now: datetime) -> None:
        """Once a day, note where the lake stands, and that what stood there a day ago is in it for good.

        Every row is looked for before it may leave the hot store: a database restored from a backup counts its places
        anew, and the lake's cursor then promises rows that it never saw.
        """
        if self._marked_at is not None and now - self._marked_at < _MARK_EVERY:
            return
        self._marked_at = now
        marks = self._hot.purge_marks()
        for table in LAKE_TABLES:
            mark, place = marks.get(table, PurgeMark()), self._reached[table]
            if mark.noted_at is not None and now - mark.noted_at < _SAFE_AFTER and place >= mark.noted:
                continue
            safe = min(mark.safe, place)
            if mark.noted_at is not None and safe < mark.noted <= place and now - mark.noted_at >= _SAFE_AFTER:
                if self._lake.holds(table, self._hot, after=safe, upto=mark.noted):
                    safe = mark.noted
                else:
                    told = f"rows of {table} are missing in the lake, so none leave the database: trimtab lake verify"
                    self._log.error(told)
            self._hot.mark_safe(table, safe=safe, noted=place, at=now)

    def _maintain(self, now: datetime) -> None:
        for table in LAKE_TABLES:
            if self._commits[table] >= self._settings.compact_commits:
                self._lake.compact(table)
                self._commits[table] = 0
        if self._vacuumed_at is None:
            self._vacuumed_at = now + _FIRST_VACUUM - _VACUUM_EVERY
        elif now - self._vacuumed_at >= _VACUUM_EVERY:
            for table in LAKE_TABLES:
                self._lake.vacuum(table, retention_hours=self._settings.vacuum_hours)
            self._vacuumed_at = now
