"""The thread that brings events to the server, and the queue before it.

Started by the first event, started anew in a forked child, flushed at exit. The queue is bounded by count and bytes:
when it is full the newest event is dropped and counted. A batch that cannot be delivered goes to the spool, and from
there to the server when it answers again. With the spool full or off, events wait in the queue.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from trimtab.client.delivery import cure, deliver, parted
from trimtab.client.ledger import Ledger, Stats
from trimtab.client.outbox import Limits, Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.client.delivery import Verdict
    from trimtab.client.outbox import Draft
    from trimtab.client.spool import Segment, Spool
    from trimtab.client.transport import Transport

__all__ = ["Worker"]

_IDLE_S = 30.0
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 15.0
_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()


class Worker:
    """Takes encoded events from any thread, delivers them from its own."""

    def __init__(
        self, transport: Transport, ledger: Ledger, limits: Limits, spool: Spool | None, *, durable: bool
    ) -> None:
        self._transport, self._ledger, self._limits, self._spool = transport, ledger, limits, spool
        self._durable = durable and spool is not None
        self._closed = False
        self._fresh()
        _WORKERS.add(self)

    def _fresh(self) -> None:
        """Set the state of a process in which nothing runs yet."""
        # Reentrant: a signal handler or a finalizer may record an event in the middle of recording one.
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._called = False
        self._outbox = Outbox(self._lock, self._ledger, self._limits)
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._wanted = self._flushed = 0
        self._failures = 0
        self._next_try = self._asked_until = 0.0
        self._probe = False
        self._quit = False

    # ------------------------------------------------------------ from the app's threads

    def offer(self, draft: Draft) -> None:
        """Take one event that is to be written later; returns within microseconds, and leaves the rest to the thread.

        Nothing is asked of the system here: where processes fork, `forget` runs by itself. Not for a durable client,
        whose events are on disk before the call returns.
        """
        if self._closed:
            self.put(draft[1](draft[2]))
            return
        waiting = self._outbox.add(draft, draft[0])
        if not self._called or not waiting or waiting >= self._limits.batch_events:
            self._call(waiting)

    def put(self, event: bytes) -> None:
        """Take one event; returns within microseconds, or after the spool's write when durable."""
        if self._pid != os.getpid():
            self.forget()
        if len(event) > self._limits.event_bytes:
            self._count()
            self._ledger.lose("too_large", 1, f"an event may have {self._limits.event_bytes} bytes")
        elif self._closed:
            self._count()
            self._put_late(event)
        elif self._durable and self._put_on_disk(event):
            self._count()
            self._call(1)
        else:
            self._call(self._outbox.add(event, len(event)))

    def _count(self) -> None:
        """Count one event that does not come to the outbox, which counts its own under the same lock."""
        with self._lock:
            self._ledger.recorded += 1

    def _call(self, waiting: int) -> None:
        """Have the thread look: when it does not know yet that there is something, and at once when a batch is full."""
        if not waiting:
            self._ledger.lose("queue_full", 1, "events come faster than they can be sent or spooled")
            return
        if self._thread is None:
            self._start()
        if not self._called:
            self._called = self._thread is not None
            self._wake.set()
        if waiting >= self._limits.batch_events and not self._failures and not self._hurry.is_set():
            self._hurry.set()

    def _put_on_disk(self, event: bytes) -> bool:
        if self._append([event]):
            return True
        self._ledger.warn("not_durable", "the spool takes no more; events are kept in memory only")
        return False

    def _put_late(self, event: bytes) -> None:
        """Leave an event that comes after the end, from another exit handler perhaps, to the next process."""
        if self._spool is not None and self._append([event]):
            self._spool.seal()
        else:
            self._ledger.lose("closed", 1, "the client is closed; record before close()")

    def flush(self, timeout_s: float) -> bool:
        """Send everything taken so far; say whether the server answered for all of it within `timeout_s`."""
        if self._pid != os.getpid():
            self.forget()
        if (self._thread is None or self._quit) and self._empty():
            return True
        with self._lock:
            self._wanted += 1
            ticket = self._wanted
            self._probe = True
        if self._thread is None:
            self._start()
        self._hurry.set()
        self._wake.set()
        with self._settled:
            self._settled.wait_for(lambda: self._flushed >= ticket or self._quit, timeout_s)
            return self._flushed >= ticket

    def close(self, timeout_s: float) -> bool:
        """Flush, stop the thread, and put what is left on disk. Returns what flush returned."""
        deadline = time.monotonic() + timeout_s
        self._closed = True
        clean = self.flush(timeout_s)
        self._quit = True
        self._hurry.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(deadline - time.monotonic(), 0.05))
        self._leave_nothing()
        return clean

    def close_at_exit(self) -> None:
        """Do at the end of the process what close() does, within the exit deadline."""
        if not self._closed:
            self.close(self._limits.exit_s)

    def _empty(self) -> bool:
        return not len(self._outbox) and not (self._spool and self._spool.used_bytes())

    def stats(self) -> Stats:
        """Return where everything is."""
        ledger = self._ledger
        with self._lock:
            queued = len(self._outbox)
        spooled = self._spool.used_bytes() if self._spool else 0
        return Stats(
            recorded=ledger.recorded,
            accepted=ledger.accepted,
            duplicates=ledger.duplicates,
            rejected=dict(ledger.rejected),
            lost=dict(ledger.lost),
            retries=ledger.retries,
            queued=queued,
            spooled_bytes=spooled,
        )

    def forget(self) -> None:
        """Start over in a forked child: what the parent holds, the parent delivers."""
        self._fresh()
        self._ledger.forget()
        self._transport.abandon()
        if self._spool:
            self._spool.forget()

    # ------------------------------------------------------------ the thread

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="trimtab-delivery", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self._leave_nothing()
                return
            self._thread = thread
        _close_with_multiprocessing()

    def _run(self) -> None:
        while not self._quit:
            self._wake.wait(self._patience())
            self._hurry.wait(self._limits.linger_s)
            self._wake.clear()
            self._hurry.clear()
            # Before the look at the queue: an event that finds it set is already there to be seen.
            self._called = False
            try:
                self._cycle()
            except Exception as error:  # noqa: BLE001 the thread must outlive any bug of ours
                self._ledger.warn("bug", f"delivery failed with {type(error).__name__}; please report it")
                self._back_off(None)
            if self._closed and self._failures:
                break
        with self._settled:
            self._quit = True
            self._settled.notify_all()
        self._transport.close()

    def _patience(self) -> float:
        """Return how long to sleep when nobody calls: until the next attempt, or the next look at the directory."""
        if self._failures:
            return max(self._next_try - time.monotonic(), 0.0)
        return _IDLE_S * _jitter()

    def _cycle(self) -> None:
        """Deliver all there is; when the server is away, put all there is on disk."""
        with self._lock:
            ticket, probe = self._wanted, self._probe
            self._probe = False
        now = time.monotonic()
        if self._failures and now < (self._asked_until if probe else self._next_try):
            self._spill()
            return
        if self._send_queue() and self._send_spool():
            with self._settled:
                self._flushed = max(self._flushed, ticket)
                self._settled.notify_all()

    def _send_queue(self) -> bool:
        """Deliver what is queued now; what comes meanwhile has its turn in the next cycle."""
        left = self._outbox.waiting()
        while left > 0 and (batch := self._outbox.take()):
            left -= len(batch)
            if not self._deliver(batch):
                self._outbox.put_back()
                self._spill()
                return False
            self._outbox.settle()
        return True

    def _send_spool(self) -> bool:
        if self._spool is None:
            return True
        self._spool.seal()
        for segment in self._spool.segments():
            try:
                if not self._send_segment(segment):
                    return False
            finally:
                segment.release()
            if not self._send_queue():
                return False
        return True

    def _send_segment(self, segment: Segment) -> bool:
        lines = segment.lines()
        if segment.torn:
            self._ledger.lose("torn", segment.torn, "a crash cut off what was being written")
        if not all(
            self._deliver(batch) for batch in parted(lines, self._limits.batch_events, self._limits.batch_bytes)
        ):
            return False
        segment.done()
        return True

    def _deliver(self, batch: Sequence[bytes]) -> bool:
        """Send one batch; say whether its events are settled, one way or the other."""
        losses = self._ledger.unreported()
        verdict = deliver(self._transport, batch, losses)
        if verdict.kind == "again":
            self._ledger.retry(verdict.cause)
            self._back_off(verdict.wait_s)
            return False
        self._failures = 0
        if verdict.kind == "done":
            self._ledger.reported(losses)
        return self._judge(verdict, batch)

    def _judge(self, verdict: Verdict, batch: Sequence[bytes]) -> bool:
        if verdict.kind == "done":
            self._ledger.settle(verdict.accepted, verdict.duplicates, dict(verdict.rejected))
        elif verdict.kind == "split" and len(batch) > 1:
            half = len(batch) // 2
            return self._deliver(batch[:half]) and self._deliver(batch[half:])
        else:
            self._ledger.lose(verdict.cause, len(batch), cure(verdict.cause))
        return True

    def _back_off(self, asked_s: float | None) -> None:
        self._failures += 1
        wait = min(_FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10), _LONGEST_WAIT_S) * _jitter()
        now = time.monotonic()
        self._asked_until = now + (asked_s or 0.0)
        self._next_try = max(now + wait, self._asked_until)

    # ------------------------------------------------------------ between queue, flight and disk

    def _spill(self) -> bool:
        """Move the queue to disk; False when some of it found no room there and stays in memory."""
        while self._spool is not None and (batch := self._outbox.take()):
            if self._outbox.put_back(self._append(batch)):
                return False
        return not self._outbox.waiting()

    def _append(self, batch: list[bytes]) -> int:
        assert self._spool is not None  # noqa: S101 for the type checker; callers have looked
        try:
            return self._spool.append(batch)
        except OSError as error:
            self._ledger.warn(f"spool:{error.errno}", f"cannot write to the spool ({type(error).__name__})")
            return 0

    def _leave_nothing(self) -> None:
        """Put what is in memory on disk, even what a hanging request holds (an id is stored once); count the rest."""
        with self._lock:
            self._outbox.put_back()
            if not self._spill():
                count = self._outbox.clear()
                self._ledger.lose("exit", count, "the server was away at exit and the spool was full or off")
        if self._spool is not None:
            self._spool.seal()


def _jitter() -> float:
    """Return a random factor from 0.5 to 1, so that a thousand clients do not knock at once."""
    return 0.5 + int.from_bytes(os.urandom(2), "big") / 131072


def _close_all() -> None:
    for worker in list(_WORKERS):
        worker.close_at_exit()


def _close_with_multiprocessing() -> None:
    """Have a child of multiprocessing deliver at its end: it leaves without running exit handlers."""
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _close_all, exitpriority=10)


def _after_fork_in_child() -> None:
    for worker in list(_WORKERS):
        worker.forget()


# Registered when the SDK is loaded, so that it runs after the exit handlers of the app, which come later and run first.
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
