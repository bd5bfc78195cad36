"""Disks that fail in ways a test can bring about and mend again: each is the machine's own fault, none is played."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.serving import ServerProcess

__all__ = ["FAULTS", "Fault", "filled", "small_disk"]

Fault = Callable[[ServerProcess], AbstractContextManager[None]]
"""While it is entered, the server's disk takes nothing; left, it takes everything again."""

_ROOM = 96 << 10


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 48, owner: int | None = None) -> Iterator[Path]:
    """Mount a disk of that size, in memory, at `folder`; skip the test where this user may not."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or not _ran("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)):
        pytest.skip("mounting a small disk takes root")
    try:
        if owner is not None:
            os.chown(folder, owner, -1)
        yield folder
    finally:
        assert _ran("umount", str(folder))


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk to its last byte for a while."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _full(server: ServerProcess) -> Iterator[None]:
    with filled(server.folder.parent):
        yield


@contextmanager
def _no_growth(server: ServerProcess) -> Iterator[None]:
    """Let no file of the server be written beyond its first pages, which needs no rights over the machine."""
    free = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (_ROOM, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, free)


@contextmanager
def _read_only(server: ServerProcess) -> Iterator[None]:
    """Let the kernel refuse every change to what lies in the directory, to open files too."""
    # But for SQLite's shared memory: Linux ends a process that writes to a mapped page of an immutable file.
    inside = [
        path for path in server.folder.rglob("*") if (path.is_file() or path.is_dir()) and path.suffix != ".db-shm"
    ]
    things = [server.folder, *inside]
    if os.geteuid() != 0 or shutil.which("chattr") is None or not _ran("chattr", "+i", *map(str, things)):
        _ran("chattr", "-i", *map(str, things))
        pytest.skip("making files immutable takes root, and a file system that knows of it")
    try:
        yield
    finally:
        assert _ran("chattr", "-i", *map(str, things))


def _ran(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


FAULTS: dict[str, Fault] = {"full": _full, "no growth": _no_growth, "read-only": _read_only}
