"""Ingest workers and their engine are killed while events come in: what was acknowledged is stored, once, and clean."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import body
from tests.serving import ServerProcess
from trimtab.clock import SystemClock
from trimtab.ids import derived_id
from trimtab.store.hot.sqlite import open_sqlite

SEED = 20
KILLS = 12
SENDERS = 4
LOT = 20
ADDRESS = "jane.roe@example.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path, {"TRIMTAB_INGEST__WORKERS": "2"})
    made.start()
    yield made
    made.stop()


def below(pid: int) -> list[int]:
    """Return the processes that this one started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def workers(pid: int) -> list[int]:
    return [child for child in below(pid) if b"ingest-worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


class Sender:
    """Sends lots of events until it is told to stop; each lot again with the same ids until it is answered."""

    def __init__(self, server: ServerProcess, number: int) -> None:
        self._server = server
        self._number = number
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self.again = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        turn = 0
        while not self.stop.is_set():
            lot = [self._event(f"{self._number}-{turn}-{place}") for place in range(LOT)]
            ids = {event["id"] for event in lot}
            self.sent |= ids
            self._deliver(body(*lot))
            self.acknowledged |= ids
            turn += 1

    def _event(self, name: str) -> dict[str, Any]:
        return {
            "type": "inference",
            "id": derived_id("inference", name),
            "feature": "support",
            "created_at": SystemClock().now().isoformat(),
            "input": f"{name}: write to {ADDRESS}",
            "output": "I did.",
        }

    def _deliver(self, lot: bytes) -> None:
        while True:
            try:
                url, headers = f"{self._server.url}/v1/events", self._server.headers("ingest")
                answer = httpx.post(url, content=lot, headers=headers, timeout=60)
            except httpx.TransportError:
                self.again += 1
                time.sleep(0.01)  # the port is closed until the engine is back; nothing can be awaited before that
                continue
            if answer.status_code == 503:
                self.again += 1
                continue
            told = answer.json()
            assert answer.status_code == 200, told
            assert told["rejected"] == [], told
            assert told["accepted"] + told["duplicates"] == LOT
            return


@pytest.mark.slow
def test_kills_of_workers_and_engine_lose_nothing_acknowledged(server: ServerProcess) -> None:
    dice = random.Random(SEED)
    senders = [Sender(server, number) for number in range(SENDERS)]
    for sender in senders:
        sender.thread.start()
    for turn in range(KILLS):
        goal = sum(len(sender.acknowledged) for sender in senders) + dice.randrange(LOT, 20 * LOT)
        while sum(len(sender.acknowledged) for sender in senders) < goal:
            assert all(sender.thread.is_alive() for sender in senders), "a sender was answered what it cannot read"
            time.sleep(0.002)  # what others have acknowledged cannot be awaited
        running = workers(server.pid)
        if turn % 3 == 2:
            server.kill()
            _ended(running)
            server.start()
        elif running:
            os.kill(dice.choice(running), signal.SIGKILL)
    for sender in senders:
        sender.stop.set()
    for sender in senders:
        sender.thread.join(120)
        assert not sender.thread.is_alive()
    assert sum(sender.again for sender in senders) > 0  # the kills were felt
    server.stop()
    _everything_once(server.folder, senders)


def _ended(pids: list[int]) -> None:
    """Wait until the workers of a killed engine have ended by themselves."""
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "workers outlived their engine"
        time.sleep(0.01)  # they are no children of ours, so their end cannot be awaited


def _everything_once(folder: Path, senders: list[Sender]) -> None:
    store = open_sqlite(folder / "trimtab.db")
    try:
        rows = [row.record for row in store.inferences_after(0, 1_000_000)]
        stored = [record.id for record in rows]
        assert len(stored) == len(set(stored))
        assert set().union(*(sender.acknowledged for sender in senders)) <= set(stored)
        assert set(stored) <= set().union(*(sender.sent for sender in senders))
        assert not any(ADDRESS in str(record.input) for record in rows)
    finally:
        store.close()
