"""`make` alone lists every target, and the commands say clearly what is missing on a machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.checkout import ROOT


def make(*arguments: str, folder: Path = ROOT, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run make in `folder`, untouched by the make that may be running these tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={**env, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def unlisted(makefile: str, listing: str) -> set[str]:
    """Return the targets of `makefile` (files it makes left out) that `listing` does not name with a help line."""
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    return targets - set(re.findall(r"^ +make ([a-z-]+) +\S+", listing, re.MULTILINE))


def test_make_alone_lists_every_target() -> None:
    listing = make()
    assert listing.returncode == 0
    assert unlisted((ROOT / "Makefile").read_text("utf-8"), listing.stdout) == set()


def test_an_unlisted_target_is_found() -> None:
    assert unlisted("demo: x\ntest-slow:\n.venv/x:\nA := b\n", "  make demo    run it\n  make test-slow\n") == {
        "test-slow"
    }


def test_every_phony_target_is_declared() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    declared = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert declared is not None
    assert set(declared[1].split()) == set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the Makefile alone, and `bin` with the few programs make needs but no Python."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("make", "sh", "cat", "rm", "sed", "expand"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def fake_python(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_an_old_python_is_named_with_the_cure(bare: Path) -> None:
    fake_python(bare, "python3", 'if [ "$1" = --version ]; then echo Python 3.9.1; else exit 1; fi')
    answer = make("test", folder=bare, path=str(bare / "bin"))
    assert answer.returncode != 0
    assert "Trimtab needs Python 3.11 or newer; python3 is Python 3.9.1." in answer.stderr
    assert "make PYTHON=" in answer.stderr


def test_a_newer_python_beside_an_old_one_is_used_unless_one_was_named(bare: Path) -> None:
    fake_python(bare, "python3", "exit 1")
    fake_python(bare, "python3.12", 'if [ "$1" = --version ]; then echo Python 3.12.1; fi; [ "$1" != -m ]')
    assert "Making .venv with Python 3.12.1." in make("test", folder=bare, path=str(bare / "bin")).stdout
    named = make("test", "PYTHON=python3", folder=bare, path=str(bare / "bin"))
    assert "needs Python 3.11 or newer" in named.stderr


def test_a_python_without_venv_is_told_what_to_install(bare: Path) -> None:
    fake_python(bare, "python3", '[ "$1" != -m ]')
    answer = make("demo", folder=bare, path=str(bare / "bin"))
    assert answer.returncode != 0
    assert "apt-get install python3-venv" in answer.stderr
    assert not (bare / ".venv").exists()
