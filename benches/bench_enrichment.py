"""Whether enrichment keeps up with ingest: a real server on two cores, 5,000 events a second over HTTP, lag read live.

Run: `python benches/bench_enrichment.py [--seconds 60] [--rate 5000 2500] [--cores 2]`.

Three sender processes post batches of 100: conversations of two thousand people at once, three turns each on average,
one event in four a copy, a click, a thumb or a comment, a twentieth of them before its inference. The server is pinned
to the first cores, the senders to the others. Once a second `/metrics` is read: the rows that the enrich stage has not
read yet. Afterwards the time until nothing is left, and how many sessions, outcomes and orphans there are.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.clock import SystemClock  # noqa: E402
from trimtab.ids import new_id  # noqa: E402

SENDERS = 3
BATCH = 100
TALKS = 2000
CLOCK = SystemClock()
WORDS = [
    "where",
    "is",
    "my",
    "order",
    "it",
    "should",
    "have",
    "come",
    "last",
    "week",
    "please",
    "tell",
    "me",
    "when",
    "the",
    "parcel",
    "will",
    "be",
    "here",
    "the",
    "red",
    "one",
    "was",
    "too",
    "small",
    "can",
    "I",
    "send",
    "it",
    "back",
    "and",
    "how",
    "do",
    "I",
    "get",
    "my",
    "money",
    "refund",
    "address",
    "invoice",
    "delivery",
    "account",
    "password",
    "change",
]
LAG = re.compile(r'^trimtab_stage_lag_rows\{cursor="(enrich\.\w+)"\} ([\d.e+]+)', re.MULTILINE)


class Talks:
    """Conversations under way, and the next event of one of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._made = 0
        self._open = [self._fresh() for _ in range(TALKS)]
        self._late: list[dict[str, Any]] = []

    def batch(self) -> list[dict[str, Any]]:
        """Return the next events."""
        events, self._late = self._late, []
        while len(events) < BATCH:
            events.append(self._turn(events))
        return events

    def _fresh(self) -> tuple[str, str]:
        self._made += 1
        return f"talk-{self._seed}-{self._made}", f"user-{self._random.randrange(50_000)}"

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))

    def _turn(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        draw = self._random
        place = draw.randrange(TALKS)
        session, user = self._open[place]
        if draw.random() < 1 / 3:
            self._open[place] = self._fresh()
        now = CLOCK.now()
        answer = {
            "type": "inference",
            "id": new_id(now),
            "feature": "support",
            "created_at": now.isoformat(),
            "input": "Thanks, that helped!" if draw.random() < 0.05 else self._words(25),
            "output": self._words(80),
            "session_id": session,
            "user_id": user,
            "model": "model-1",
            "version_id": "v_1",
            "profile": {"plan": draw.choice(["free", "pro", "team"])},
        }
        said = draw.random()
        if said < 1 / 3:
            kind = "copy" if said < 0.2 else "click" if said < 0.25 else "comment" if said < 0.27 else "thumb"
            word: dict[str, Any] = {
                "type": "feedback",
                "id": new_id(now),
                "kind": kind,
                "created_at": now.isoformat(),
                "inference_id": answer["id"],
                "user_id": user,
            }
            if kind == "thumb":
                word["value"] = int(draw.random() < 0.7)
            if kind == "comment":
                word["text"] = self._words(12)
            if draw.random() < 0.05:  # the word goes ahead, its inference in the next batch
                self._late.append(answer)
                return word
            events.append(word)
        return answer


def send(url: str, key: str, seed: int, rate: float, seconds: float, told: Any) -> None:
    """Post batches at this sender's share of the rate; hand back how many events were acknowledged, and how soon."""
    parts = urlsplit(url)
    wire = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    talks, accepted, waits = Talks(seed), 0, []
    gap, began = BATCH / rate, time.monotonic()
    for turn in range(int(seconds / gap)):
        time.sleep(max(0.0, began + turn * gap - time.monotonic()))
        body = json.dumps(talks.batch())
        at = time.monotonic()
        wire.request("POST", "/v1/events", body, headers)
        answer = json.loads(wire.getresponse().read())
        waits.append(time.monotonic() - at)
        accepted += answer["accepted"]
        assert not answer["rejected"], answer["rejected"][:1]
    told.send((accepted, time.monotonic() - began, waits))


def lag(url: str) -> int:
    """Return how many events the enrich stage has not read yet."""
    parts = urlsplit(url)
    wire = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    wire.request("GET", "/metrics")
    text = wire.getresponse().read().decode()
    wire.close()
    return int(sum(float(value) for _, value in LAG.findall(text)))


def measure(seconds: float, rate: float, cores: int) -> dict[str, Any]:
    """Run it once."""
    every = sorted(os.sched_getaffinity(0))
    served, rest = set(every[:cores]), set(every[cores:]) or set(every)
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        os.sched_setaffinity(0, served)
        server.start()
        os.sched_setaffinity(0, rest)
        lanes, ends = [], []
        for seed in range(SENDERS):
            mine, theirs = multiprocessing.Pipe()
            told = (server.url, server.keys["ingest"], seed, rate / SENDERS, seconds, theirs)
            lanes.append(multiprocessing.Process(target=send, args=told))
            ends.append(mine)
        for lane in lanes:
            lane.start()
        began, lags = time.monotonic(), []
        while any(lane.is_alive() for lane in lanes):
            lags.append(lag(server.url))
            time.sleep(1.0)
        done = [end.recv() for end in ends]
        ended, left = time.monotonic(), lag(server.url)
        while lag(server.url):
            time.sleep(0.05)
        drained = time.monotonic() - ended
        server.stop()
    accepted = sum(each[0] for each in done)
    waits = sorted(wait for each in done for wait in each[2])
    took = max(each[1] for each in done)
    return {
        "asked_per_s": rate,
        "cores": cores,
        "seconds": round(ended - began, 1),
        "events": accepted,
        "events_per_s": round(accepted / took, 1),
        "batch_ms_median": round(1000 * statistics.median(waits), 1),
        "batch_ms_p99": round(1000 * waits[int(0.99 * len(waits))], 1),
        "lag_rows_median": statistics.median(lags),
        "lag_rows_most": max(lags),
        "lag_rows_at_end": left,
        "drained_s": round(drained, 2),
        "lags": lags,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, nargs="+", default=[5000.0, 2500.0])
    parser.add_argument("--cores", type=int, default=2)
    told = parser.parse_args()
    before = machine()
    runs = []
    for rate in told.rate:
        found = measure(told.seconds, rate, told.cores)
        found["kept_up"] = found["events_per_s"] >= 0.98 * rate and found["lag_rows_at_end"] <= rate
        runs.append(found)
        print({key: value for key, value in found.items() if key != "lags"})
    rows = [key for key in runs[0] if key not in ("lags", "kept_up")]
    lines = [
        "# Enrichment",
        "",
        "Made by `python benches/bench_enrichment.py`; one run for each rate.",
        ", ".join(f"{key} {value}" for key, value in before.items()) + ".",
        "",
        "| what |" + " measured |" * len(runs),
        "|---|" + "---:|" * len(runs),
        *(f"| {key.replace('_', ' ')} | " + " | ".join(f"{run[key]:,}" for run in runs) + " |" for key in rows),
        "| keeps up: 98% of the rate, at most a second behind at the end | "
        + " | ".join("yes" if run["kept_up"] else "**no**" for run in runs)
        + " |",
        "",
    ]
    results = ROOT / "benches" / "results"
    (results / "enrichment.md").write_text("\n".join(lines), encoding="utf-8")
    (results / "enrichment.json").write_text(json.dumps({**before, "runs": runs}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
