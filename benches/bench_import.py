"""What importing the SDK costs an application: modules loaded and time, beside an empty interpreter.

Every bench prints one table and writes one JSON beside it: `benches/results/<name>.json`.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
RUNS = 15
STATEMENTS = {"nothing": "pass", "trimtab": "import trimtab", "trimtab.client": "import trimtab.client"}


def run(statement: str) -> tuple[int, float]:
    """Return the modules loaded after `statement` in a fresh interpreter, and the milliseconds its process took."""
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {statement}; print(len(sys.modules))"
    started = time.perf_counter()
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    return int(answer.stdout), (time.perf_counter() - started) * 1000


def main() -> None:
    """Time all statements in alternation, so that a busy moment of the machine falls on each alike."""
    timings: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    modules: dict[str, int] = {}
    for _ in range(RUNS):
        for name, statement in STATEMENTS.items():
            modules[name], elapsed_ms = run(statement)
            timings[name].append(elapsed_ms)
    rows = [
        {"import": name, "modules": modules[name], "median_ms": round(statistics.median(timings[name]), 1)}
        for name in STATEMENTS
    ]
    print(f"{'import':<16}{'modules':>9}{'median ms':>11}   (process start included, {RUNS} runs)")
    for row in rows:
        print(f"{row['import']:<16}{row['modules']:>9}{row['median_ms']:>11}")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    report = {"python": platform.python_version(), "runs": RUNS, "rows": rows}
    (results / "import.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
