"""`.ci/run` runs both commands whatever the first one says, and fails when either fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.checkout import ROOT


@pytest.mark.parametrize(
    ("check", "test", "passes"),
    [("true", "true", True), ("false", "true", False), ("true", "false", False), ("true", "cat; test -n $$CI", True)],
)
def test_ci_fails_when_either_command_fails(check: str, test: str, passes: bool, tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(f"check:\n\t{check}\ntest:\n\t{test}\n")
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
    (tmp_path / "dpkg-query").chmod(0o755)
    answer = subprocess.run(
        [tmp_path / ".ci/run"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode == 0) is passes
    assert "=== make check" in answer.stdout
    assert "=== make test" in answer.stdout
    assert ("Everything passed" in answer.stdout) is passes
