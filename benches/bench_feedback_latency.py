"""How soon feedback can be read by API after it was acknowledged: a real server, its stages running, 500 events a second.

Run: `python benches/bench_feedback_latency.py [--seconds 30]`.

One process sends batches of inferences and thumbs over four connections, half of the thumbs before their inference; a
second one polls, and notes when each thumb first stands in `GET /v1/feedback`, and in the evidence of its inference in
`GET /v1/outcomes`. The delay counts from the acknowledgement of the thumb, or of its inference where that came later.
It includes the pause of the poll and the answer's way back. Afterwards: single thumbs posted one by one, as fast as
they are answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.serving import ServerProcess  # noqa: E402
from trimtab.clock import SystemClock  # noqa: E402
from trimtab.ids import new_id  # noqa: E402

RATE = 500
BATCH = 10
CONNECTIONS = 4
POLL_S = 0.005
BAR_MS = 50.0
SINGLE_S = 5.0
SINGLE_CONNECTIONS = 16
CLOCK = SystemClock()

Acks = dict[str, tuple[float, str]]
"""By the id of a thumb: when both it and its inference were acknowledged, and which of them came first."""


class Wire:
    """One connection that stays open."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send one request and return the decoded answer."""
        raw = None if body is None else json.dumps(body)
        self._connection.request(method, path, raw, self._headers)
        answer = self._connection.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 200, told
        return told


def inference(inference_id: str, number: int) -> dict[str, Any]:
    return {
        "type": "inference",
        "id": inference_id,
        "feature": "support",
        "created_at": CLOCK.now().isoformat(),
        "input": f"Where is order {number}? " + "It should have come last week. " * 10,
        "output": "Look into the list of your orders. " * 15,
        "user_id": f"user-{number}",
    }


def thumb(inference_id: str, number: int) -> dict[str, Any]:
    now = CLOCK.now()
    return {
        "type": "feedback",
        "id": new_id(now),
        "kind": "thumb",
        "value": 0 if number % 10 == 0 else 1,
        "created_at": now.isoformat(),
        "inference_id": inference_id,
        "user_id": f"user-{number}",
    }


def send(url: str, key: str, seconds: float, lane: int, acks: Acks, numbers: Any) -> None:
    """Send batches on one connection at its share of the rate."""
    wire = Wire(url, key)
    gap = BATCH * CONNECTIONS / RATE
    began = time.monotonic() + lane * gap / CONNECTIONS
    owed: list[tuple[str, int, str, float]] = []
    for turn in range(int(seconds / gap)):
        time.sleep(max(0.0, began + turn * gap - time.monotonic()))
        events, told, late = [], [], []
        for about, number, said, at in owed:  # the thumbs of these went ahead in the batch before
            events.append(inference(about, number))
            late.append((said, at))
        owed = []
        while len(events) < BATCH - 1:
            number = next(numbers)
            about = new_id(CLOCK.now())
            vote = thumb(about, number)
            events.append(vote)
            if number % 2:
                owed.append((about, number, vote["id"], 0.0))
            else:
                events.append(inference(about, number))
                told.append(vote["id"])
        receipt = wire.ask("POST", "/v1/events", events)
        acked = time.monotonic()
        assert receipt["accepted"] == len(events), receipt
        acks.update({said: (acked, "with or after its inference") for said in told})
        acks.update({said: (acked, "before its inference") for said, _ in late})


def sender(url: str, key: str, seconds: float, answer: Any) -> None:
    """Send from all connections, and hand back when what was acknowledged."""
    acks: Acks = {}
    numbers = count()
    lanes = [
        threading.Thread(target=send, args=(url, key, seconds, lane, acks, numbers)) for lane in range(CONNECTIONS)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    answer.send(acks)


class Poller:
    """Notes when a row is first read from a list."""

    def __init__(self, url: str, key: str, path: str, ids: Any) -> None:
        self._wire = Wire(url, key)
        self._path = path
        self._ids = ids
        self._after = ""
        self.seen: dict[str, float] = {}

    def poll(self) -> None:
        """Read what is new."""
        page = self._wire.ask("GET", f"{self._path}?order=oldest&limit=1000{self._after}")
        now = time.monotonic()
        for item in page["items"]:
            for each in self._ids(item):
                self.seen.setdefault(each, now)
        if page["next"] is not None:
            self._after = f"&after={page['next']}"
