"""The browser script is built when Trimtab is installed from source; without Node the installation still succeeds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hatchling.bridge.app import Application

from hatch_build import NODE, SCRIPT, BrowserBuildHook
from tests.house.checkout import ROOT


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree whose PATH holds `bin` alone, and the script of an earlier build."""
    (tmp_path / "browser").mkdir()
    (tmp_path / "browser/package.json").write_text("{}")
    (tmp_path / SCRIPT).parent.mkdir(parents=True)
    (tmp_path / SCRIPT).write_text("old")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("TRIMTAB_BROWSER_BUILD", raising=False)
    return tmp_path


def give_npm(tree: Path, script: str) -> None:
    (tree / "bin/npm").write_text(f"#!/bin/sh\n{script}\n")
    (tree / "bin/npm").chmod(0o755)


def hook(tree: Path, target: str = "wheel") -> Any:
    return BrowserBuildHook(str(tree), {}, None, None, "", target, Application())  # type: ignore[arg-type]


def build(tree: Path, target: str = "wheel") -> list[str]:
    """Run the hook and return the files it wants packed."""
    wanted: dict[str, Any] = {"artifacts": []}
    hook(tree, target).initialize("standard", wanted)
    packed: list[str] = wanted["artifacts"]
    return packed


def test_the_script_is_built_and_packed(tree: Path) -> None:
    give_npm(tree, 'if [ "$1" = run ]; then echo new > "$4"; fi')
    assert build(tree) == [f"/{SCRIPT}"]
    assert (tree / SCRIPT).read_text() == "new\n"


def test_a_failing_npm_does_not_fail_the_installation_nor_leave_an_old_script(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_npm(tree, "echo no network; exit 1")
    assert build(tree) == []
    assert not (tree / SCRIPT).exists()
    told = capsys.readouterr()
    assert "without its browser script: no network" in told.out + told.err


def test_without_npm_the_installation_succeeds_and_node_is_asked_for(tree: Path) -> None:
    assert hook(tree).dependencies() == [NODE]
    assert build(tree) == []
    assert not (tree / SCRIPT).exists()


def test_with_npm_no_node_is_asked_for(tree: Path) -> None:
    give_npm(tree, "")
    assert hook(tree).dependencies() == []


def test_a_release_fails_without_its_script(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_BROWSER_BUILD", "require")
    with pytest.raises(FileNotFoundError, match=r"install Node\.js 18"):
        build(tree)
    give_npm(tree, "exit 1")
    with pytest.raises(subprocess.CalledProcessError):
        build(tree)


@pytest.mark.parametrize(("setting", "target"), [("skip", "wheel"), ("auto", "sdist")])
def test_nothing_is_built_or_asked_for_where_it_is_not_wanted(
    tree: Path, monkeypatch: pytest.MonkeyPatch, setting: str, target: str
) -> None:
    monkeypatch.setenv("TRIMTAB_BROWSER_BUILD", setting)
    assert hook(tree, target).dependencies() == []
    assert build(tree, target) == []


def test_a_tree_without_the_browser_folder_installs(tree: Path) -> None:
    shutil.rmtree(tree / "browser")
    assert build(tree) == []


def test_git_ignores_the_built_script() -> None:
    ignored = subprocess.run(["git", "check-ignore", "--quiet", SCRIPT], cwd=ROOT, check=False)
    assert ignored.returncode in (0, 128)  # 128: an unpacked source archive
