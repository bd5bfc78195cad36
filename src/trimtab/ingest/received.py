"""Keeping count of what came and was not stored, so that a later report can account for every event."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Protocol

from trimtab.errors import TrimtabError
from trimtab.store.census import CensusStore, Received

__all__ = ["ReceivedStage", "Told"]

_EVERY = timedelta(seconds=2)


class Told(Protocol):
    """Who counts since the start of the process, as `Tally` does."""

    duplicates: int
    rejected: Counter[str]


class ReceivedStage:
    """Adds to the store, every two seconds, how many events were duplicates or refused, and why.

    What was counted in the last two seconds before a kill is forgotten; no event is, since these were never stored.
    """

    name = "received"

    def __init__(self, store: CensusStore, tally: Told) -> None:
        self._store = store
        self._tally = tally
        self._lock = threading.Lock()
        self._written: Counter[tuple[Received, str]] = Counter()
        self._written_at: datetime | None = None

    def tick(self, now: datetime) -> int:
        """Write what was counted, when it is time; that is no work on any row."""
        if self._written_at is None or not timedelta(0) <= now - self._written_at < _EVERY:
            self._written_at = now
            self.write()
        return 0

    def write(self) -> None:
        """Write what was counted since the last time. Safe from any thread. Raises `Unavailable`."""
        with self._lock:
            counted: Counter[tuple[Received, str]] = Counter({("duplicate", ""): self._tally.duplicates})
            for code, count in self._tally.rejected.copy().items():
                counted["refused", code] = count
            added = {key: count - self._written[key] for key, count in counted.items() if count > self._written[key]}
            if added:
                self._store.receive(added)
                self._written = counted

    def close(self) -> None:
        """Write the last counts; where the store is away, they are given up."""
        try:
            self.write()
        except TrimtabError:
            return
