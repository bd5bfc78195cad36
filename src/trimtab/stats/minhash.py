"""Texts that say nearly the same: MinHash sketches of word shingles, compared where a band of them agrees.

A text is the set of its runs of three words (the whole text where it has fewer; of characters where a language writes
no blanks). Each of 128 hash functions keeps its smallest value over the set; two sketches agree in one place with the
probability of the sets' Jaccard likeness J (Broder 1997), so the share of agreeing places estimates J with a standard
error of sqrt(J(1-J)/128), 0.035 at J = 0.8. Only pairs that agree in all 8 places of one of 16 bands are compared
(Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4): a pair with J = 0.8 is looked at with probability
1-(1-0.8^8)^16 = 0.95, one with J = 0.5 with 0.06. O(n log n) a band.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "PERMUTATIONS", "THRESHOLD", "Sketcher", "banded", "like_any", "repeats"]

PERMUTATIONS = 128
THRESHOLD = 0.8
"""Two texts whose estimated likeness is at least this count as the same."""

BANDS = 16
_PLACES = PERMUTATIONS // BANDS
_SHINGLE = 3
_WORD = re.compile(r"\w+")
_LONG_WORD = 16  # more characters a word than this: a script without blanks
_REMEMBERED = 200_000
_LOT = 256
_PAIRS = 1 << 16

Sketches = NDArray[np.uint32]
Bands = NDArray[np.uint64]
_U64 = np.uint64


class Sketcher:
    """Makes sketches; the same text gives the same sketch in every process."""

    def __init__(self) -> None:
        dice = np.random.Generator(np.random.PCG64(20260101))
        self._factors = dice.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        self._terms = dice.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
        self._known = _Words()

    def sketch(self, texts: Sequence[str]) -> Sketches:
        """Return one sketch a text, shape (texts, 128)."""
        found = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
        for start in range(0, len(texts), _LOT):
            lot = [self._shingles(text) for text in texts[start : start + _LOT]]
            self._reduce(lot, found[start : start + len(lot)])
        return found

    def _reduce(self, lot: Sequence[NDArray[np.uint64]], into: Sketches) -> None:
        starts = np.cumsum([0, *(len(each) for each in lot[:-1])])
        every = (np.concatenate(lot) >> _U64(32)).astype(np.uint32)
        hashed = np.empty_like(every)
        for place in range(
            PERMUTATIONS
        ):  # an odd factor modulo 2^32 is a permutation; 32 bits are what machines do fast
            np.multiply(every, self._factors[place], out=hashed)
            np.add(hashed, self._terms[place], out=hashed)
            into[:, place] = np.minimum.reduceat(hashed, starts)

    def _shingles(self, text: str) -> NDArray[np.uint64]:
        folded = text.casefold()
        words: Sequence[str] = _WORD.findall(folded)
        if len(words) * _LONG_WORD < len(folded):
            words = folded
        hashes = np.fromiter(map(self._known.__getitem__, words), dtype=np.uint64, count=len(words))
        if len(hashes) < _SHINGLE:
            return _mixed(np.array([sum(int(each) * (place + 3) for place, each in enumerate(hashes))], np.uint64))
        runs = hashes[:-2] * _U64(0x9E3779B97F4A7C15) + hashes[1:-1] * _U64(0xC2B2AE3D27D4EB4F) + hashes[2:]
        return _mixed(runs)


class _Words(dict[str, int]):
    """The hashes of words, each reckoned once while it is remembered."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return found


def banded(sketches: Sketches) -> Bands:
    """Return one key for each band of each sketch, shape (sketches, 16): where two keys agree, the bands do."""
    found = np.empty((len(sketches), BANDS), dtype=np.uint64)
    for band in range(BANDS):
        keys = np.zeros(len(sketches), dtype=np.uint64)
        for place in range(band * _PLACES, (band + 1) * _PLACES):
            keys = _mixed(keys + sketches[:, place].astype(np.uint64))
        found[:, band] = keys
    return found


def repeats(sketches: Sketches, bands: Bands, groups: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return by row whether an earlier row of the same group says nearly the same.

    Likeness is passed on: of a chain of near texts the first stays. `sketches` and `bands` may lie on disk (a memory
    map); of the sketches only those are read whose bands agree.
    """
    found = np.zeros(len(sketches), dtype=np.bool_)
    salt = groups * _U64(0x165667B19E3779F9)
    for band in range(BANDS):
        keys = bands[:, band] ^ salt
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        is_first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        same = np.flatnonzero(~is_first)
        if not len(same):
            continue
        heads = np.maximum.accumulate(np.where(is_first, np.arange(len(ranked)), 0))
        later = order[same]
        # Each is compared with the first of its kind and with the one just before it.
        for earlier in (order[heads[same]], order[same - 1]):
            found[later[_alike(sketches, later, earlier)]] = True
    return found


def like_any(sketches: Sketches, bands: Bands, known: Sketches, known_bands: Bands) -> NDArray[np.bool_]:
    """Return by row whether it says nearly the same as one of `known`, a few thousand sketches at most."""
    found = np.zeros(len(sketches), dtype=np.bool_)
    if not len(known):
        return found
    for band in range(BANDS):
        others = known_bands[:, band]
        for row in np.flatnonzero(np.isin(bands[:, band], others) & ~found):
            near = known[others == bands[row, band]]
            found[row] = bool(((near == sketches[row]).mean(axis=1) >= THRESHOLD).any())
    return found


def _alike(sketches: Sketches, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    parts = [
        (sketches[left[start : start + _PAIRS]] == sketches[right[start : start + _PAIRS]]).mean(axis=1) >= THRESHOLD
        for start in range(0, len(left), _PAIRS)
    ]
    return np.concatenate(parts)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values with their bits mixed (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = values + _U64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    return values ^ (values >> _U64(31))
