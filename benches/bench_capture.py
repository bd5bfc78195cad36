"""What recording costs the thread that calls: Trimtab's SDK and its peers, each in a process of its own, in one run.

Run: `python benches/bench_capture.py [--install DIR | --peers DIR] [--rounds 5]`. `--install` makes an environment for
the peers (`peers.txt`) and uses it; `--peers` uses one that is there; with neither only Trimtab and the floor run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benches.machine import machine  # noqa: E402 found by the line above, from wherever it is run

HERE = ROOT / "benches"
RATE = 1_000
FLOOR_RATIO, PEER_RATIO = 1.3, 3.0


class Row(NamedTuple):
    """One subject and what stands beside its figures."""

    name: str
    calls: str
    talks_to: str


OURS = [
    Row("nothing", "an empty call: the measuring itself", "nobody"),
    Row("append", "16 random bytes and a tuple into a deque", "SQLite, by a thread"),
    Row("floor", "UUID, time and a dict into a deque", "SQLite, by a thread"),
    Row("trimtab", "`record`, `thumb`", "sink: POST /v1/events"),
    Row("trimtab with", "`with inference(...)`, `thumb`", "sink: POST /v1/events"),
    Row("trimtab durable", "the first, with `durable=True`", "spool, then sink"),
]
PEERS = [
    Row("opentelemetry", "a span; it has no feedback", "sink: OTLP, protobuf"),
    Row("langfuse", "`start_observation`, `create_score`", "sink: OTLP; /api/public/scores"),
    Row("phoenix", "a span; `add_span_annotation`", "sink: OTLP; /v1/span_annotations"),
    Row("mlflow", "`start_span`, `log_feedback`", "sink: MLflow's REST API"),
    Row("opik", "`trace`, `log_traces_feedback_scores`", "sink: Opik's REST API"),
]


def install(directory: Path) -> None:
    """Make an environment of the bench's own with the peers in it."""
    venv.create(directory, with_pip=True)
    listed = str(HERE / "peers.txt")
    subprocess.run([directory / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", listed], check=True)


def run(python: Path, name: str, port: int, counts: tuple[int, int]) -> dict[str, Any]:
    """Run one subject once; return its report, with what the sink has seen of it."""
    with tempfile.TemporaryDirectory() as directory:
        arguments = [python, HERE / "capture" / "subject.py", name, f"http://127.0.0.1:{port}", directory]
        answer = subprocess.run(
            [*map(str, arguments), *map(str, counts), str(RATE)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OPIK_SENTRY_ENABLE": "false"},
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
    if answer.returncode:
        raise RuntimeError(f"{name} failed:\n{answer.stderr[-2_000:]}")
    report: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_seen", timeout=60) as told:
        seen = json.load(told)
    if seen["unknown"]:
        raise RuntimeError(f"{name} asked the sink for what it does not know: {seen['unknown']}")
    report["seen"] = report.get("stored") or [seen["inferences"], seen["feedback"]]
    return report


def quantile(values: list[int], share: float) -> float:
    """Return the empirical quantile of nanoseconds, in microseconds."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e3


def figures(report: dict[str, Any], phase: str) -> dict[str, float] | None:
    """Return the figures of one phase of one round."""
    told = report.get(phase)
    if told is None:
        return None
    sent, seen = (report["inferences"], 0) if phase == "inference" else (report["thumbs"], 1)
    return {
        "n": len(told["ns"]),
        "p50_us": quantile(told["ns"], 0.5),
        "p99_us": quantile(told["ns"], 0.99),
        "late_p99_us": quantile(told["late_ns"], 0.99) if told["late_ns"] else 0.0,
        "cpu_us": told["cpu_us"],
        "per_s": told["per_s"],
        "delivered": report["seen"][seen] / sent,
    }


def summary(rounds: list[dict[str, Any]], phase: str) -> dict[str, Any] | None:
    """Return each figure's median over the rounds, and its least and greatest."""
    each = [told for told in (figures(report, phase) for report in rounds) if told is not None]
    if not each:
        return None
    columns = {name: [told[name] for told in each] for name in each[0]}
    return {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in columns.items()
    }


def bars(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each bar with what was measured, and whether it is met."""
    made = []
    for phase in ("inference", "feedback"):
        p50 = {name: told[phase]["p50_us"]["median"] for name, told in results.items() if told[phase]}
        made.append(
            {
                "bar": f"{phase}: trimtab's p50 at most {FLOOR_RATIO} x the floor's",
                "measured": p50["trimtab"] / p50["floor"],
                "met": p50["trimtab"] <= FLOOR_RATIO * p50["floor"],
            }
        )
        peers = {row.name: p50[row.name] for row in PEERS if row.name in p50}
        if peers:
            best = min(peers, key=lambda name: peers[name])
            made.append(
                {
                    "bar": f"{phase}: trimtab's p50 at least {PEER_RATIO:.0f} x below the best peer's ({best})",
                    "measured": peers[best] / p50["trimtab"],
                    "met": peers[best] >= PEER_RATIO * p50["trimtab"],
                }
            )
    return made


def cell(told: dict[str, Any] | None, name: str, digits: int = 1) -> str:
    """Return median (least to greatest) of one figure."""
    if told is None:
        return "-"
    middle, least, most = (f"{told[name][part]:.{digits}f}" for part in ("median", "min", "max"))
    return f"{middle} ({least} to {most})"


def table(rows: list[Row], results: dict[str, dict[str, Any]]) -> str:
    """Return the table, one line per subject."""
    names = ["subject", "response p50 us", "p99 us", "thumb p50 us", "p99 us", "CPU us", "late p99 us", "delivered"]
    names += ["calls", "talks to"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        inference, feedback = results[row.name]["inference"], results[row.name]["feedback"]
        delivered = "-" if row.name == "nothing" else f"{inference['delivered']['median']:.0%}"
        cells = [
            row.name,
            cell(inference, "p50_us"),
            cell(inference, "p99_us", 0),
            cell(feedback, "p50_us"),
            cell(feedback, "p99_us", 0),
            cell(inference, "cpu_us", 0),
            cell(inference, "late_p99_us", 0),
            delivered,
            row.calls,
            row.talks_to,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(rows: list[Row], report: dict[str, Any]) -> str:
    """Return the results as a page."""
    told, versions = report["machine"], report["versions"]
    rounds, n = report["rounds"], report["n"]
    intro = (
        f"Medians of {rounds} rounds (least to greatest), {n['inferences']:,} inferences and {n['feedback']:,} thumbs a"
        f" round after 300 of each to warm up, paced at {RATE:,} a second, input 400 and output 600 characters. The"
        " order of the subjects is another in each round."
    )
    legend = (
        "`nothing` is the error of the measurement, contained in every figure. `CPU` is what the whole process used for"
        " an inference, the pacing included. `late` is how long after its time a call began: what the scheduler and the"
        " SDK's own threads take of the app between two calls. `delivered` is the share of inferences that the other"
        " side held at the end. The sink is a server of the bench's own that answers each protocol at once."
    )
    verdicts = [
        f"- {'met' if bar['met'] else 'NOT met'}: {bar['bar']}; measured {bar['measured']:.2f}"
        for bar in report["bars"]
    ]
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    footer = (
        f"Machine: {told['processor']}, {told['cores']} cores, load {told['load_before']} before the run,"
        f" {told['system']}, Python {told['python']}. "
        + (f"Versions: {listed}." if listed else "The peers are not installed: floor and Trimtab alone.")
    )
    title = "# Recording: time added to the calling thread"
    parts = [title, intro, table(rows, report["results"]), legend, "## Bars", "\n".join(verdicts), footer]
    return "\n\n".join(parts) + "\n"


def measure(python: Path, rows: list[Row], rounds: int, counts: tuple[int, int]) -> dict[str, list[dict[str, Any]]]:
    """Run all subjects `rounds` times, in another order each time, against one sink."""
    sink = subprocess.Popen([sys.executable, HERE / "capture" / "sink.py"], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    reports: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    try:
        port = int(sink.stdout.readline())
        for number in range(rounds):
            start = number * len(rows) // rounds
            order = rows[start:] + rows[:start]
            for row in order if number % 2 == 0 else reversed(order):
                print(f"round {number + 1} of {rounds}: {row.name}", file=sys.stderr)
                reports[row.name].append(run(python, row.name, port, counts))
    finally:
        sink.terminate()
        sink.wait()
        sink.stdout.close()
    return reports


def main() -> None:
    parser = argparse.ArgumentParser(description="Time added to the calling thread by recording.")
    parser.add_argument("--install", type=Path, help="make an environment with the peers here, and use it")
    parser.add_argument("--peers", type=Path, help="use the environment with the peers that is here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inferences", type=int, default=4_000)
    parser.add_argument("--feedback", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    told = parser.parse_args()
    if told.install:
        install(told.install)
    peers = told.install or told.peers
    if not peers:
        print("The peers are not installed (--install DIR makes an environment): floor and Trimtab alone.")
    python = peers.absolute() / "bin" / "python" if peers else Path(sys.executable)
    rows = [*OURS, *PEERS] if peers else OURS
    on = machine()
    reports = measure(python, rows, told.rounds, (told.inferences, told.feedback))
    results = {
        name: {phase: summary(each, phase) for phase in ("inference", "feedback")} for name, each in reports.items()
    }
    versions = {name: version for each in reports.values() for name, version in each[0]["versions"].items()}
    report = {
        "machine": on,
        "versions": versions,
        "rounds": told.rounds,
        "n": {"inferences": told.inferences, "feedback": told.feedback},
        "results": results,
        "bars": bars(results),
    }
    text = page(rows, report)
    print(text)
    told.out.mkdir(exist_ok=True)
    (told.out / "capture.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (told.out / "capture.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
