"""What survives an outage of the server, and what the application feels of it: the SDK against the real server.

Run: `python benches/bench_outage.py [--events 20000] [--rate 500]`. Each scenario has a server and an application of
its own: healthy; the server down for the first half of the run; the same with the server hanging (stopped in the middle
of whatever it does, while its port goes on taking connections). In both, the server is killed with SIGKILL at three
quarters of the run and started again. All ids the application was given must be in the database, each once.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402 found by the line above, from wherever it is run
from tests.serving import ServerProcess  # noqa: E402

HERE = ROOT / "benches"
MEMORY_MB = 100.0
"""What the application may grow by: the SDK's queue holds 32 MiB at most, and Python keeps some of what it frees."""
P99_RATIO = 1.5
"""The p99 of a call under outage against the healthy run's; two healthy runs differ by about as much here."""


class Server(ServerProcess):
    """A server that can also be made to hang."""

    def hang(self) -> None:
        """Stop it where it stands; the kernel goes on taking connections to its port."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)


def healthy(server: Server, _seconds: float) -> None:
    """Leave the server alone."""


def down(server: Server, seconds: float) -> None:
    """Be away for the first half, then die once."""
    server.stop()
    time.sleep(seconds / 2)
    server.start()
    _die(server, seconds)


def hanging(server: Server, seconds: float) -> None:
    """Hang for the first half, then die once."""
    server.hang()
    time.sleep(seconds / 2)
    server.resume()
    _die(server, seconds)


def _die(server: Server, seconds: float) -> None:
    time.sleep(seconds / 4)
    server.kill()
    server.start()


SCENARIOS: dict[str, Callable[[Server, float], None]] = {"healthy": healthy, "down": down, "hanging": hanging}


def run(name: str, events: int, rate: int) -> dict[str, Any]:
    """Run one scenario and return its figures."""
    seconds = events / rate
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "server").mkdir()
        server = Server(folder / "server")
        server.start()
        trouble = threading.Thread(target=SCENARIOS[name], args=(server, seconds))
        ids = folder / "ids"
        command = [sys.executable, HERE / "capture" / "outage_app.py", server.url, server.keys["ingest"]]
        try:
            trouble.start()
            if name != "healthy":
                time.sleep(1.0)  # the outage is there before the application
            answer = subprocess.run(
                [*map(str, command), str(folder / "spool"), str(ids), str(events), str(rate)],
                env={"PYTHONPATH": str(ROOT / "src"), "HOME": directory},
                capture_output=True,
                text=True,
                check=False,
            )
            trouble.join()
        finally:
            server.stop()
        if answer.returncode:
            raise RuntimeError(f"the application failed:\n{answer.stderr[-2_000:]}")
        report = json.loads(answer.stdout)
        stored = ids_in(folder / "server" / "trimtab.db")
        given = ids.read_text("ascii").split()
    return figures(report, given, stored, seconds)


def ids_in(database: Path) -> list[str]:
    """Return the ids of all inferences and feedback in the server's database, as often as they are there."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute("SELECT hex(id) FROM inferences UNION ALL SELECT hex(id) FROM feedback").fetchall()
    connection.close()
    return [str(row[0]).lower() for row in rows]


def figures(report: dict[str, Any], given: list[str], stored: list[str], seconds: float) -> dict[str, Any]:
    """Return what was stored, what the calls took in each half, and the memory."""
    wanted = {name.replace("-", "") for name in given}
    times = list(zip(report["at_s"], report["call_us"], report["late_us"], strict=True))
    halves = {
        "all": times,
        "first_half": [told for told in times if told[0] < seconds / 2],
    }
    return {
        "events": len(given),
        "stored": len(wanted & set(stored)),
        "stored_twice": len(stored) - len(set(stored)),
        "flushed": report["flushed"],
        "flush_s": report["flush_s"],
        "stats": report["stats"],
        "start_mb": report["memory_mb"][0],
        "most_mb": max(report["memory_mb"]),
        "peak_mb": report["peak_mb"],
        **{
            half: {
                "p50_us": quantile([told[1] for told in chosen], 0.5),
                "p99_us": quantile([told[1] for told in chosen], 0.99),
                "max_us": max(told[1] for told in chosen),
                "late_p99_us": quantile([told[2] for told in chosen], 0.99),
            }
            for half, chosen in halves.items()
        },
    }


