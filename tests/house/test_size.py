"""Files and functions stay small enough to be read in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.checkout import kept_files, shown

FILE_LINES = 600
FUNCTION_LINES = 60


def too_long(name: str, source: str) -> list[str]:
    """Return what in `source` is at or over its limit: the file itself, and every Python function in it."""
    lines = len(source.splitlines())
    found = [f"{name}: {lines} lines, split it before {FILE_LINES}"] if lines >= FILE_LINES else []
    if name.endswith(".py"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    found.append(f"{name}:{node.lineno}: {node.name} has {lines} lines, keep under {FUNCTION_LINES}")
    return found


@pytest.mark.parametrize("path", kept_files(".py", ".ts", ".tsx"), ids=shown)
def test_files_and_functions_stay_short(path: Path) -> None:
    assert too_long(shown(path), path.read_text("utf-8")) == []


def test_a_long_file_is_found() -> None:
    assert too_long("a.ts", "x\n" * (FILE_LINES - 1)) == []
    assert too_long("a.ts", "x\n" * FILE_LINES) == ["a.ts: 600 lines, split it before 600"]


@pytest.mark.parametrize("head", ["def grow():", "async def grow():", "class A:\n  def grow(self):"])
def test_a_long_function_is_found(head: str) -> None:
    body = "    x = 1\n"
    assert too_long("a.py", f"{head}\n{body * (FUNCTION_LINES - 2)}") == []
    assert len(too_long("a.py", f"{head}\n{body * (FUNCTION_LINES - 1)}")) == 1
