"""An embedder without a fit: words and pieces of words, hashed into a fixed number of places.

For moments before any space is fitted, and for decisions that must not depend on what was seen before, such as whether
a turn says the one before it again. It knows spelling, not meaning: "parcel" and "package" are strangers to it.

Each text is a bag of its words and of the character n-grams (3-4) of each word between its borders; of scripts written
without spaces also the pairs of characters. A feature's count c weighs 1 + ln c, a piece of a word three quarters of
a word, so that long words, the rarer ones, weigh more. Source: Weinberger et al., "Feature hashing for large
scale multitask learning", ICML 2009 (signed hashing keeps the dot product unbiased; its error is about
1 / sqrt(places)).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEXICAL_SPACE", "LexicalEmbedder"]

LEXICAL_SPACE = "lexical_1"  # a new number whenever one vector would change

_DIMENSIONS = 1024
_CHUNK = 1024
_PIECE_WEIGHT = 0.75
_FIRST_WIDE = 0x2E80  # the code points from here on are written without spaces between words
_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x100000001B3)
_MIXERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(33)


class LexicalEmbedder:
    """Hashed words and n-grams; has no state and may be used from several threads."""

    @property
    def space(self) -> str:
        """Id of the space: constant, with the number of the way of hashing."""
        return LEXICAL_SPACE

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text (n x 1024, float32) of length 1, or 0 when the text has no letter and no digit."""
        rows: NDArray[np.float32] = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            _fill(texts[start : start + _CHUNK], rows[start : start + _CHUNK])
        return rows


def _fill(texts: Sequence[str], rows: NDArray[np.float32]) -> None:
    """Write the vectors of `texts` into the zeros `rows`."""
    ids: dict[str, int] = {}
    said: list[int] = []
    ends = []
    for text in texts:
        said.extend([ids.setdefault(word, len(ids)) for word in _WORD.findall(_folded(text))])
        ends.append(len(said))
    if not said:
        return
    features, weights, starts = _cut(list(ids))
    # Each said word stands for all features of it: their places in `features`, one after the other.
    words = np.asarray(said)
    sizes = np.diff(starts)[words]
    inside = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.repeat(starts[words], sizes) + inside
    text_of_word = np.repeat(np.arange(len(texts)), np.diff([0, *ends]))
    text_of_feature = np.repeat(text_of_word, sizes)
    kinds, place = np.unique(features, return_inverse=True)
    seen, counts = np.unique(text_of_feature * len(kinds) + place[chosen], return_counts=True)
    row, kind = np.divmod(seen, len(kinds))
    weight_of_kind = np.zeros(len(kinds), dtype=np.float32)
    weight_of_kind[place] = weights
    values = (1 + np.log(counts, dtype=np.float32)) * weight_of_kind[kind]
    sign = np.where(kinds >> np.uint64(63), np.float32(1), np.float32(-1))[kind]
    column = (kinds % np.uint64(_DIMENSIONS)).astype(np.int64)[kind]
    sums = np.bincount(row * _DIMENSIONS + column, weights=values * sign, minlength=rows.size)
    rows += sums.reshape(rows.shape)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths < 1e-9, 1, lengths)


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _cut(words: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of all words, one word after the other, their weights, and where each word's begin.

    Cut and hashed for all words at once; one code point is one unit, a lone surrogate too.
    """
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words)) + 2
    joined = "".join(chain.from_iterable((" ", word, " ") for word in words))
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    word_of_point = np.repeat(np.arange(len(words)), lengths)
    owners = [np.arange(len(words))]
    hashes = [_mixed(_word_hashes(points, lengths), 1)]
    weights = [np.ones(len(words), dtype=np.float32)]
    for size in (2, 3, 4):
        if len(points) < size:
            continue
        within = word_of_point[size - 1 :] == word_of_point[: len(points) - size + 1]
        windows = np.lib.stride_tricks.sliding_window_view(points, size)
        if size == 2:
            within &= windows.min(axis=1) >= _FIRST_WIDE
        windows = windows[within]
        if not len(windows):
            continue
        rolled = np.zeros(len(windows), dtype=np.uint64)
        for place in range(size):
            rolled = rolled * _MULTIPLIER + windows[:, place]
        hashes.append(_mixed(rolled, size))
        owners.append(word_of_point[: len(points) - size + 1][within])
        weights.append(np.full(len(windows), _PIECE_WEIGHT, dtype=np.float32))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(words) + 1))
    return np.concatenate(hashes)[order], np.concatenate(weights)[order], starts


def _word_hashes(points: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a polynomial hash of each word: the sum of its code points, each times a power that tells its place."""
    starts = np.cumsum(lengths) - lengths
    inside = np.arange(len(points)) - np.repeat(starts, lengths)
    powers = np.multiply.accumulate(np.full(int(lengths.max()), _MULTIPLIER, dtype=np.uint64))
    summed: NDArray[np.uint64] = np.add.reduceat(points * powers[inside], starts)
    return summed


def _mixed(hashes: NDArray[np.uint64], kind: int) -> NDArray[np.uint64]:
    """Spread the bits (the finalizer of MurmurHash3), apart for each kind of feature."""
    hashes = hashes + np.uint64(kind) * np.uint64(0x9E3779B97F4A7C15 >> 8)
    for mixer in _MIXERS:
        hashes ^= hashes >> _SHIFT
        hashes *= mixer
    return hashes ^ (hashes >> _SHIFT)