def quantile(values: list[float], share: float) -> float:
    """Return the empirical quantile."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def bars(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each bar with what was measured, and whether it is met."""
    made: list[dict[str, Any]] = []
    base = results["healthy"]["all"]["p99_us"]
    for name, told in results.items():
        whole = told["stored"] == told["events"] and not told["stored_twice"]
        measured = f"{told['stored']:,} of {told['events']:,}, {told['stored_twice']} twice"
        made.append({"bar": f"{name}: every event stored once", "measured": measured, "met": whole})
        grown = told["most_mb"] - told["start_mb"]
        text = f"{grown:.1f} MB more, peak {told['peak_mb']:.0f} MB"
        bar = f"{name}: grows by {MEMORY_MB:.0f} MB at most"
        made.append({"bar": bar, "measured": text, "met": grown <= MEMORY_MB})
        if name != "healthy":
            ratio = told["all"]["p99_us"] / base
            text = f"{told['all']['p99_us']:.0f} us, {ratio:.2f} x healthy"
            bar = f"{name}: p99 of a call at most {P99_RATIO} x the healthy run's"
            made.append({"bar": bar, "measured": text, "met": ratio <= P99_RATIO})
    return made


def page(report: dict[str, Any]) -> str:
    """Return the results as a page."""
    events, rate, on = report["events"], report["rate"], report["machine"]
    seconds = events / rate
    names = ["scenario", "stored once", "call p50 us", "p99 us", "longest us", "first half p99 us", "late p99 us"]
    names += ["start MB", "most MB", "peak MB", "flush s"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, told in report["results"].items():
        whole, first = told["all"], told["first_half"]
        cells = [
            name,
            f"{told['stored']:,} of {told['events']:,}",
            *(f"{whole[part]:.0f}" for part in ("p50_us", "p99_us", "max_us")),
            f"{first['p99_us']:.0f}",
            f"{whole['late_p99_us']:.0f}",
            f"{told['start_mb']:.1f}",
            f"{told['most_mb']:.1f}",
            f"{told['peak_mb']:.1f}",
            f"{told['flush_s']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    verdicts = [f"- {'met' if bar['met'] else 'NOT met'}: {bar['bar']}; {bar['measured']}" for bar in report["bars"]]
    intro = (
        f"{events:,} events at {rate} a second (four inferences of 400/600 characters, one thumb) against"
        f" `python -m trimtab serve`. `down`: no server for the first {seconds / 2:.0f} s. `hanging`: for as long its"
        f" process is stopped and its port takes connections. Both: SIGKILL at {seconds * 3 / 4:.0f} s, and a restart."
        " One run each."
    )
    footer = (
        f"Machine: {on['processor']}, {on['cores']} cores, load {on['load_before']} before the run, {on['system']},"
        f" Python {on['python']}."
    )
    parts = ["# Outages: what survives, and what the app feels", intro, "\n".join(lines), "## Bars"]
    return "\n\n".join([*parts, "\n".join(verdicts), footer]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="What survives an outage of the server.")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    told = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "events": told.events, "rate": told.rate, "results": {}}
    for name in SCENARIOS:
        print(f"scenario: {name}", file=sys.stderr)
        report["results"][name] = run(name, told.events, told.rate)
    report["bars"] = bars(report["results"])
    text = page(report)
    print(text)
    told.out.mkdir(exist_ok=True)
    (told.out / "outage.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (told.out / "outage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
