"""A documentation page as a program: its fenced blocks, their marks, and a way to run them.

Marks are HTML comments, which readers of the page do not see:

    <!-- server -->              at the top of a page: its blocks need a running server
    <!-- llm -->                 at the top of a page: they need a model endpoint (tests/llm_endpoint.py)
    <!-- not run: reason -->     on the line before a fence: this block is only shown
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_NOT_RUN = re.compile(r"<!-- not run:(?P<reason>.*)-->")

# Each block is compiled under the page's own name and line, so that a traceback points into the page.
_DRIVER = """
import json, sys
page, blocks = json.load(sys.stdin)
namespace = {"__name__": "__main__"}
for line, code in blocks:
    exec(compile("\\n" * line + code, page, "exec"), namespace)
"""


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the fence's own line number, `not_run` the reason given, None if it is to run."""

    language: str
    line: int
    code: str
    not_run: str | None = None


@dataclass(frozen=True)
class Page:
    """One page and its blocks in order."""

    path: Path
    blocks: tuple[Block, ...]
    needs_server: bool
    needs_llm: bool = False

    def runnable(self, language: str) -> list[Block]:
        """Return the blocks of `language` that are not marked."""
        return [block for block in self.blocks if block.language == language and block.not_run is None]


def pages() -> list[Path]:
    """Return README.md and its neighbours, and every page under docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def parse(path: Path) -> Page:
    """Read a page; ValueError names the line of a fence that is never closed, or of a mark without a reason."""
    lines = path.read_text("utf-8").splitlines()
    blocks: list[Block] = []
    opened: tuple[int, re.Match[str]] | None = None
    for number, line in enumerate(lines, 1):
        match = _FENCE.match(line)
        if opened is None:
            if match:
                opened = (number, match)
        elif match and match["fence"].startswith(opened[1]["fence"]) and not match["info"].strip():
            blocks.append(_block(path, lines, *opened, end=number))
            opened = None
    if opened is not None:
        raise ValueError(f"{path}:{opened[0]}: this fence is never closed")
    marks = [line.strip() for line in lines[:5]]
    return Page(path, tuple(blocks), needs_server="<!-- server -->" in marks, needs_llm="<!-- llm -->" in marks)


def _block(path: Path, lines: list[str], start: int, fence: re.Match[str], *, end: int) -> Block:
    indent = len(fence["indent"])
    code = "".join(f"{line[indent:] if not line[:indent].strip() else line}\n" for line in lines[start : end - 1])
    mark = _NOT_RUN.search(lines[start - 2]) if start > 1 else None
    reason = mark["reason"].strip() if mark else None
    if reason == "":
        raise ValueError(f"{path}:{start - 1}: say why this block is not run")
    return Block((fence["info"].split() or [""])[0], start, code, reason)


def run(page: Page, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the page's Python blocks in order, in one namespace and one process, in `folder`; warnings are errors.

    Nothing of the caller's TRIMTAB_ variables reaches the page; `environment` is added to what is left.
    """
    blocks = [(block.line, block.code) for block in page.runnable("python")]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _DRIVER],
        input=json.dumps([str(page.path), blocks]),
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT / "src"), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def broken_links(page: Path) -> list[str]:
    """Return the targets of the page's links that are files of this repository and do not exist."""
    prose = re.sub(r"^ *(`{3,}).*?^ *\1`*$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", prose)
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def unknown_targets(page: Page, makefile: str) -> list[str]:
    """Return the `make` targets that the page's shell blocks name and `makefile` does not have."""
    known = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    shell = [block.code for block in page.blocks if block.language in {"bash", "sh", "shell", "console"}]
    named = re.findall(r"^(?:\$ )?make +([a-z][a-z-]*)(?![\w=-])", "".join(shell), re.MULTILINE)
    return [target for target in named if target not in known]
