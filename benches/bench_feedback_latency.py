"""How soon feedback can be read by API after it was acknowledged: a real server with its stages, 500 events a second.

Run: `python benches/bench_feedback_latency.py [--seconds 30]`.

One process sends batches of inferences and thumbs over four connections, half of the thumbs before their inference; a
second one polls, and notes when each thumb first stands in `GET /v1/feedback`, and in the evidence of its inference in
`GET /v1/outcomes`. A delay counts from the acknowledgement: the thumb's own, and for the second from the later of both.
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
from collections.abc import Callable
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
PAGE = 50
BAR_MS = 50.0
SINGLE_S = 5.0
SINGLE_CONNECTIONS = 16
CLOCK = SystemClock()

Acks = dict[str, tuple[float, float, str]]
"""By the id of a thumb: when it was acknowledged, when both it and its inference were, and its place in that order."""


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
        went: list[tuple[str, int, str]] = []
        while len(events) < BATCH:
            number = next(numbers)
            about = new_id(CLOCK.now())
            vote = thumb(about, number)
            events.append(vote)
            if number % 2:
                went.append((about, number, vote["id"]))
            else:
                events.append(inference(about, number))
                told.append(vote["id"])
        receipt = wire.ask("POST", "/v1/events", events)
        acked = time.monotonic()
        assert receipt["accepted"] == len(events), receipt
        acks.update(dict.fromkeys(told, (acked, acked, "with or after its inference")))
        acks.update({said: (own, acked, "before its inference") for said, own in late})
        owed = [(*each, acked) for each in went]


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
    """Notes when each thumb is first read from a list, newest first."""

    def __init__(self, url: str, key: str, path: str, ids: Callable[[Any], list[str]]) -> None:
        self._wire = Wire(url, key)
        self._path = path
        self._ids = ids
        self.seen: dict[str, float] = {}

    def poll(self) -> None:
        """Read back to what was read before."""
        after = ""
        while True:
            page = self._wire.ask("GET", f"{self._path}?limit={PAGE}{after}")
            now = time.monotonic()
            found = [each for item in page["items"] for each in self._ids(item)]
            new = [each for each in found if each not in self.seen]
            self.seen.update(dict.fromkeys(new, now))
            if page["next"] is None or len(new) < len(found) or not found:
                return
            after = f"&after={page['next']}"


def delays(url: str, key: str, seconds: float) -> tuple[dict[str, list[float]], int]:
    """Return milliseconds from acknowledgement to being read, by list and order, and how often both were polled."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=sender, args=(url, key, seconds, theirs))
    listed = Poller(url, key, "/v1/feedback", lambda item: [item["id"]])
    joined = Poller(url, key, "/v1/outcomes", lambda item: [each["feedback_id"] for each in item["evidence"]])
    process.start()
    acks: Acks = {}
    rounds, end = 0, float("inf")
    while time.monotonic() < end:
        listed.poll()
        joined.poll()
        rounds += 1
        if not acks and mine.poll(POLL_S):
            acks = mine.recv()
            end = time.monotonic() + 2.0
    process.join()
    found: dict[str, list[float]] = {}
    for name, poller in (("stored", listed), ("joined", joined)):
        for each, (own, both, order) in acks.items():
            assert each in poller.seen, f"{each} was acknowledged and is not in the list: {name}"
            found.setdefault(f"{name}, {order}", []).append(
                max(0.0, poller.seen[each] - (own if name == "stored" else both)) * 1000
            )
    return found, rounds


def single(url: str, key: str) -> tuple[float, list[float]]:
    """Return single thumbs answered a second over all connections, and the milliseconds of each."""
    took: list[float] = []
    numbers = count()
    end = time.monotonic() + SINGLE_S

    def post() -> None:
        wire = Wire(url, key)
        while time.monotonic() < end:
            began = time.monotonic()
            wire.ask("POST", "/v1/feedback", thumb(new_id(CLOCK.now()), next(numbers)))
            took.append((time.monotonic() - began) * 1000)

    lanes = [threading.Thread(target=post) for _ in range(SINGLE_CONNECTIONS)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    return len(took) / SINGLE_S, took


def at(share: float, values: list[float]) -> float:
    """Return the value that `share` of the values are not above."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


def row(name: str, values: list[float], bar: float | None) -> dict[str, Any]:
    p99 = at(0.99, values)
    met = {} if bar is None else {"bar_ms": bar, "met": p99 <= bar}
    return {"what": name, "n": len(values), "p50_ms": at(0.5, values), "p99_ms": p99, "max_ms": at(1, values), **met}


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} x {model}, load {os.getloadavg()[0]:.1f} at the start; Python {platform.python_version()}"


def table(report: dict[str, Any]) -> str:
    lines = [
        "# From acknowledged to readable",
        "",
        f"{report['machine']}. {report['rate']} events a second for {report['seconds']:g} s, half of them thumbs;",
        f"stages running; both lists polled {report['polls_per_s']} times a second by another process.",
        "",
        "| delay of a thumb | n | p50 ms | p99 ms | max ms | bar (p99) |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for each in report["rows"]:
        bar = f"{each['bar_ms']:g} ms: {'met' if each['met'] else 'NOT met'}" if "met" in each else ""
        lines.append(
            f"| {each['what']} | {each['n']} | {each['p50_ms']} | {each['p99_ms']} | {each['max_ms']} | {bar} |"
        )
    lines += [
        "",
        "*stored*: in `GET /v1/feedback`, from its acknowledgement; *joined*: in the evidence of its inference in",
        "`GET /v1/outcomes`, from the later of both acknowledgements. The pause between polls is part of it.",
        "",
        f"Single thumbs, one a request over {SINGLE_CONNECTIONS} connections: {report['single_per_s']} a second.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the table and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    told = machine()
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), {"TRIMTAB_LOGGING__LEVEL": "warning"})
        server.start()
        try:
            found, rounds = delays(server.url, server.keys["admin"], seconds)
            per_s, took = single(server.url, server.keys["ingest"])
        finally:
            server.stop()
    rows = [row(name, values, BAR_MS) for name, values in sorted(found.items())]
    rows.append(row("answer to a single post, 16 at once", took, None))
    report = {
        "machine": told,
        "rate": round(
            2 * len(found["joined, before its inference"] + found["joined, with or after its inference"]) / seconds
        ),
        "seconds": seconds,
        "polls_per_s": round(rounds / (seconds + 2)),
        "single_per_s": round(per_s),
        "rows": rows,
    }
    print(table(report))
    results = Path(__file__).resolve().parent / "results"
    (results / "feedback_latency.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (results / "feedback_latency.md").write_text(table(report), encoding="utf-8")


if __name__ == "__main__":
    main()
