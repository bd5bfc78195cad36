"""How long a document that goes wrong does harm: from its first answer to proof, over HTTP, with a sample app.

Run: `python benches/bench_knowledge.py [--worlds 20]`.

A shop answers from seven documents; after a day one of them says 30 days for 14. 40 people an hour ask nine questions,
three of them about that document, 70% vote, and who was told wrong says the right answer. Nobody helps. Time is
simulated, everything else is real: the server, the SDK, the app's own index. Told are hours and votes since the
document went wrong until the incident opened, the candidate was shown, it was everyone's, the app's index was seen to
find the entry, and votes proved that the incident is over; and whether each world went the whole way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from tests.http.rag_app import DOCUMENTS, FEATURE, RIGHT, RagApp  # noqa: E402
from tests.http.test_knowledge import SETTINGS  # noqa: E402
from tests.live import NOW, live  # noqa: E402
from trimtab.client import Client  # noqa: E402
from trimtab.clock import SetClock  # noqa: E402

RESULTS = ROOT / "benches" / "results"
STAGES = ("incident", "shown", "everyone's", "found in the index", "proven by votes")
MOST_HOURS = 400
HEALTHY_HOURS = 24


def reached(items: Any) -> str:
    """Return the furthest stage that the world has come to."""
    changes = items("/v1/changes")
    states = {change["state"] for change in changes}
    if any(each.get("resolution") == "verified" for each in items("/v1/incidents")) and "verified" in states:
        return STAGES[4]
    patches = items("/v1/knowledge/patches")
    if patches and all(each["state"] == "verified" for each in patches):
        return STAGES[3]
    if states & {"promoted", "verified"}:
        return STAGES[2]
    if any(change["exposed_at"] for change in changes if change.get("exposed_at")):
        return STAGES[1]
    return STAGES[0] if items("/v1/incidents") else ""


def lived(folder: Path, seed: int) -> dict[str, Any]:
    """Let one world live until its incident is proven over; return when each stage was reached, and after what."""
    clock = SetClock(NOW)
    found: dict[str, Any] = {"seed": seed}
    with live(folder, SETTINGS, clock=clock) as server, server.client() as admin:
        admin.put(f"/v1/features/{FEATURE}").raise_for_status()

        def items(path: str) -> list[dict[str, Any]]:
            return list(admin.get(path, params={"limit": 1000}).raise_for_status().json()["items"])

        told: dict[str, Any] = {"spool_dir": folder / "spool", "refresh_s": 0.02, "resolve_timeout_s": 30.0}
        with Client(server.url, server.keys["ingest"], clock=clock.now, **told) as client:
            app = RagApp(server, client, clock, seed=seed)
            app.index.documents["returns"] = RIGHT["returns"]
            for _ in range(HEALTHY_HOURS):
                app.hour(answers=40)
            found["too_early"] = len(items("/v1/incidents"))
            app.index.documents["returns"] = DOCUMENTS["returns"]
            wrong, app.votes, app.bad_votes = clock.now(), 0, 0
            while STAGES[4] not in found:
                app.hour(answers=40)
                stage = reached(items)
                if stage in STAGES[2:]:
                    client.index(app.index.write, retrieve=lambda q, k: [name for name, _ in app.index.search(q, k)])
                    stage = reached(items)
                hours = (clock.now() - wrong).total_seconds() / 3600
                for each in STAGES[: STAGES.index(stage) + 1] if stage else ():
                    found.setdefault(each, {"hours": hours, "votes": app.votes, "bad": app.bad_votes})
                if hours >= MOST_HOURS:
                    break
        first = [name for name, _ in app.index.search("Until when can I send my bike back?", 1)]
        found["index_is_right"] = bool(first) and app.index.documents[first[0]].endswith(RIGHT["returns"])
        found["changes"] = [(each["kind"], each["state"]) for each in items("/v1/changes")]
    return found


def spread(values: list[float]) -> str:
    values = sorted(values)
    return f"{statistics.median(values):g} ({values[0]:g} to {values[-1]:g})" if values else "-"


def main() -> None:
    """Measure, print, and write benches/results/knowledge.json and knowledge.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    worlds = parser.parse_args().worlds
    ran_on, began, results = machine(), time.monotonic(), []
    for seed in range(worlds):
        with tempfile.TemporaryDirectory() as folder:
            results.append(lived(Path(folder), seed))
        print(json.dumps(results[-1]), flush=True)
    whole = sum(STAGES[4] in each and each["index_is_right"] for each in results)
    early = sum(bool(each["too_early"]) for each in results)
    lines = [
        "# A document that goes wrong, until votes prove that it is mended",
        "",
        f"`python benches/bench_knowledge.py --worlds {worlds}`, {(time.monotonic() - began) / 60:.1f} minutes.",
        f"{ran_on['processor']}, {ran_on['cores']} cores (load {ran_on['load_before']}), Python {ran_on['python']}.",
        "",
        f"{whole} of {worlds} worlds went the whole way, {early} had an incident in the {HEALTHY_HOURS} hours before.",
        "Median (least to most) over the worlds that came so far:",
        "",
        "| | worlds | hours since it went wrong | votes cast since | of them down |",
        "|---|---|---|---|---|",
    ]
    for stage in STAGES:
        come = [each[stage] for each in results if stage in each]
        told = " | ".join(spread([each[name] for each in come]) for name in ("hours", "votes", "bad"))
        lines.append(f"| {stage} | {len(come)} | {told} |")
    lines += ["", "Hours are whole: the engine works after each hour of 40 answers, a third about the wrong document."]
    report = {"worlds": worlds, "whole": whole, "results": results, "machine": ran_on}
    (RESULTS / "knowledge.json").write_text(json.dumps(report, indent=2) + "\n")
    (RESULTS / "knowledge.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(0 if whole == worlds else 1)


if __name__ == "__main__":
    main()
