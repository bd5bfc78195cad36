"""How soon a run starts after the vote that crosses a feature's threshold: a real server under 500 events a second.

Run: `python benches/bench_reaction.py [--crossings 60]`.

Every seeded feature has one bad vote too few for an alarm (counted out with the engine's own monitor). While another
process sends 500 events a second about other features, one vote at a time crosses one feature's threshold. Delays count
from the acknowledgement of that vote: until its run's first step has begun, until that step is stored, and until the
run has ended (gather, build, gate, expose).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import httpx  # noqa: E402

from benches.machine import machine  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.clock import SystemClock  # noqa: E402
from trimtab.config import Monitoring  # noqa: E402
from trimtab.detect.watch import Sample, Watch  # noqa: E402
from trimtab.ids import new_id  # noqa: E402
from trimtab.records import Monitor  # noqa: E402

CLOCK = SystemClock()
RATE = 500
BATCH = 24
REFERENCE = 0.05
BAR_S = 1.0
WARM_UP_S = 5.0
PATIENCE_S = 60.0
MONITORING = Monitoring(reference_rate=REFERENCE)


def votes_needed() -> int:
    """Return after how many bad votes of as many people the engine's own monitor raises the alarm."""
    now = CLOCK.now()
    monitor = Monitor(
        id=new_id(now), feature="f", version_id="v", reference_kind="target", created_at=now, reference=REFERENCE
    )
    watch = Watch(monitor, MONITORING)
    for count in range(1, 1000):
        if watch.take(Sample(1.0, f"u-{count}", now), now) is not None:
            return count
    raise AssertionError("a thousand bad votes raise no alarm")


def answer(feature: str, user: str, text: str) -> dict[str, Any]:
    now = CLOCK.now()
    return {
        "type": "inference",
        "id": new_id(now),
        "feature": feature,
        "created_at": now.isoformat(),
        "input": text,
        "output": "I cannot say.",
        "user_id": user,
    }


def said(inference: dict[str, Any], **told: Any) -> dict[str, Any]:
    now = CLOCK.now()
    about = {"inference_id": inference["id"], "user_id": inference["user_id"]}
    return {"type": "feedback", "id": new_id(now), "created_at": now.isoformat(), **about, **told}


def load(url: str, key: str, stop: Any, sent: Any) -> None:
    """Send 500 events a second, answers and votes of which one in a hundred is bad, until told to stop."""
    dice = random.Random(11)
    gap = BATCH / RATE
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        began, turn = time.monotonic(), 0
        while not stop.is_set():
            time.sleep(max(0.0, began + turn * gap - time.monotonic()))
            turn += 1
            events: list[dict[str, Any]] = []
            while len(events) < BATCH:
                user = f"u-{dice.randrange(10**9)}"
                asked = answer(f"load-{dice.randrange(5)}", user, f"Where is my order {dice.randrange(10**6)}?")
                events += [asked, said(asked, kind="thumb", value=float(dice.random() > 0.01))]
            http.post("/v1/events", json=events).raise_for_status()
            sent.value += len(events)


def seed(http: httpx.Client, feature: str, votes: int) -> dict[str, Any]:
    """Bring a feature to one vote before its alarm; return the answer that the crossing vote is about."""
    events = []
    for number in range(votes - 1):
        asked = answer(feature, f"{feature}-{number}", f"How do I change setting {number} of {feature}?")
        events += [asked, said(asked, kind="correction", text=f"Open the page of setting {number}.")]
    last = answer(feature, f"{feature}-last", f"How do I reset {feature}?")
    http.post("/v1/events", json=[*events, last]).raise_for_status()
    return last


def runs_of(http: httpx.Client, feature: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/v1/runs", params={"feature": feature}).json()["items"]
    return found


def ended_run(http: httpx.Client, feature: str) -> dict[str, Any]:
    """Return the feature's run with its steps once it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = runs_of(http, feature)
        if found and found[0]["state"] != "running":
            run: dict[str, Any] = http.get(f"/v1/runs/{found[0]['id']}").json()
            return run
        time.sleep(0.05)
    raise AssertionError(f"{feature} has no run that ended within {PATIENCE_S} s")


def cross(http: httpx.Client, asked: dict[str, dict[str, Any]], gap_s: float) -> dict[str, datetime]:
    """Cast the votes that cross, one by one; return when each was acknowledged."""
    dice = random.Random(5)
    acked = {}
    for feature, about in asked.items():
        assert not runs_of(http, feature), f"{feature} had a run before its crossing vote"
        http.post("/v1/events", json=[said(about, kind="thumb", value=0.0)]).raise_for_status()
        acked[feature] = CLOCK.now()
        time.sleep(gap_s * dice.uniform(0.5, 1.5))
    return acked


def spread(values: list[float]) -> dict[str, float]:
    """Return n, median, 99th percentile and maximum in milliseconds."""
    ranked = sorted(values)
    return {
        "n": len(ranked),
        "p50_ms": round(1000 * ranked[len(ranked) // 2], 1),
        "p99_ms": round(1000 * ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))], 1),
        "max_ms": round(1000 * ranked[-1], 1),
    }


def measured(server: ServerProcess, crossings: int, gap_s: float) -> dict[str, Any]:
    votes = votes_needed()
    ends = threading.Event()
    with httpx.Client(base_url=server.url, headers=server.headers(), timeout=60) as http:
        asked = {f"cross-{number}": seed(http, f"cross-{number}", votes) for number in range(crossings)}
        spawn = multiprocessing.get_context("spawn")
        stop, sent = spawn.Event(), spawn.Value("i", 0)
        process = spawn.Process(target=load, args=(server.url, server.keys["ingest"], stop, sent))
        process.start()
        try:
            ends.wait(WARM_UP_S)
            began, before = time.monotonic(), sent.value
            acked = cross(http, asked, gap_s)
            rate = (sent.value - before) / (time.monotonic() - began)
            runs = {feature: ended_run(http, feature) for feature in asked}
        finally:
            stop.set()
            process.join()
    found: dict[str, list[float]] = {"begun": [], "stored": [], "ended": []}
    states: dict[str, int] = {}
    for feature, run in runs.items():
        first = run["steps"][0]
        times = {"begun": first["started_at"], "stored": first["ended_at"], "ended": run["ended_at"]}
        for name, at in times.items():
            found[name].append((datetime.fromisoformat(at) - acked[feature]).total_seconds())
        states[run["state"]] = states.get(run["state"], 0) + 1
    first_run = {name: round(1000 * values[0], 1) for name, values in found.items()}
    return {
        "votes_needed": votes,
        "events_per_s": round(rate),
        "states": states,
        "first_run_ms": first_run,
        **{name: spread(values) for name, values in found.items()},
    }


def main() -> None:
    """Measure, print, and write benches/results/reaction.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crossings", type=int, default=60)
    parser.add_argument("--gap", type=float, default=0.5, help="seconds between crossing votes, on average")
    told = parser.parse_args()
    ran_on = machine()
    settings = {"TRIMTAB_MONITORING__REFERENCE_RATE": str(REFERENCE), "TRIMTAB_LOGGING__LEVEL": "warning"}
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), settings)
        server.start()
        try:
            results = measured(server, told.crossings, told.gap)
        finally:
            server.stop()
            print(server.log()[-2000:])
    met = results["stored"]["p99_ms"] <= 1000 * BAR_S and results["events_per_s"] >= 0.95 * RATE
    report = {"bar": {"p99_s": BAR_S, "events_per_s": RATE}, "met": met, "results": results, "machine": ran_on}
    (ROOT / "benches" / "results" / "reaction.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
