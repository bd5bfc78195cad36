"""A fitted LSA space as a file: one line with format and checksum, then numpy's .npz, without pickle, words as JSON.

A loaded space has the id of the one that was saved and gives bit-equal vectors. The checksum covers everything after
the line and is verified before anything else is looked at.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.durable import write_whole
from trimtab.embed.lsa import LsaEmbedder, LsaState
from trimtab.errors import UnreadableFile

__all__ = ["load_lsa", "save_lsa"]

_MAGIC = b"trimtab-space 1 sha256 "
_HEX_DIGITS = 64


def save_lsa(embedder: LsaEmbedder, file: Path) -> None:
    """Write the space to `file`, whole or not at all; its folder must exist."""
    state = embedder.state()
    arrays: dict[str, NDArray[Any]] = {"space": _packed(state.space), "directions": state.directions}
    for number, (terms, idf) in enumerate(zip(state.vocabularies, state.idfs, strict=True)):
        arrays[f"terms{number}"] = _packed(terms)
        arrays[f"idf{number}"] = idf
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    write_whole(file, _MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def load_lsa(file: Path) -> LsaEmbedder:
    """Read a space that `save_lsa` wrote. Raises UnreadableFile when it is missing, damaged or of another format."""
    try:
        stored = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    start = len(_MAGIC) + _HEX_DIGITS + 1
    head, content = stored[:start], memoryview(stored)[start:]
    if not head.startswith(_MAGIC):
        raise _unreadable(file, f"expected it to begin with {_MAGIC.decode()!r}, got {head[: len(_MAGIC)]!r}")
    if head[len(_MAGIC) :] != hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise _unreadable(file, "it does not match its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        state = LsaState(
            space=_unpacked(arrays["space"]),
            vocabularies=tuple(_unpacked(arrays[f"terms{number}"]) for number in range(2)),
            idfs=tuple(arrays[f"idf{number}"] for number in range(2)),
            directions=arrays["directions"],
        )
    return LsaEmbedder.of(state)


def _packed(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, separators=(",", ":")).encode("ascii"), dtype=np.uint8)


def _unpacked(array: NDArray[Any]) -> Any:
    return json.loads(array.tobytes().decode("ascii"))


def _unreadable(file: Path, why: str) -> UnreadableFile:
    return UnreadableFile(f"cannot read the space {str(file)!r}: {why}; remove it, and a new one is fitted")
