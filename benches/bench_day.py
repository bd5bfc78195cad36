"""One simulated day, a million inferences with all that people do with them, through a real server in ten minutes.

Run: `python benches/bench_day.py [--inferences 1000000] [--seconds 600] [--workers N] [--out FOLDER]`.

A real `trimtab serve` in a process of its own over a fresh directory, with default settings but for a free port; two
processes with two app servers each post to it over connections that stay open, every tenth of a second what has
happened since, as the SDK does. The load is open: what is late is not left out, and its lateness is told.

The day is compressed into the time it is played in: each event carries the time at which it occurred in the 24 hours
before the start, and events arrive in about that order. Counters, windows and sessions so see a day; the server's own
clock runs as clocks do, so what is due once an hour of its time is due once here. A session of the past counts as quiet
as soon as it is stored, so the engine closes most sessions more than once: more work than on a real day, not less.

Every two seconds `/metrics` is read, and /proc for processors and memory. At the end the bench waits until every stage
has read everything, and asks `/v1/reconcile` whether each count agrees, that of the senders included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.day_load import DAY_S, Ledger, Plan, play  # noqa: E402
from benches.machine import machine  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.clock import SystemClock  # noqa: E402

SAMPLE_S = 2.0
PATIENCE_S = 1800.0
LEAD_S = 7200.0  # conversations that go on past midnight must not lie in the future
CLOCK = SystemClock()
PLAYED_S = 560.0  # for a million: what is left of ten minutes is for the last conversations and the last rows
AFTER_S = 40.0  # ten minutes for a million, and as long after the last event for fewer
SAID = (
    "Each event carries its time of a day of 24 hours, played at a constant rate. Settings of the server: the defaults"
)
MEDIAN_S, MOST_S, DRAINED_S = 2.0, 15.0, 10.0
LAKE_S = 60.0  # rows gather for 30 s or until there are 10,000
TICK = os.sysconf("SC_CLK_TCK")
LINE = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([\d.e+-]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Watch:
    """What the server says and uses while the day is played."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._http = httpx.Client(base_url=server.url, headers=server.headers(), timeout=120)
        self.began = time.monotonic()
        self._cpu_before = self.cpu_s()
        self.samples: list[dict[str, Any]] = []

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return each metric's values by the values of their labels."""
        found: dict[str, dict[str, float]] = {}
        for name, labels, value in LINE.findall(self._http.get("/metrics").raise_for_status().text):
            key = ",".join(text for _, text in LABEL.findall(labels))
            found.setdefault(name, {})[key] = float(value)
        return found

    def lags(self) -> dict[str, int]:
        """Return how many rows each stage has not read, by cursor."""
        return {key: int(value) for key, value in self.metrics().get("trimtab_stage_lag_rows", {}).items()}

    def sample(self) -> dict[str, Any]:
        """Read everything once."""
        asked = time.monotonic()
        metrics = self.metrics()
        found = {
            "at_s": round(asked - self.began, 1),
            "accepted": int(metrics["trimtab_ingest_events_total"]["accepted"]),
            "lag": {key: int(value) for key, value in metrics["trimtab_stage_lag_rows"].items()},
            "cpu_s": round(self.cpu_s() - self._cpu_before, 1),
            "memory_mb": round(self.memory_mb()),
            "metrics_ms": round((time.monotonic() - asked) * 1000),
        }
        self.samples.append(found)
        return found

    def cpu_s(self) -> float:
        """Return the processor seconds of the server with every process below it, those that have ended included."""
        return sum(_cpu_s(pid) for pid in _family(self._server.pid))

    def memory_mb(self) -> float:
        """Return the resident memory of the server with every process below it."""
        return sum(_resident_kb(pid) for pid in _family(self._server.pid)) / 1024

    def sizes_mb(self) -> dict[str, float]:
        """Return what lies in the directory, by name."""
        return {
            entry.name: round(_bytes(entry) / 1e6, 1)
            for entry in sorted(self._folder.iterdir())
            if _bytes(entry) > 100_000
        }

    def reconciled(self, ledger: Ledger) -> dict[str, Any]:
        """Return the server's reconciliation with what the senders counted."""
        told = {"accepted": ledger.accepted, "duplicates": ledger.duplicates, "rejected": sum(ledger.rejected.values())}
        return dict(self._http.post("/v1/reconcile", json=told).raise_for_status().json())

    def get(self, path: str) -> Any:
        """Return what a route answers."""
        return self._http.get(path).raise_for_status().json()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(int(each) for each in fields[11:15]) / TICK
    return 0.0


