"""What a watch on inputs keeps of a text: which words it holds, hashed, and a short vector of how it is spelled."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.lexical import LexicalEmbedder

__all__ = ["DIMENSIONS", "WORDS", "Traits", "place_of", "traits_of", "words_of"]

WORDS = 1 << 14
"""Places that words are hashed into; two that share one are counted together."""
DIMENSIONS = 256
"""Length of a vector: the lexical embedder's, folded."""

_MOST_WORDS = 200
_MOST_CHARS = 4_000
_WORD = re.compile(r"\w+")
_EMBEDDER = LexicalEmbedder()


class Traits(NamedTuple):
    """Of one text: the places of its words (each once), and its vector (256, length 1, or 0 for no words)."""

    words: NDArray[np.int32]
    vector: NDArray[np.float32]


def words_of(text: str) -> list[str]:
    """Return the words of a text, each once, in order of appearance: its first 200, in small letters, without numbers.

    >>> words_of("Where is MY parcel, my parcel 4711?")
    ['where', 'is', 'my', 'parcel']
    """
    found = dict.fromkeys(word for word in _WORD.findall(text[:_MOST_CHARS].casefold()) if not word.isdecimal())
    return list(found)[:_MOST_WORDS]


@lru_cache(maxsize=1 << 16)
def place_of(word: str) -> int:
    """Return the place of a word."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) & (WORDS - 1)


def traits_of(texts: Sequence[str]) -> list[Traits]:
    """Return what is kept of each text; all at once costs some 50 us a text."""
    if not texts:
        return []
    folded = _EMBEDDER.embed([text[:_MOST_CHARS] for text in texts]).reshape(len(texts), -1, DIMENSIONS).sum(axis=1)
    lengths = np.linalg.norm(folded, axis=1, keepdims=True)
    vectors = folded / np.where(lengths < 1e-9, np.float32(1), lengths)
    places = [sorted({place_of(word) for word in words_of(text)}) for text in texts]
    return [
        Traits(np.asarray(held, dtype=np.int32), row.astype(np.float32))
        for held, row in zip(places, vectors, strict=True)
    ]
