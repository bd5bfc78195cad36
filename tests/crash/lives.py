"""A program that is killed and started again, life after life, in forked children; and how a test runs one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(live: Callable[[Path, str | None], None]) -> None:
    """Be the program `MODULE FOLDER POINT...`: one life for each point, a last one to the end; print how each ended."""
    folder, *points = sys.argv[1:]
    ends = []
    for point in [*points, None]:
        child = os.fork()
        if child == 0:
            try:
                live(Path(folder), point)
            except BaseException:  # noqa: BLE001  a forked child must not run on
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.stdout.write(json.dumps(ends))


def lived(module: str, folder: Path, *points: str) -> list[int]:
    """Run such a program and return how each life ended."""
    answer = subprocess.run(
        [sys.executable, "-m", module, str(folder), *points],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    ends: list[int] = json.loads(answer.stdout)
    return ends
