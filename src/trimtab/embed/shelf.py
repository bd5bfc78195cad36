"""A folder of fitted spaces: immutable files, and a small pointer that names the one in use.

A space is written whole before the pointer names it, and the pointer is replaced whole, so that whatever moment the
process dies at, the pointer names a space that is there. The last two spaces are kept.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.embed.durable import UNFINISHED, write_whole
from trimtab.errors import UnreadableFile

if TYPE_CHECKING:  # a second of importing; reading the pointer takes none of it
    from trimtab.embed.lsa import LsaEmbedder

__all__ = ["Placed", "clear", "drop_previous", "read_pointer", "read_space", "replace_space"]

_POINTER = "current.json"
_SPACE = ".space"


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The space in use: when and on how many texts it was fitted, and how far the store was read then.

    `unknown` is the share of words of texts like those that the space was expected not to know; `previous` the space
    that was in use before; `erased` how many erasures had left the store before it was read.
    """

    space: str
    fitted_at: datetime
    texts: int
    unknown: float
    inference_seq: int = 0
    feedback_seq: int = 0
    previous: str | None = None
    erased: int = 0


def read_pointer(folder: Path) -> Placed | None:
    """Return what the pointer names, None while there is none. Raises UnreadableFile when it is damaged."""
    file = folder / _POINTER
    try:
        return msgspec.json.decode(file.read_bytes(), type=Placed)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreadableFile(f"cannot read {str(file)!r}: {error}; remove it, and a new space is fitted") from error


def read_space(folder: Path, space: str) -> LsaEmbedder:
    """Load one space of the folder. Raises UnreadableFile when it is not kept or damaged."""
    from trimtab.embed.saved import load_lsa  # noqa: PLC0415  see above

    embedder = load_lsa(_file(folder, space))
    if embedder.space != space:
        raise UnreadableFile(f"cannot use {str(_file(folder, space))!r}: it holds the space {embedder.space!r}")
    return embedder


def replace_space(folder: Path, embedder: LsaEmbedder, placed: Placed) -> None:
    """Make `embedder` the folder's space: its file, then the pointer, then away with what neither of the last two is.

    One thread of one process at a time.
    """
    from trimtab.embed.saved import save_lsa  # noqa: PLC0415  see above

    folder.mkdir(parents=True, exist_ok=True)
    save_lsa(embedder, _file(folder, placed.space))
    write_whole(folder / _POINTER, msgspec.json.encode(placed))
    kept = {_file(folder, space).name for space in (placed.space, placed.previous) if space}
    for file in folder.iterdir():
        if file.name.endswith(UNFINISHED) or (file.suffix == _SPACE and file.name not in kept):
            file.unlink(missing_ok=True)


def drop_previous(folder: Path, placed: Placed) -> Placed:
    """Keep the space in use alone; return what the pointer says now."""
    alone = msgspec.structs.replace(placed, previous=None)
    write_whole(folder / _POINTER, msgspec.json.encode(alone))
    kept = {_POINTER, _file(folder, placed.space).name}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink(missing_ok=True)
    return alone


def clear(folder: Path) -> int:
    """Remove the pointer and every space of the folder; return how many files that were."""
    files = sorted(folder.iterdir(), key=lambda file: file.name != _POINTER) if folder.is_dir() else []
    for file in files:  # the pointer first: it must never name what is not there
        file.unlink(missing_ok=True)
    return len(files)


def _file(folder: Path, space: str) -> Path:
    return folder / f"{space}{_SPACE}"
