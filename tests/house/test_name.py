"""A module's name says what is in it; a drawer for everything has no name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.house.checkout import kept_files, shown

DRAWERS = re.compile(r"utils?|helpers?|common|misc|base|core", re.IGNORECASE)


def drawers(names: list[str]) -> list[str]:
    """Return the source files of which a folder or the file itself is named like a drawer."""
    sources = [PurePosixPath(name) for name in names if name.endswith((".py", ".ts", ".tsx"))]
    return [
        str(path)
        for path in sources
        if any(DRAWERS.fullmatch(part.strip("_")) for part in (*path.parts[:-1], path.stem))
    ]


def test_no_module_is_a_drawer() -> None:
    assert drawers([shown(path) for path in kept_files()]) == []


@pytest.mark.parametrize(
    "name",
    ["src/trimtab/utils.py", "src/trimtab/core/gate.py", "ui/src/Helpers.ts", "src/trimtab/_common.py"],
)
def test_a_drawer_is_found(name: str) -> None:
    assert drawers(["src/trimtab/database.py", name]) == [name]
