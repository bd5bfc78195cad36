"""The npm package: strict types, its own tests, its size, and a lock file that works against any registry."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser.package import PACKAGE, npm

CORE_BYTES = 5 * 1024
SCRIPT_BYTES = 7 * 1024
CORE = (
    "export {init, feedback, thumb, rating, label, correction, comment, accept, reject, retract, flush, close, stats}"
)


def zipped(data: bytes) -> int:
    return len(gzip.compress(data, 9))


@pytest.fixture(scope="session")
def dist(script: bytes) -> Path:
    """The built package."""
    assert script
    return PACKAGE / "dist"


def bundle(source: str, folder: Path) -> bytes:
    """Bundle `source` as the build of an app would, so that what it does not use falls away."""
    (folder / "app.js").write_text(source)
    flags = ["--bundle", "--minify", "--format=esm", "--target=es2022"]
    built = npm("exec", "--", "esbuild", str(folder / "app.js"), *flags, f"--outfile={folder / 'out.js'}")
    assert built.returncode == 0, built.stderr
    return (folder / "out.js").read_bytes()


def test_the_types_are_strict_and_right() -> None:
    checked = npm("run", "check")
    assert checked.returncode == 0, checked.stdout


def test_the_unit_tests_pass() -> None:
    ran = npm("test")
    assert ran.returncode == 0, ran.stdout
    assert "# fail 0" in ran.stdout


def test_the_core_stays_within_its_budget(dist: Path, tmp_path: Path) -> None:
    assert zipped(bundle(f"{CORE} from '{dist}/index.js'", tmp_path)) <= CORE_BYTES


def test_the_whole_script_stays_within_its_budget(script: bytes) -> None:
    assert zipped(script) <= SCRIPT_BYTES


def test_a_signal_that_is_not_imported_is_not_shipped(dist: Path, tmp_path: Path) -> None:
    with_signals = bundle(f"export * from '{dist}/index.js'", tmp_path)
    core = bundle(f"{CORE} from '{dist}/index.js'", tmp_path)
    assert b"IntersectionObserver" in with_signals
    for word in (b"IntersectionObserver", b"beforeinput", b"auxclick", b"trimtab-thumbs"):
        assert word not in core


def test_the_modules_can_be_imported_on_a_server(dist: Path) -> None:
    program = f"import '{dist}/thumbs.js'; const sdk = await import('{dist}/index.js'); sdk.thumb('x', true)"
    ran = npm("exec", "--", "node", "--input-type=module", "--eval", program)
    assert ran.returncode == 0, ran.stderr


def test_every_exported_file_exists(dist: Path) -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    named = re.findall(r'"\./(dist/[^"]+)"', json.dumps(package["exports"]))
    assert len(named) == 5
    assert [name for name in named if not (dist.parent / name).is_file()] == []


def loose(package: dict[str, Any], lock: dict[str, Any]) -> list[str]:
    """Return what would let two machines install different things, or tie the lock file to one registry."""
    asked = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    found = [f"{name} {version}" for name, version in asked.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)]
    for name, entry in lock["packages"].items():
        if name and not str(entry.get("integrity", "")).startswith("sha512-"):
            found.append(f"{name} has no integrity")
        if "resolved" in entry:
            found.append(f"{name} has an address")
    return found


def test_the_lock_file_pins_everything_and_names_no_registry() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert loose(package, json.loads((PACKAGE / "package-lock.json").read_text())) == []
    assert "dependencies" not in package


@pytest.mark.parametrize(
    ("package", "entry"),
    [
        ({"devDependencies": {"a": "^1.0.0"}}, {"integrity": "sha512-x"}),
        ({}, {}),
        ({}, {"integrity": "sha512-x", "resolved": "somewhere"}),
    ],
)
def test_a_loose_lock_is_found(package: dict[str, Any], entry: dict[str, str]) -> None:
    assert len(loose(package, {"packages": {"": {}, "node_modules/a": entry}})) == 1


def test_what_is_built_is_not_committed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "browser"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    assert [name for name in tracked if "/dist/" in name or "/build/" in name or "node_modules" in name] == []
