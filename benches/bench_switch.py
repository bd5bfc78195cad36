"""How soon apps serve the old version again after a rollback: a real server, SDK clients listening or polling.

Run: `python benches/bench_switch.py [--clients 20] [--switches 100] [--polled 10]`.

A delay counts from the moment the rollback is asked for over HTTP, so it holds the commit and the answer's way, until
`client.resolve()` first gives the old version; one thread looks at all clients a thousand times a second. Besides: how
long the rollback itself takes to be answered, which it is once it is committed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import httpx  # noqa: E402

from benches.machine import machine  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.client import Client  # noqa: E402

FEATURE = "answer"
BAR_S = 2.0
ROLLBACK_BAR_S = 1.0
PATIENCE_S = 60.0


def await_version(clients: list[Client], version_id: str, since: float) -> list[float]:
    """Return after how many seconds each client first served the version."""
    left = dict(enumerate(clients))
    took: dict[int, float] = {}
    while left:
        for number, client in list(left.items()):
            found = client.resolve(user="u").version
            if found is not None and found.id == version_id:
                took[number] = time.monotonic() - since
                del left[number]
        assert time.monotonic() - since < PATIENCE_S, f"{len(left)} clients never served {version_id}"
        time.sleep(0.001)
    return [took[number] for number in sorted(took)]


def spread(values: list[float]) -> dict[str, float]:
    """Return n, median, 99th percentile and maximum in milliseconds."""
    ranked = sorted(values)
    return {
        "n": len(ranked),
        "p50_ms": round(1000 * ranked[len(ranked) // 2], 1),
        "p99_ms": round(1000 * ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))], 1),
        "max_ms": round(1000 * ranked[-1], 1),
    }


def measured(server: ServerProcess, folder: Path, *, clients: int, switches: int, stream: bool) -> dict[str, Any]:
    """Serve a new version and take it back, again and again."""
    dice = random.Random(7)
    delays: list[float] = []
    answered: list[float] = []
    made = [
        Client(
            server.url,
            server.keys["ingest"],
            feature=FEATURE,
            resolve_timeout_s=10,
            stream=stream,
            spool_dir=folder / f"{stream}-{number}",
        )
        for number in range(clients)
    ]
    with httpx.Client(base_url=server.url, headers=server.headers(), timeout=60) as http:
        versions = http.get(f"/v1/features/{FEATURE}/versions").json()["items"]
        old, new = versions[-2]["id"], versions[-1]["id"]
        rollback = f"/v1/features/{FEATURE}/rollback"
        for _ in range(switches):
            http.post(rollback, json={"version_id": new}).raise_for_status()
            await_version(made, new, time.monotonic())
            time.sleep(dice.random() * (0.2 if stream else 5.0))  # so that no client polls in step with us
            began = time.monotonic()
            http.post(rollback, json={"version_id": old}).raise_for_status()
            answered.append(time.monotonic() - began)
            delays += await_version(made, old, began)
    for client in made:
        client.close()
    return {"to_serve": spread(delays), "to_answer": spread(answered)}


def main() -> None:
    """Measure, print, and write benches/results/switch.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--polled", type=int, default=10, help="switches with polling, several seconds each")
    told = parser.parse_args()
    ran_on = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        server = ServerProcess(folder / "data")
        server.start()
        try:
            with httpx.Client(base_url=server.url, headers=server.headers(), timeout=60) as http:
                http.put(f"/v1/features/{FEATURE}").raise_for_status()
                for text in ("Be kind.", "Be rude."):
                    body = {"messages": [{"role": "system", "content": text}]}
                    http.post(f"/v1/features/{FEATURE}/versions", json=body).raise_for_status()
            results = {
                "stream": measured(server, folder, clients=told.clients, switches=told.switches, stream=True),
                "polling": measured(server, folder, clients=told.clients, switches=told.polled, stream=False),
            }
        finally:
            server.stop()
    met = (
        results["stream"]["to_serve"]["p99_ms"] <= 1000 * BAR_S
        and results["stream"]["to_answer"]["p99_ms"] <= 1000 * ROLLBACK_BAR_S
    )
    report = {
        "bars": {"stream_p99_s": BAR_S, "rollback_p99_s": ROLLBACK_BAR_S},
        "met": met,
        "clients": told.clients,
        "results": results,
        "machine": ran_on,
    }
    (ROOT / "benches" / "results" / "switch.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
