"""A gate killed while its versions answer goes on where it was: it ends as if never killed, and pays nothing twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.crash.examinee import CASES
from tests.crash.lives import lived

LOT = 16


def held(folder: Path, *points: str) -> tuple[bytes, Counter[str]]:
    """Hold the gate, killed at each point; return its report and how often each question was asked."""
    folder.mkdir()
    ends = lived("tests.crash.examinee", folder, *points)
    assert ends == [-9] * len(points) + [0]
    return (folder / "report.json").read_bytes(), Counter((folder / "asked").read_text().splitlines())


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    report, asked = held(tmp_path_factory.mktemp("straight") / "gate")
    assert set(asked.values()) == {1}
    assert len(asked) == 2 * CASES
    return report


def test_killed_between_two_lots_a_gate_asks_nothing_twice(tmp_path: Path, straight: bytes) -> None:
    report, asked = held(tmp_path / "gate", "kept:1", "kept:1", "kept:2", "kept:1")
    assert report == straight
    assert (set(asked.values()), len(asked)) == ({1}, 2 * CASES)


def test_killed_while_answering_a_gate_asks_one_lot_again_at_most(tmp_path: Path, straight: bytes) -> None:
    points = ["asked:1", "asked:30", "asked:75", "asked:110"]
    report, asked = held(tmp_path / "gate", *points)
    assert report == straight
    assert len(asked) == 2 * CASES
    assert sum(asked.values()) - 2 * CASES <= LOT * len(points)
