"""The linters' own rules bite: each is shown a breach and must refuse it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.checkout import ROOT

TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("TID251", "from datetime import UTC, datetime\n\nnow = datetime.now(UTC)"),
        ("TID251", "import time\n\nnow = time.time()"),
        ("TID251", "import uuid\n\nevent_id = uuid.uuid4()"),
        ("TID252", "from . import clock"),
        ("RUF022", '__all__ = ["b", "a"]\na = b = 1'),
        ("D103", "def public() -> None:\n    pass"),
        ("BLE001", "try:\n    x = 1\nexcept Exception:\n    x = 2"),
        ("T201", 'print("hello")'),
    ],
)
def test_the_linter_refuses(rule: str, line: str) -> None:
    answer = subprocess.run(
        [
            TOOLS / "ruff",
            "check",
            "--output-format=concise",
            "--stdin-filename",
            "src/trimtab/sample.py",
            "-",
        ],
        cwd=ROOT,
        input=f'"""A sample."""\n\n{line}\n',
        capture_output=True,
        text=True,
        check=False,
    )
    assert f" {rule} " in answer.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("stats", "import trimtab.runtime"),
        ("ingest", "import trimtab.detect"),
        ("store", "import trimtab.redact"),
        ("client", "import trimtab.ids"),
        ("client", "import msgspec"),
        ("server", "import trimtab.client"),
        ("act", "import sqlite3"),
    ],
)
def test_the_floors_refuse(room: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/trimtab" / room / "breach.py").write_text(f'"""A breach."""\n\n{line}\n')
    answer = _lint_imports(tmp_path)
    assert answer.returncode != 0
    assert "BROKEN" in answer.stdout
    assert f"trimtab.{room}.breach -> {line.rpartition(' ')[2]}" in answer.stdout


def test_a_new_room_must_be_given_its_floor(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/trimtab/attic.py").write_text('"""A room nobody planned."""\n')
    answer = _lint_imports(tmp_path)
    assert answer.returncode != 0
    assert "attic" in answer.stdout


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / "lint-imports", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
