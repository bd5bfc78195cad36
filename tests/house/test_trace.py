"""Nothing in the repository tells of the machine or the package registry it was made on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, kept_files, shown

# Folders that many machines have say nothing about this one.
EVERYWHERE = {Path(name) for name in ("/", "/tmp", "/home", "/srv", "/opt", "/var", "/usr", "/mnt", "/data", "/app")}
# Written in two pieces, or this file would be the first to be found.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "registry." + "yarnpkg",
    "npm" + "mirror",
]
SETTINGS = ["index" + "-url", "find" + "-links", '"resolved"' + ': "http', "/simple" + "/"]


def own_paths(root: Path, home: Path) -> list[str]:
    """Return the folders of this machine that no tracked file may name: checkout, its parent, the user's home."""
    return [f"{folder}/" for folder in dict.fromkeys((root, root.parent, home)) if folder not in EVERYWHERE]


def traces(name: str, text: str, paths: list[str]) -> list[str]:
    """Return each line of `text` that names one of `paths`, a registry's host or a registry setting."""
    own = [rf"(?<![\w.)}}>-]){re.escape(path)}" for path in paths]
    pattern = re.compile("|".join([*own, *map(re.escape, [*REGISTRIES, *SETTINGS])]))
    return [
        f"{name}:{number}: {line[:120]}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)
    ]


def loose_pins(text: str) -> list[str]:
    """Return the lines of a constraints file that are not exactly `name==version [; marker]`."""
    pin = re.compile(r"[a-z0-9-]+==[\w.!+]+( ; [^@]+)?")
    return [
        line for line in text.splitlines() if line and not line.lstrip().startswith("#") and not pin.fullmatch(line)
    ]


def test_no_tracked_file_names_this_machine_or_a_registry() -> None:
    paths = own_paths(ROOT, Path.home())
    found = []
    for path in kept_files():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found += traces(shown(path), data.decode("utf-8", "replace"), paths)
    assert found == []


def test_constraints_are_exact_versions_without_addresses() -> None:
    assert loose_pins((ROOT / "constraints.txt").read_text("utf-8")) == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    brought = {"embed-local", "presidio"}  # models' libraries, gigabytes of them: who brings a model brings those
    extras = {extra: names for extra, names in project["optional-dependencies"].items() if extra not in brought}
    wanted = [*project["dependencies"], *(name for names in extras.values() for name in names)]
    names = {re.split(r"[^\w.-]", name)[0].lower() for name in wanted}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    assert sorted(names - pinned) == [], "run `make lock`"


def test_own_paths_leave_out_what_every_machine_has() -> None:
    assert own_paths(Path("/tmp/trimtab"), Path("/home/ada")) == ["/tmp/trimtab/", "/home/ada/"]
    assert own_paths(Path("/build/17/trimtab"), Path("/")) == ["/build/17/trimtab/", "/build/17/"]


@pytest.mark.parametrize(
    "line",
    [
        "see /build/17/notes",
        "file:///build/17/notes",
        f"https://{REGISTRIES[0]}/project/trimtab",
        f"pip install --{SETTINGS[0]} x",
        f"      {SETTINGS[2]}s://somewhere/a.tgz",
    ],
)
def test_a_trace_is_found(line: str) -> None:
    assert len(traces("a.md", f"fine\n{line}\n", ["/build/17/"])) == 1


@pytest.mark.parametrize("line", ["docs/build/17/notes", "${HOME}/build/17/x", "https://example.org/"])
def test_another_path_is_no_trace(line: str) -> None:
    assert traces("a.md", line, ["/build/17/"]) == []


@pytest.mark.parametrize("line", ["numpy>=2", "numpy @ file:numpy.whl", "numpy==2.*", "-r other.txt"])
def test_a_loose_pin_is_found(line: str) -> None:
    assert loose_pins(f"# made\nscipy==1.17.1 ; python_full_version < '3.12'\n{line}\n") == [line]
