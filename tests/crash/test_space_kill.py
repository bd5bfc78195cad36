"""Whatever moment a fit dies at, the pointer names a whole space: the last one acknowledged, or the one after it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trimtab.embed.durable import UNFINISHED
from trimtab.embed.shelf import read_pointer, read_space

CHILD = Path(__file__).with_name("space_fitter.py")
SOURCE = Path(__file__).parents[2] / "src"


def run_and_kill(folder: Path, first: int, lines: int, moments: float) -> list[tuple[int, str]]:
    """Kill the child `moments` seconds after it has told `lines` spaces; return all it told."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert child.stdout is not None
    with child.stdout as told:
        acknowledged = [told.readline() for _ in range(lines)]
        threading.Event().wait(moments)  # the seeded moment of the kill: nothing is awaited
        child.send_signal(signal.SIGKILL)
        acknowledged.extend(told.readlines())
    assert child.wait() == -signal.SIGKILL
    pairs = [line.split() for line in acknowledged if line.endswith("\n")]
    return [(int(number), space) for number, space in pairs]


def check(folder: Path, acknowledged: str | None) -> None:
    """Demand that the pointer names a whole space, not older than the one acknowledged, and the one before it too."""
    placed = read_pointer(folder)
    if placed is None:
        assert acknowledged is None
        return
    assert acknowledged is None or acknowledged in (placed.space, placed.previous)
    assert read_space(folder, placed.space).embed(["word1 of"]).any()
    assert placed.previous is None or read_space(folder, placed.previous).space == placed.previous


@pytest.mark.parametrize("seed", range(2))
def test_no_half_written_space_is_ever_used(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    folder = tmp_path / "spaces" / "p"
    last = -1
    for life in range(3):
        told = run_and_kill(tmp_path, last + 2, dice.randrange(1, 6), dice.random() * 0.2)
        assert told, life
        last, acknowledged = told[-1]
        check(folder, acknowledged)
    left = [file.name for file in folder.iterdir() if file.name.endswith(UNFINISHED)]
    assert len(left) <= 1


@pytest.mark.parametrize("step", range(1, 29, 2))
def test_a_kill_before_any_step_on_the_disk_leaves_a_whole_space(tmp_path: Path, step: int) -> None:
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), "0", str(step)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL
    acknowledged = [line.split()[1] for line in child.stdout.splitlines()]
    check(tmp_path / "spaces" / "p", acknowledged[-1] if acknowledged else None)
    assert acknowledged or step < 12