def _resident_kb(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def _bytes(entry: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if entry.is_dir():
            return sum(_bytes(each) for each in entry.iterdir())
        return entry.stat().st_size
    return 0


def measure(told: argparse.Namespace) -> dict[str, Any]:
    """Play the day once and return what it came to."""
    plan = Plan(told.inferences, told.seconds or told.inferences / 1_000_000 * PLAYED_S, seed=told.seed)
    settings = {"TRIMTAB_INGEST__WORKERS": str(told.workers)} if told.workers is not None else {}
    with tempfile.TemporaryDirectory(dir=told.scratch) as name:
        folder = Path(name)
        server = ServerProcess(folder, settings)
        server.start()
        try:
            watch = Watch(server, folder)
            ledger, ended_s = _played(server, watch, plan)
            drained_s, left = _drained(watch, ended_s)
            found = _found(plan, watch, ledger, ended_s, drained_s, left)
            asked = time.monotonic()
            found["counts"] = watch.reconciled(ledger)
            judged = sum(
                pair["count"] for pair in found["counts"]["pairs"] if pair["name"].startswith("judgements that")
            )
            found["rates"] |= dict.fromkeys(("detect", "act", "vectorise.outcomes", "lake.outcomes"), judged / ended_s)
            found["counts_s"] = round(time.monotonic() - asked, 2)
            found["incidents"] = [_incident(each) for each in watch.get("/v1/incidents")["items"]]
        finally:
            server.stop()
            if told.log:
                print(server.log()[-5000:])
    return found


def _incident(each: dict[str, Any]) -> dict[str, Any]:
    return {name: each[name] for name in ("feature", "version_id", "state", "onset_at", "detected_at")}


def _played(server: ServerProcess, watch: Watch, plan: Plan) -> tuple[Ledger, float]:
    since = CLOCK.now() - timedelta(seconds=DAY_S + LEAD_S)
    ledger, last = Ledger(), 0.0
    for came in play(server.url, server.keys["ingest"], plan, since):
        if came is not None:
            ledger.add(came)
        if time.monotonic() - last >= SAMPLE_S:
            last = time.monotonic()
            _show(watch.sample())
    return ledger, time.monotonic() - watch.began


def _drained(watch: Watch, ended_s: float) -> tuple[dict[str, float], dict[str, int]]:
    """Wait until nothing is left to read; return after how many seconds each cursor stood at the end for good."""
    left = watch.lags()
    at: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_S
    calm = 0
    while time.monotonic() < deadline and calm < 4:
        lags = watch.lags()
        now = time.monotonic() - watch.began - ended_s
        for key, lag in lags.items():
            if lag:
                at.pop(key, None)
            else:
                at.setdefault(key, round(max(0.0, now), 1))
        calm = calm + 1 if not any(lags.values()) else 0
        if len(watch.samples) == 0 or time.monotonic() - watch.began - watch.samples[-1]["at_s"] >= SAMPLE_S:
            _show(watch.sample())
        time.sleep(0.25)
    return at, left


def _show(sample: dict[str, Any]) -> None:
    lags = " ".join(f"{key}={lag:,}" for key, lag in sample["lag"].items() if lag)
    print(
        f"{sample['at_s']:7.1f} s  {sample['accepted']:>9,} stored  {sample['cpu_s']:7.1f} CPU s  "
        f"{sample['memory_mb']:>6,} MB  behind: {lags or 'nothing'}",
        flush=True,
    )


def _found(
    plan: Plan, watch: Watch, ledger: Ledger, ended_s: float, drained_s: dict[str, float], left: dict[str, int]
) -> dict[str, Any]:
    millis = sorted(ledger.millis)
    playing = [each for each in watch.samples if each["at_s"] <= ended_s]
    events = ledger.accepted
    per_s = events / ended_s
    kept = {
        key: {
            "median": int(statistics.median(each["lag"].get(key, 0) for each in playing)),
            "most": max(each["lag"].get(key, 0) for each in playing),
            "at_end": left.get(key, 0),
            "drained_s": drained_s.get(key),
        }
        for key in left
    }
    return {
        "inferences": ledger.made.get("inference", 0),
        "feedback": ledger.made.get("feedback", 0),
        "planned_s": plan.seconds,
        "ended_s": round(ended_s, 1),
        "drained_s": round(max(drained_s.values(), default=0.0), 1),
        "events_per_s": round(per_s, 1),
        "senders_behind_s": round(ledger.behind_s, 2),
        "posts": ledger.posts,
        "post_ms_p50": round(millis[len(millis) // 2], 1),
        "post_ms_p99": round(millis[int(len(millis) * 0.99)], 1),
        "post_ms_most": round(millis[-1], 1),
        "server_cpu_s": watch.samples[-1]["cpu_s"],
        "server_cpu_us_per_event": round(watch.samples[-1]["cpu_s"] / events * 1e6, 1),
        "server_cores": round(watch.samples[-1]["cpu_s"] / watch.samples[-1]["at_s"], 2),
        "senders_cpu_s": round(ledger.cpu_s, 1),
        "memory_mb_most": max(each["memory_mb"] for each in watch.samples),
        "disk_mb": watch.sizes_mb(),
        "lag": kept,
        "rates": _rates(ledger, ended_s),
        "ledger": {key: value for key, value in _plain(ledger).items() if key != "millis"},
        "samples": watch.samples,
    }


def _rates(ledger: Ledger, ended_s: float) -> dict[str, float]:
    """Return how many rows a second each stream brought, by cursor."""
    made = {name: count / ended_s for name, count in ledger.made.items()}
    streams = {"inferences": made.get("inference", 0.0), "feedback": made.get("feedback", 0.0)}
    return {f"{room}.{name}": rate for room in ("enrich", "vectorise", "lake") for name, rate in streams.items()}


def bars(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Return what was wanted: what, wanted, got, whether it is met. Lags are told in seconds of the rate there was."""
    limit = PLAYED_S * found["inferences"] / 1_000_000 + AFTER_S
    total = found["ended_s"] + max(found["drained_s"], 0.0)
    rows = [
        ("played and everything read, s", f"<= {limit:,.0f}", f"{total:,.1f}", total <= limit),
        ("late senders, s", "<= 5", f"{found['senders_behind_s']:.2f}", found["senders_behind_s"] <= 5),
        ("lost, by the reconciliation", "0", f"{found['counts']['lost']:,}", found["counts"]["whole"]),
    ]
    for key, lag in found["lag"].items():
        lake = key.startswith("lake.")
        per_s = max(1.0, found["rates"].get(key, found["events_per_s"]))
        median, most = lag["median"] / per_s, lag["most"] / per_s
        got = f"{median:.2f} / {most:.2f} / {lag['drained_s']}"
        wanted = (LAKE_S, LAKE_S, LAKE_S) if lake else (MEDIAN_S, MOST_S, DRAINED_S)
        there = lag["drained_s"] is not None and lag["drained_s"] <= wanted[2]
        told = " / ".join(f"{each:g}" for each in wanted)
        rows.append((f"{key} behind, s: median / most / after the end", f"<= {told}", got,
                     median <= wanted[0] and most <= wanted[1] and there))  # fmt: skip
    return rows


def page(found: dict[str, Any], on: dict[str, Any], command: str) -> str:
    """Return the report as Markdown."""
    numbers = [
        ("inferences / feedback sent", f"{found['inferences']:,} / {found['feedback']:,}"),
        ("events stored a second", f"{found['events_per_s']:,.0f}"),
        ("requests; answered in ms, p50 / p99 / most",
         f"{found['posts']:,}; {found['post_ms_p50']} / {found['post_ms_p99']} / {found['post_ms_most']}"),
        ("server: processor s; us an event; cores",
         f"{found['server_cpu_s']:,.0f}; {found['server_cpu_us_per_event']:,.0f}; {found['server_cores']}"),
        ("senders: processor s", f"{found['senders_cpu_s']:,.0f}"),
        ("server: most memory, MB", f"{found['memory_mb_most']:,}"),
        ("on disk, MB", ", ".join(f"{name} {size:,.0f}" for name, size in found["disk_mb"].items())),
        ("reconciled in s", f"{found['counts_s']}"),
        ("incidents", "; ".join(f"{each['feature']} {each['version_id']} since {each['onset_at'][:16]}"
                                for each in found["incidents"]) or "none"),
    ]  # fmt: skip
    lines = ["# One simulated day", "", f"Made by `{command}`. One run.",
             ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in on.items()) + ".", "",
             f"{SAID}{found['differs']}.", "",
             "| what | wanted | got | |", "|---|---:|---:|---|"]  # fmt: skip
    lines += [f"| {what} | {wanted} | {got} | {'met' if met else '**not met**'} |"
              for what, wanted, got, met in bars(found)]  # fmt: skip
    lines += ["", "| what | |", "|---|---:|", *(f"| {what} | {value} |" for what, value in numbers), ""]
    lines += ["| every count, end to end | count | what became of it | difference |", "|---|---:|---|---:|"]
    for pair in found["counts"]["pairs"]:
        parts = ", ".join(f"{count:,} {name}" for name, count in pair["found"].items())
        told = f"{pair['difference']:,}" + ("" if pair["explained"] else " **unaccounted for**")
        lines.append(f"| {pair['name']} | {pair['count']:,} | {parts} | {told} {pair['note']} |")
    came = ", ".join(f"{count:,} {name}" for name, count in found["counts"]["received"].items())
    return "\n".join([*lines, "", f"Came in: {came}.", ""])


def _plain(ledger: Ledger) -> dict[str, Any]:
    return {name: getattr(ledger, name) for name in ledger.__struct_fields__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inferences", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, help=f"to play the day in; else {PLAYED_S:g} for each million")
    parser.add_argument("--workers", type=int, help="ingest workers; else as by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", help="where the fresh directory is made; else the system's")
    parser.add_argument("--log", action="store_true", help="show the end of the server's log")
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results")
    told = parser.parse_args()
    on = machine()
    found = measure(told)
    workers = f", but for `ingest.workers = {told.workers}`" if told.workers else ""
    found["differs"] = workers
    command = f"python benches/bench_day.py --inferences {told.inferences}"
    command += f" --seconds {told.seconds:g}" if told.seconds else ""
    command += f" --workers {told.workers}" if told.workers else ""
    text = page(found, on, command)
    print(text)
    (told.out / "day.md").write_text(text, "utf-8")
    (told.out / "day.json").write_text(json.dumps({**on, **found}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
