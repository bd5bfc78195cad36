"""Embeddings from a sentence-transformers model in a folder of the operator's, computed in this process."""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.unit import sayings, unit_rows
from trimtab.errors import ConfigError, MissingExtra

__all__ = ["Encoder", "SentenceEmbedder", "open_sentence"]

_READ_BYTES = 1 << 20


class Encoder(Protocol):
    """What is used of `sentence_transformers.SentenceTransformer`."""

    def encode(self, sentences: list[str], **options: Any) -> Any:
        """Return one row per sentence (n x d)."""
        ...


class SentenceEmbedder:
    """A loaded model; `content` is the id of its files. One call computes at a time: fast tokenizers refuse two."""

    def __init__(self, model: Encoder, content: str, *, text_chars: int = 8000) -> None:
        self._model = model
        self._text_chars = text_chars
        self._space = f"sentence_{content}"
        self._lock = threading.Lock()
        self._length = int(np.asarray(self._encoded(["length"])).shape[1])

    @property
    def space(self) -> str:
        """Id of the space: the content of the model's files, wherever they lie."""
        return self._space

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text; the model sees at most the first `text_chars` characters of each."""
        rows: NDArray[np.float32] = np.zeros((len(texts), self._length), dtype=np.float32)
        wanted = sayings(texts, self._text_chars)
        if wanted:
            rows[list(wanted)] = unit_rows(self._encoded(list(wanted.values())))
        return rows

    def _encoded(self, texts: list[str]) -> NDArray[np.float64]:
        with self._lock:
            found = self._model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float64)


def open_sentence(folder: str, *, text_chars: int = 8000) -> SentenceEmbedder:
    """Load the model in `folder`. Never downloads anything and runs no code that comes with a model.

    Raises ConfigError when there is no such folder, MissingExtra when sentence-transformers is not installed.
    """
    path = Path(folder)
    if not folder or not path.is_dir():
        raise ConfigError(
            f"embedding.model: expected the folder of a sentence-transformers model, got {folder!r}; "
            "save the model there first (nothing is downloaded)",
            param="embedding.model",
        )
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError:
        raise MissingExtra(
            "embedding.kind 'sentence-transformers' needs an extra: pip install 'trimtab[server,embed-local]'",
            param="embedding.kind",
        ) from None
    model = library.SentenceTransformer(str(path), local_files_only=True, trust_remote_code=False)
    return SentenceEmbedder(model, _content_of(path), text_chars=text_chars)


def _content_of(folder: Path) -> str:
    """Return 24 hex digits of the SHA-256 over the names and contents of all files."""
    digest = hashlib.sha256()
    for file in sorted(item for item in folder.rglob("*") if item.is_file()):
        digest.update(f"\x00{file.relative_to(folder).as_posix()}\x00{file.stat().st_size}\x00".encode())
        with file.open("rb") as content:
            while block := content.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()[:24]
