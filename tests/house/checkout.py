"""The files of this checkout as the house tests see them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


def kept_files(*suffixes: str) -> list[Path]:
    """Return every file that is tracked, or new and not ignored, with one of `suffixes` (any, if none is given)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked source archive
        paths = list(_walk(ROOT))
    return sorted({path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)})


def shown(path: Path) -> str:
    """Return `path` as a reader of the repository names it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if not entry.name.startswith(".") and entry.name not in {"__pycache__", "node_modules", "dist"}:
                yield from _walk(entry)
        else:
            yield entry
