"""`trimtab study` where nobody looks at a terminal: what a log holds, and a report of what is there so far."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.study.worlds import small_table
from trimtab.cli import app

RUN = CliRunner()
DIALS = (
    "weeks=2",
    "per_week=60",
    "launch_texts_per_label=8",
    "fresh_texts_per_label=4",
    "policy_changes=1",
    "launch_labels_share=0.6",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "texts.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("text", "label"), *((row.text, row.label) for row in small_table().rows)])
    return file


def test_log_has_a_line_per_cell_and_a_part_of_the_worlds_can_be_reported(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dials = [word for dial in DIALS for word in ("--dial", dial)]
    command = ["study", "--data", str(data), "--arms", "static,human-weekly", "--worlds", "2", "--jobs", "1"]
    done = RUN.invoke(app, [*command, "--out", str(out), *dials])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if ": done, " in line]
    assert lines[0] == "world 0, static: done, 1 of 4 cells"
    assert lines[-1] == "world 1, human-weekly: done, 4 of 4 cells"
    shutil.rmtree(out / "world-00001")
    part = RUN.invoke(app, ["study", "--report", "--out", str(out)])
    assert part.exit_code == 0, part.output
    assert "1 of 2 worlds" in part.output
    assert "1 of 2 worlds" in (out / "report.md").read_text(encoding="utf-8")
