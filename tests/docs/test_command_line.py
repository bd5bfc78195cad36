"""The `trimtab ...` lines of the pages name commands and options that exist."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from tests.docs.page import ROOT, Page, pages, parse
from trimtab.cli import app

TOP: Any = get_command(app)


def lines_of(page: Page) -> Iterator[str]:
    for block in page.blocks:
        if block.language in ("bash", "sh", "shell"):
            for line in block.code.replace("\\\n", " ").splitlines():
                words = line.strip().removeprefix("$ ")
                if words.startswith("trimtab "):
                    yield words


def wrong_with(line: str) -> str | None:
    """Return what a command line names that does not exist."""
    words = shlex.split(line, comments=True)[1:]
    command = TOP
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        if found is None:
            return f"no command {words[0]!r}"
        command, words = found, words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {unknown[0]!r}" if unknown else None


@pytest.mark.parametrize("page", [parse(path) for path in pages()], ids=lambda page: str(page.path.relative_to(ROOT)))
def test_every_command_line_of_a_page_exists(page: Page) -> None:
    assert {line: wrong for line in lines_of(page) if (wrong := wrong_with(line))} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("trimtab serve --port 9000", None),
        ("trimtab key create ingest", None),
        ("trimtab --version", None),
        ("trimtab srve", "no command 'srve'"),
        ("trimtab serve --prt 9000", "no option '--prt'"),
    ],
)
def test_what_does_not_exist_is_found(line: str, wrong: str | None) -> None:
    assert wrong_with(line) == wrong
