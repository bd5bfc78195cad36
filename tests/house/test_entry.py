"""What `import trimtab` and the `trimtab` command do when only the SDK is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trimtab
from tests.house.checkout import SOURCE


def run_main(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the `trimtab` command with the modules of `folder` and of the source tree, but no installed package."""
    paths = [str(folder), str(SOURCE)]
    program = f"import sys; sys.path[:0] = {paths!r}; from trimtab.__main__ import main; main()"
    return subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)


def stand_in_cli(folder: Path, source: str) -> None:
    """Write a `trimtab` package to `folder` with our entry point and a command line of `source`."""
    package = folder / "trimtab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_bytes((SOURCE / "trimtab/__main__.py").read_bytes())
    (package / "cli.py").write_text(source)


def test_without_the_server_extra_the_command_names_the_install_line(tmp_path: Path) -> None:
    stand_in_cli(tmp_path, "import typer\n")
    answer = run_main(tmp_path)
    assert answer.returncode == 2
    assert "pip install 'trimtab[server]'" in answer.stderr
    assert "'typer'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_missing_module_of_our_own_is_not_blamed_on_the_installation(tmp_path: Path) -> None:
    stand_in_cli(tmp_path, "import trimtab.gone\n")
    answer = run_main(tmp_path)
    assert answer.returncode == 1
    assert "No module named 'trimtab.gone'" in answer.stderr
    assert "pip install" not in answer.stderr


def test_the_package_tells_its_version_and_lists_its_names() -> None:
    assert trimtab.__version__
    assert set(trimtab.__all__) <= set(dir(trimtab))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'clinet'"):
        trimtab.clinet  # noqa: B018
