"""Every source file begins by saying what it is for, and every package folder is a package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.checkout import SOURCE, kept_files, shown

SOURCES = [path for path in kept_files(".py") if path.is_relative_to(SOURCE)]


def says_what_for(source: str) -> bool:
    """Tell whether `source` opens with a docstring of at least a sentence."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return len(docstring.split()) >= 4 and docstring.splitlines()[0].rstrip().endswith((".", ":", "?"))


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_every_source_file_says_what_it_is_for(path: Path) -> None:
    assert says_what_for(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "source", ["", "x = 1", '"""Gate."""', '"""The gate and its golden cases"""', "# A comment is none.\n"]
)
def test_a_silent_file_is_found(source: str) -> None:
    assert not says_what_for(source)


def test_every_folder_with_sources_is_a_package() -> None:
    folders = {path.parent for path in SOURCES}
    assert [shown(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
