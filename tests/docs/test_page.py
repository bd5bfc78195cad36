"""What the documentation shows is what happens: its code runs, its settings load, its links and commands exist."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.docs.page import ROOT, Page, broken_links, pages, parse, run, unknown_targets
from trimtab import config


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=pages(), ids=shown)
def page(request: pytest.FixtureRequest) -> Page:
    return parse(request.param)


def check_toml(code: str, folder: Path) -> None:
    """Parse a block of TOML, and load it as settings when it has a section of ours."""
    tree = tomllib.loads(code)
    if tree.keys() & {path.split(".")[0] for path, _, _ in config.settings_paths()}:
        file = folder / config.FILE_NAME
        file.write_text(code, "utf-8")
        config.load(file, environ={})


def test_the_python_of_every_page_runs(page: Page, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("running_server") if page.needs_server else {}
    llm = request.getfixturevalue("running_llm") if page.needs_llm else {}
    answer = run(page, tmp_path, {**server, **llm})
    assert answer.returncode == 0, answer.stderr


def test_the_settings_of_every_page_load(page: Page, tmp_path: Path) -> None:
    for block in page.runnable("toml"):
        check_toml(block.code, tmp_path)


def test_the_links_of_every_page_lead_somewhere(page: Page) -> None:
    assert broken_links(page.path) == []


def test_the_make_commands_of_every_page_exist(page: Page) -> None:
    assert unknown_targets(page, (ROOT / "Makefile").read_text("utf-8")) == []
