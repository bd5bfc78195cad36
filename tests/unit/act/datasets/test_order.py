"""Sorting what does not fit into memory."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from trimtab.act.datasets.order import newest_first


@pytest.mark.parametrize("run_bytes", [1, 500, 1 << 20])
def test_lines_come_newest_first_however_little_fits_into_memory(tmp_path: Path, run_bytes: int) -> None:
    dice = random.Random(1)
    rows = [(dice.randrange(20), f"id{number:03}") for number in range(200)]
    lines = [msgspec.json.encode({"created_us": when, "inference_id": name}) + b"\n" for when, name in rows]
    found = [msgspec.json.decode(line) for line in newest_first(lines, tmp_path, run_bytes=run_bytes)]
    assert [(row["created_us"], row["inference_id"]) for row in found] == sorted(rows, reverse=True)
    assert list(tmp_path.iterdir()) == []
