"""A fitted LSA space as a file: numpy's .npz without pickle, its words as JSON, a checksum over all of it.

A loaded space has the id of the one that was saved and gives bit-equal vectors.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.durable import write_whole
from trimtab.embed.lsa import LsaEmbedder, LsaState
from trimtab.errors import UnreadableFile

__all__ = ["load_lsa", "save_lsa"]

_FORMAT = 1
_HEAD = "head"

Arrays = dict[str, NDArray[Any]]


def save_lsa(embedder: LsaEmbedder, file: Path) -> None:
    """Write the space to `file`, whole or not at all; its folder must exist."""
    state = embedder.state()
    arrays: Arrays = {"directions": state.directions}
    for number, (terms, idf) in enumerate(zip(state.vocabularies, state.idfs, strict=True)):
        arrays[f"terms{number}"] = _packed(terms)
        arrays[f"idf{number}"] = idf
    head = {"format": _FORMAT, "space": state.space, "sha256": _checksum(state.space, arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_HEAD: _packed(head)}, **arrays)
    write_whole(file, buffer.getvalue())


def load_lsa(file: Path) -> LsaEmbedder:
    """Read a space that `save_lsa` wrote. Raises UnreadableFile when it is missing, damaged or of another format."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays: Arrays = {name: stored[name] for name in stored.files}
        head = _unpacked(arrays.pop(_HEAD))
        if head["format"] != _FORMAT:
            raise _unreadable(file, f"has format {head['format']!r}, expected {_FORMAT}")
        if head["sha256"] != _checksum(head["space"], arrays):
            raise _unreadable(file, "does not match its checksum")
        state = LsaState(
            space=head["space"],
            vocabularies=tuple(_unpacked(arrays[f"terms{number}"]) for number in range(2)),
            idfs=tuple(arrays[f"idf{number}"] for number in range(2)),
            directions=arrays["directions"],
        )
    except UnreadableFile:
        raise
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    # A flipped byte may end in any of these, in the archive, in an array's header or in the JSON.
    except (ValueError, KeyError, TypeError, EOFError, SyntaxError, NotImplementedError, zipfile.BadZipFile) as error:
        raise _unreadable(file, f"{type(error).__name__}") from error
    return LsaEmbedder.of(state)


def _packed(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, separators=(",", ":")).encode("ascii"), dtype=np.uint8)


def _unpacked(array: NDArray[Any]) -> Any:
    return json.loads(array.tobytes().decode("ascii"))


def _checksum(space: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(space.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\x00{name}\x00{array.dtype.str}\x00{array.shape}\x00".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _unreadable(file: Path, why: str) -> UnreadableFile:
    return UnreadableFile(f"cannot read the space {str(file)!r}: {why}; remove it, and a new one is fitted")
