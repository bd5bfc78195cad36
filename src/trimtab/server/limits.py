"""How much one sender may send: token buckets per key and per address, in bounded memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from trimtab.config import Limits
from trimtab.errors import RateLimited
from trimtab.records import KeyKind

__all__ = ["Buckets", "Meter"]

_KEYS = 10_000


class Buckets:
    """A bucket per name, which refills at `rate` a second up to `burst`; the `most` names used last are remembered.

    A body passes when there is 1 in its bucket and may leave it in debt, so that a batch larger than what is left is
    taken once and paid for by waiting: over time no name gets more than its rate.
    """

    def __init__(self, rate: float, burst: float, most: int, now: Callable[[], float]) -> None:
        self.rate = rate
        self._burst = burst
        self._most = most
        self._now = now
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def level(self, name: str) -> float:
        """Return what is in the bucket now; less than 0 is debt."""
        level, at = self._held.get(name, (self._burst, 0.0))
        return min(self._burst, level + (self._now() - at) * self.rate)

    def take(self, name: str, count: float) -> None:
        """Take `count` out of the bucket, into debt if need be."""
        self._held[name] = (self.level(name) - count, self._now())
        self._held.move_to_end(name)
        if len(self._held) > self._most:
            self._held.popitem(last=False)


class Meter:
    """The buckets of a server. Belongs to one event loop."""

    def __init__(self, settings: Limits, *, now: Callable[[], float] = time.monotonic) -> None:
        self._addresses = Buckets(settings.address_events_per_s, settings.address_burst, settings.addresses, now)
        self._public = Buckets(settings.key_events_per_s, settings.key_burst, _KEYS, now)
        quota = settings.ingest_events_per_s
        self._ingest = None if quota is None else Buckets(quota, settings.ingest_burst, _KEYS, now)

    def open(self, kind: KeyKind, key_id: str, address: str) -> Callable[[int], None]:
        """Let a body in, before it is read, for the price of one event; return what charges for the others in it.

        Both raise RateLimited.
        """
        asked: list[tuple[Buckets, str, str]] = []
        if kind == "public":
            asked = [(self._addresses, address, "address"), (self._public, key_id, "key")]
        elif kind == "ingest" and self._ingest is not None:
            asked = [(self._ingest, key_id, "key")]
        _require(asked, 1)
        for buckets, name, _ in asked:
            buckets.take(name, 1)

        def charge(events: int) -> None:
            if events <= 1:
                return
            _require(asked, 0)  # not so, where others came in between
            for buckets, name, _ in asked:
                buckets.take(name, events - 1)

        return charge


def _require(asked: list[tuple[Buckets, str, str]], least: float) -> None:
    for buckets, name, noun in asked:
        level = buckets.level(name)
        if level < least:
            wait = max(1, math.ceil((1 - level) / buckets.rate))
            raise RateLimited(
                f"expected at most {buckets.rate:g} events a second from this {noun}, got more; "
                f"send them again in {wait} s, or raise the limits (docs/configuration.md)",
                retry_after_s=wait,
            )
