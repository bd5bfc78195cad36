"""Files that are there whole or not at all, whatever moment the process or the machine dies at."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["UNFINISHED", "write_whole"]

UNFINISHED = ".new"  # the ending of a file under way; what a kill leaves has it


def write_whole(file: Path, content: bytes) -> None:
    """Make `content` the content of `file`, durably, readable by its owner alone; replaces a file of that name.

    Written beside it, synced, renamed, and the folder synced: a reader sees the old content or the new, never a part.
    Two writers of one file need a lock of their own.
    """
    fresh = file.with_name(file.name + UNFINISHED)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
