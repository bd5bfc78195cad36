"""The deliver stage: sends what waits to be told, again and again with growing pauses until it arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from trimtab.act.channels import Channel
from trimtab.act.outgoing import OutgoingError
from trimtab.errors import TrimtabError
from trimtab.ids import derived_id
from trimtab.records import Delivery
from trimtab.store.ports import HotStore, Query, Stored, Writes

__all__ = ["MOST_ATTEMPTS", "DeliverStage", "pause_after"]

MOST_ATTEMPTS = 12
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(days=1)
_LONGEST_REST = timedelta(minutes=5)
_LOT = 20
_AT_ONCE = 8


def pause_after(attempts: int, delivery_id: str) -> timedelta:
    """Return how long to wait after the `attempts`-th failure: 10 s, three times as long each time, at most a day.

    Up to half is taken off, by the id and attempt, so that what failed together does not come back together. All
    twelve attempts take one and a half to three days.
    """
    full: timedelta = min(_FIRST_PAUSE * 3 ** min(attempts - 1, 20), _LONGEST_PAUSE)
    jitter = int(derived_id(delivery_id, str(attempts))[:4], 16) / 0xFFFF
    return full * (1 - jitter / 2)


class _Lane:
    """One target: at most one delivery on its way; rests after a failure, since what is down stays down for a while."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.thread: threading.Thread | None = None
        self.rest_until: datetime | None = None
        self.failures = 0

    def busy(self, now: datetime) -> bool:
        working = self.thread is not None and self.thread.is_alive()
        return working or (self.rest_until is not None and now < self.rest_until)


class DeliverStage:
    """Sends due deliveries, each target in a thread of its own, so that a slow receiver holds up nobody else.

    What was sent is written down after it was sent: killed in between, it is sent again under the same id. At most
    eight targets are served at once. `inline` sends within the tick.
    """

    name = "deliver"

    def __init__(self, store: HotStore, channels: Mapping[str, Channel], *, inline: bool = False) -> None:
        self._store = store
        self._lanes = {name: _Lane(channel) for name, channel in channels.items()}
        self._inline = inline
        self._stopping = threading.Event()
        self._swept = False
        self._handled = 0
        self._count = threading.Lock()
        self._log = structlog.get_logger("trimtab.deliver")

    def tick(self, now: datetime) -> int:
        """Start to send what is due; return how many deliveries were tried since the last tick."""
        if not self._swept:
            self._sweep()
            self._swept = True
        for name, lane in self._lanes.items():
            if lane.busy(now) or (not self._inline and self._at_work() >= _AT_ONCE):
                continue
            rows = self._store.due_deliveries(name, now, _LOT)
            if not rows:
                continue
            if self._inline:
                self._round(lane, rows, now)
                continue
            told = (lane, rows, now)
            lane.thread = threading.Thread(target=self._guarded, args=told, name=f"trimtab-{name}", daemon=True)
            lane.thread.start()
        return self._taken()

    def close(self) -> None:
        """Let what is on its way end and send nothing more. A second call does nothing."""
        self._stopping.set()
        for lane in self._lanes.values():
            if lane.thread is not None:
                lane.thread.join()
                lane.thread = None

    def _sweep(self) -> None:
        """Give up what waits for targets that the settings no longer have."""
        for project in self._store.projects():
            query: Query | None = Query(limit=1000, newest=False)
            while query is not None:
                page = self._store.deliveries(project.id, query, ("waiting",))
                lost = [row.record for row in page.rows if row.record.target not in self._lanes]
                if lost:
                    gone = [msgspec.structs.replace(each, state="failed", error="no_target") for each in lost]
                    self._store.commit({project.id: Writes(delivered=gone)})
                query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None

    def _guarded(self, lane: _Lane, rows: list[Stored[Delivery]], now: datetime) -> None:
        try:
            self._round(lane, rows, now)
        except Exception as error:  # noqa: BLE001  a thread's error has nobody else to tell
            self._rest(lane, now)
            told = error.message if isinstance(error, TrimtabError) else type(error).__name__
            self._log.error("deliveries could not be written down", error=told)

    def _round(self, lane: _Lane, rows: list[Stored[Delivery]], now: datetime) -> None:
        """Send in order, until one fails."""
        for row in rows:
            if self._stopping.is_set():
                return
            moved = self._sent(lane.channel, row.project_id, row.record, now)
            self._store.commit({row.project_id: Writes(delivered=[moved])})
            with self._count:
                self._handled += 1
            if moved.state != "sent":
                self._rest(lane, now)
                return
            lane.failures, lane.rest_until = 0, None

    def _sent(self, channel: Channel, project_id: str, delivery: Delivery, now: datetime) -> Delivery:
        """Try once, and return the delivery as it is then."""
        attempts = delivery.attempts + 1
        error = _tried(lambda: channel.send(project_id, delivery))
        if not error:
            return msgspec.structs.replace(delivery, state="sent", attempts=attempts, error="", sent_at=now)
        over = attempts >= MOST_ATTEMPTS or error == "status_410"  # gone, and it says so
        told = self._log.error if over else self._log.warning
        told("delivery failed", target=delivery.target, delivery_id=delivery.id, error=error, attempts=attempts)
        if over:
            return msgspec.structs.replace(delivery, state="failed", attempts=attempts, error=error)
        next_at = now + pause_after(attempts, delivery.id)
        return msgspec.structs.replace(delivery, attempts=attempts, error=error, next_at=next_at)

    def _rest(self, lane: _Lane, now: datetime) -> None:
        lane.failures += 1
        lane.rest_until = now + min(_FIRST_PAUSE / 2 * 2 ** min(lane.failures - 1, 10), _LONGEST_REST)

    def _at_work(self) -> int:
        return sum(lane.thread is not None and lane.thread.is_alive() for lane in self._lanes.values())

    def _taken(self) -> int:
        with self._count:
            done, self._handled = self._handled, 0
        return done


def _tried(send: Callable[[], None]) -> str:
    """Return the kind of what went wrong, or nothing; never its words, which may hold a URL."""
    try:
        send()
    except OutgoingError as error:
        return error.kind
    except Exception as error:  # noqa: BLE001  a channel's library may raise anything
        return type(error).__name__
    return ""
