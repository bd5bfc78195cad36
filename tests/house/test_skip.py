"""A test that does not run, or may fail, says why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, kept_files, shown

# What is called, and the position of its reason if it may come without its name.
REASON_AT: dict[str, int | None] = {
    "pytest.mark.skip": 0,
    "pytest.mark.skipif": None,
    "pytest.mark.xfail": None,
    "pytest.skip": 0,
    "pytest.xfail": 0,
    "pytest.importorskip": None,
    "unittest.skip": 0,
}


def unreasoned(source: str) -> list[str]:
    """Return the line and name of each skip or expected failure in `source` that gives no reason."""
    tree = ast.parse(source)
    reasoned = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and _has_reason(node)}
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in REASON_AT and node not in reasoned
    ]


def _has_reason(call: ast.Call) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    position = REASON_AT.get(ast.unparse(call.func))
    if position is not None:
        given += call.args[position : position + 1]
    return any(not isinstance(value, ast.Constant) or bool(str(value.value or "").strip()) for value in given)


@pytest.mark.parametrize("path", [path for path in kept_files(".py") if path.is_relative_to(ROOT / "tests")], ids=shown)
def test_every_skip_has_its_reason(path: Path) -> None:
    assert unreasoned(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "@pytest.mark.skip",
        "@pytest.mark.skip()",
        "@pytest.mark.skip('')",
        "@pytest.mark.skipif(True)",
        "@pytest.mark.xfail(reason=' ')",
    ],
)
def test_an_unreasoned_skip_is_found(line: str) -> None:
    assert len(unreasoned(f"{line}\ndef test_a(): ...\n")) == 1
    assert len(unreasoned("pytest.skip()")) == 1


@pytest.mark.parametrize(
    "line",
    ["@pytest.mark.skip('no broker here')", "@pytest.mark.xfail(reason='issue 7')", "@pytest.mark.slow"],
)
def test_a_reasoned_skip_passes(line: str) -> None:
    assert unreasoned(f"{line}\ndef test_a(): ...\n") == []
