"""The machinery that runs the documentation: it runs what it should, and finds what is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.docs.page import Page, broken_links, parse, run, unknown_targets
from tests.docs.test_page import check_toml
from trimtab.errors import ConfigError


def written(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(text, "utf-8")
    return parse(path)


def test_blocks_share_one_namespace_in_order(tmp_path: Path) -> None:
    page = written(tmp_path, "```python\nx = 1\n```\ntext\n```python\nassert x == 1\nprint('done', x)\n```\n")
    assert run(page, tmp_path).stdout == "done 1\n"


def test_a_failing_block_is_found_at_its_line_of_the_page(tmp_path: Path) -> None:
    answer = run(written(tmp_path, "# Title\n\n```python\nx = 1\nassert x == 2\n```\n"), tmp_path)
    assert answer.returncode != 0
    assert 'page.md", line 5' in answer.stderr
    assert "assert x == 2" in answer.stderr


def test_a_block_that_warns_is_found(tmp_path: Path) -> None:
    answer = run(written(tmp_path, "```python\nimport warnings\nwarnings.warn('old')\n```\n"), tmp_path)
    assert answer.returncode != 0


def test_a_page_runs_in_its_own_folder_without_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_SERVER__PORT", "1")
    code = "import os\nprint(os.getcwd(), sorted(n for n in os.environ if n.startswith('TRIMTAB_')))"
    folder = tmp_path / "own"
    folder.mkdir()
    page = written(tmp_path, f"<!-- server -->\n# Title\n```python\n{code}\n```\n")
    assert page.needs_server
    assert run(page, folder).stdout == f"{folder} []\n"
    assert run(page, folder, {"TRIMTAB_URL": "u"}).stdout == f"{folder} ['TRIMTAB_URL']\n"


def test_a_marked_block_is_not_run_and_says_why(tmp_path: Path) -> None:
    page = written(tmp_path, "<!-- not run: needs a key -->\n```python\nraise SystemExit(1)\n```\n")
    assert page.blocks[0].not_run == "needs a key"
    assert run(page, tmp_path).returncode == 0
    with pytest.raises(ValueError, match=r"page\.md:1: say why"):
        written(tmp_path, "<!-- not run: -->\n```python\nx = 1\n```\n")


def test_fences_in_lists_and_longer_fences_are_read(tmp_path: Path) -> None:
    page = written(tmp_path, "- so\n\n  ```python\n  if True:\n      x = 1\n  ```\n\n````text\n```python\n````\n")
    assert [(block.language, block.code) for block in page.blocks] == [
        ("python", "if True:\n    x = 1\n"),
        ("text", "```python\n"),
    ]
    with pytest.raises(ValueError, match=r"page\.md:2: this fence is never closed"):
        written(tmp_path, "so\n```python\nx = 1\n")


def test_settings_that_would_be_refused_are_found(tmp_path: Path) -> None:
    check_toml("[server]\nport = 9000\n", tmp_path)
    check_toml("[tool.other]\nx = 1\n", tmp_path)
    with pytest.raises(tomllib.TOMLDecodeError):
        check_toml("[server\n", tmp_path)
    with pytest.raises(ConfigError, match=r"server\.prot"):
        check_toml("[server]\nprot = 9000\n", tmp_path)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    text = "[a](page.md) [b](gone.md#x) [c](https://example.org) [d](#top)\n```text\n[e](none)\n```\n"
    assert broken_links(written(tmp_path, text).path) == ["gone.md"]


def test_an_unknown_make_target_is_found(tmp_path: Path) -> None:
    page = written(tmp_path, "```bash\nmake demo EXIT=1\n$ make tset\nmake PYTHON=python3.12 test\n```\n")
    assert unknown_targets(page, "demo: x\n\ttrue\n") == ["tset"]
