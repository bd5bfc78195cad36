"""Sorts lines that do not fit into memory: runs on disk, merged."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = ["newest_first"]

_RUN_BYTES = 64 << 20


class _Place(Struct, frozen=True):
    created_us: int
    inference_id: str


_place = msgspec.json.Decoder(_Place)


def newest_first(lines: Iterable[bytes], folder: Path, *, run_bytes: int = _RUN_BYTES) -> Iterator[bytes]:
    """Yield the lines of JSON by their `created_us`, then `inference_id`, the highest first; runs lie in `folder`."""
    runs: list[Path] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= run_bytes:
            runs.append(_written(held, folder))
            held, size = [], 0
    held.sort(key=_key, reverse=True)
    if not runs:
        yield from held
        return
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in runs]
        yield from heapq.merge(*files, held, key=_key, reverse=True)
    for path in runs:
        path.unlink()


def _key(line: bytes) -> tuple[int, str]:
    place = _place.decode(line)
    return (place.created_us, place.inference_id)


def _written(held: list[bytes], folder: Path) -> Path:
    held.sort(key=_key, reverse=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".run", delete=False) as out:
        out.writelines(held)
    return Path(out.name)
