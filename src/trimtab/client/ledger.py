"""What became of every event: counted by reason, and logged once per cause, never with what was in it."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from trimtab.client.loading import LOADING

__all__ = ["Ledger", "Stats"]

_AGAIN_AFTER_S = 3600.0


class Stats(NamedTuple):
    """Where everything recorded by this process is."""

    recorded: int
    """Events handed over by the app, whatever became of them."""
    accepted: int
    """Stored by the server for the first time."""
    duplicates: int
    """Stored already when sent again, which is no loss: an id is stored once."""
    rejected: dict[str, int]
    """Refused by the server one by one, by its error code."""
    lost: dict[str, int]
    """Given up here, by reason."""
    retries: int
    """Requests that failed and were, or will be, tried again."""
    queued: int
    """Events in memory, not yet answered for."""
    spooled_bytes: int
    """Bytes on disk, waiting for the server."""


class Ledger:
    """Counts and complains. Complaints come at most once an hour per cause."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start at zero; a forked child counts its own."""
        self._lock = threading.RLock()
        self.recorded = self.accepted = self.duplicates = self.retries = 0
        self.rejected: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._logged: dict[str, float] = {}

    def settle(self, accepted: int, duplicates: int, rejected: dict[str, int]) -> None:
        """Count the server's answer to one request."""
        with self._lock:
            self.accepted += accepted
            self.duplicates += duplicates
            for code, count in rejected.items():
                self.rejected[code] = self.rejected.get(code, 0) + count
        for code in rejected:
            self.warn(f"rejected:{code}", f"the server refuses some events with code {code!r}; they are dropped")

    def retry(self, cause: str) -> None:
        """Count a request that failed and will be tried again."""
        with self._lock:
            self.retries += 1
        self.warn(f"retry:{cause}", f"cannot deliver now ({cause}); events wait and will be sent again")

    def lose(self, reason: str, count: int, cure: str) -> None:
        """Count `count` events that are given up, and say what would help."""
        with self._lock:
            self.lost[reason] = self.lost.get(reason, 0) + count
        self.warn(f"lost:{reason}", f"events are being dropped ({reason}): {cure}")

    def unreported(self) -> dict[str, int]:
        """Return the losses the server has not been told of."""
        with self._lock:
            return {key: n - self._told.get(key, 0) for key, n in self.lost.items() if n > self._told.get(key, 0)}

    def reported(self, losses: dict[str, int]) -> None:
        """Remember that the server knows of `losses`."""
        with self._lock:
            for key, count in losses.items():
                self._told[key] = self._told.get(key, 0) + count

    def warn(self, cause: str, message: str) -> None:
        """Log `message` unless `cause` was logged within the hour. Messages carry no words of users and no key."""
        now = time.monotonic()
        with self._lock:
            if now - self._logged.get(cause, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S:
                return
            self._logged[cause] = now
        with LOADING:
            import logging  # noqa: PLC0415 an app that has no trouble does not pay for it

        logging.getLogger("trimtab.client").warning("trimtab: %s", message)
