"""How long velocity, the digest and the gauges take over much history, beside a tenth and a hundredth of it.

Run: `python benches/bench_velocity.py [--rows 1000000] [--repeats 7]`.

Invented judgements of 35 days over six features, six groups each, a fifth of them votes of known people, straight into
the store; with each 50 an incident and a change, in any state, up to 20,000 of both. Nothing is asked over HTTP.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from trimtab.ids import new_id  # noqa: E402
from trimtab.measure.digest import digest  # noqa: E402
from trimtab.measure.pace import pace_of, read_history  # noqa: E402
from trimtab.measure.velocity import velocity  # noqa: E402
from trimtab.records import Change, Feature, Incident, Outcome, Project, Redacted  # noqa: E402
from trimtab.store.hot.sqlite import open_sqlite  # noqa: E402
from trimtab.store.ports import HotStore, Writes  # noqa: E402

P = "bench"
END = datetime(2026, 3, 31, tzinfo=UTC)
DAYS = 35
START = END - timedelta(days=DAYS)
FEATURES = ("support", "search", "summary", "mail", "voice", "legacy")
PLANS, LOCALES = ("free", "pro", "team"), ("en", "de", "fr")
LOT = 5_000
MOST_INCIDENTS = 20_000


def build(store: HotStore, rows: int, draw: random.Random) -> None:
    """Write `rows` judgements in the order of time, and incidents with changes beside them."""
    features = [Redacted(Feature(name=name, created_at=START), "bench") for name in FEATURES]
    store.commit({P: Writes(projects=[Project(id=P, created_at=START)], features=features)})
    for begin in range(0, rows, LOT):
        store.commit({P: Writes(outcomes=[judged(n, rows, draw) for n in range(begin, min(rows, begin + LOT))])})
    count = min(MOST_INCIDENTS, rows // 50)
    for begin in range(0, count, LOT):
        made = [told(n, count, draw) for n in range(begin, min(count, begin + LOT))]
        store.commit({P: Writes(incidents=[each[0] for each in made], changes=[each[1] for each in made])})


def judged(number: int, rows: int, draw: random.Random) -> Outcome:
    at = START + timedelta(days=DAYS) * (number / rows)
    voted = draw.random() < 0.2
    bad = draw.random() < 0.1
    said: dict[str, Any] = {}
    if voted:
        said = {"vote": float(bad), "voter_id": f"u{draw.randrange(rows // 10)}", "voted_at": at}
    return Outcome(
        inference_id=new_id(at), feature=draw.choice(FEATURES), created_at=at, judged_at=at,
        p_bad=0.9 if bad else 0.2, confidence=0.5, tier="A", evidence=[], version_id=f"v{number * 5 // rows}",
        segments={"plan": draw.choice(PLANS), "locale": draw.choice(LOCALES)}, **said,
    )  # fmt: skip


def told(number: int, count: int, draw: random.Random) -> tuple[Incident, Change]:
    at = START + timedelta(days=DAYS) * (number / count)
    feature, hour = draw.choice(FEATURES), timedelta(hours=1)
    done = draw.random() < 0.6
    incident = Incident(
        id=new_id(at), feature=feature, version_id=f"v{number * 5 // count}", monitor_id=new_id(at),
        state="resolved" if done else "firing", onset_at=at, first_signal_at=at, detected_at=at + hour, reference=0.1,
        observed=0.3, events=50, negatives=15, users=12, log_evidence=9.0, log_threshold=8.0,
        segment={"plan": draw.choice(PLANS)}, resolved_at=at + 72 * hour if done else None,
        resolution="verified" if done else None,
    )  # fmt: skip
    change = Change(
        id=new_id(at), feature=feature, kind="exemplar", state="verified" if done else "canary", created_at=at + hour,
        base_version_id="v0", candidate_version_id=f"v{number * 5 // count}", incident_id=incident.id,
        exposed_at=at + 2 * hour, verified_at=at + 72 * hour if done else None,
    )  # fmt: skip
    return incident, change


def took(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return the median and the worst of `repeats` runs, in milliseconds."""
    spans = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        spans.append(1000 * (time.perf_counter() - began))
    return {"median_ms": round(statistics.median(spans), 1), "max_ms": round(max(spans), 1)}


def measured(rows: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_sqlite(Path(folder) / "hot.db")
        build(store, rows, random.Random(7))
        week = END - timedelta(days=7)
        found = {
            "velocity": took(lambda: velocity(store, P, since=START, until=END), repeats),
            "digest": took(lambda: digest(store, P, since=week, until=END), repeats),
            "gauges": took(lambda: pace_of(read_history(store, P, END, None), START, END, None), repeats),
        }
        store.close()
    print(f"{rows:,}: {found}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    sizes = [asked.rows // 100, asked.rows // 10, asked.rows]
    report = {
        "command": f"python benches/bench_velocity.py --rows {asked.rows} --repeats {asked.repeats}",
        "machine": machine(),
        "repeats": asked.repeats,
        "by_rows": {str(rows): measured(rows, asked.repeats) for rows in sizes},
    }
    file = ROOT / "benches" / "results" / "velocity.json"
    file.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
