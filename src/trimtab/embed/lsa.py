"""Latent semantic analysis: an embedder that needs no model, no network and no GPU, fitted on the texts at hand.

TF-IDF over words and word pairs and over character n-grams inside words (3-5), then a truncated SVD. Words give the
topic, character n-grams carry inflections and typing errors. Source: Deerwester et al., "Indexing by latent semantic
analysis", JASIS 41(6), 1990. Assumption: texts that share words, or words that occur in like texts, mean alike.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from threadpoolctl import threadpool_limits

from trimtab.ids import content_id

__all__ = ["LsaEmbedder", "LsaState", "fit_lsa"]

_WORD = re.compile(r"\w+")
_CHUNK = 8192
_SPARE = 10  # directions more than are wanted, so that the weakest wanted ones are found as well
_SVD_TEXTS = 8_000  # the SVD's cost grows with its rows and its directions settle long before this many


def _word_pairs(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


class _WordNgrams:
    """Counts of words and word pairs."""

    def __init__(self, max_features: int | None = None, vocabulary: dict[str, int] | None = None) -> None:
        self.counter = CountVectorizer(analyzer=_word_pairs, max_features=max_features, vocabulary=vocabulary)
        if vocabulary is not None:
            self.counter.vocabulary_ = vocabulary

    def fit(self, texts: Sequence[str]) -> Any:
        return self.counter.fit_transform(texts)

    def count(self, texts: Sequence[str]) -> Any:
        return self.counter.transform(texts)

    def vocabulary(self) -> dict[str, int]:
        return dict(self.counter.vocabulary_)


class _InnerNgrams:
    """Counts of character n-grams inside word borders.

    They are a sum over the words of a text, so each distinct word is cut once: counts = (texts x words) @ (words x
    n-grams), several times faster than cutting every text.
    """

    def __init__(self, max_features: int | None = None, vocabulary: dict[str, int] | None = None) -> None:
        self.counter = CountVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), max_features=max_features, vocabulary=vocabulary
        )

    def fit(self, texts: Sequence[str]) -> Any:
        per_text, words = self._words(texts)
        per_word = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5))
        grams = per_word.fit_transform(words)
        totals = np.asarray(per_text.sum(axis=0)).ravel() @ grams
        names = per_word.get_feature_names_out()
        kept = np.sort(np.argsort(-totals, kind="stable")[: self.counter.max_features])
        self.counter.set_params(vocabulary={str(names[column]): row for row, column in enumerate(kept)})
        return per_text @ grams[:, kept]

    def count(self, texts: Sequence[str]) -> Any:
        per_text, words = self._words(texts)
        if not words:
            return sparse.csr_matrix((len(texts), len(self.counter.vocabulary)))
        return per_text @ self.counter.transform(words)

    def vocabulary(self) -> dict[str, int]:
        return dict(self.counter.vocabulary)

    @staticmethod
    def _words(texts: Sequence[str]) -> tuple[Any, list[str]]:
        ids: dict[str, int] = {}
        columns: list[int] = []
        starts = [0]
        for text in texts:
            columns.extend(ids.setdefault(word, len(ids)) for word in text.lower().split())
            starts.append(len(columns))
        data = np.ones(len(columns), dtype=np.float64)
        shape = (len(texts), len(ids))
        counts = sparse.csr_matrix((data, np.asarray(columns, dtype=np.int64), np.asarray(starts)), shape=shape)
        counts.sum_duplicates()
        return counts, list(ids)


class LsaState(NamedTuple):
    """What a fitted space consists of.

    For each kind of n-gram its terms in column order and their idf (float64); the directions (terms x d, float32).
    """

    space: str
    vocabularies: tuple[list[str], ...]
    idfs: tuple[NDArray[np.float64], ...]
    directions: NDArray[np.float32]


class LsaEmbedder:
    """A fitted LSA space. Immutable and safe to use from several threads; made by `fit_lsa`."""

    def __init__(
        self,
        parts: Sequence[tuple[_WordNgrams | _InnerNgrams, TfidfTransformer]],
        directions: NDArray[np.float32],
        space: str,
    ) -> None:
        self._parts = tuple(parts)
        self._directions = directions
        self._space = space

    @classmethod
    def of(cls, state: LsaState) -> Self:
        """Return the embedder that `state` was taken from: the same id, bit-equal vectors."""
        parts: list[tuple[_WordNgrams | _InnerNgrams, TfidfTransformer]] = []
        kinds: tuple[type[_WordNgrams | _InnerNgrams], ...] = (_WordNgrams, _InnerNgrams)
        for kind, terms, idf in zip(kinds, state.vocabularies, state.idfs, strict=True):
            transform = TfidfTransformer(sublinear_tf=True)
            transform.idf_ = idf
            parts.append((kind(vocabulary={term: column for column, term in enumerate(terms)}), transform))
        return cls(parts, state.directions, state.space)

    def state(self) -> LsaState:
        """Return what must be kept to have this space again."""
        vocabularies = [ngrams.vocabulary() for ngrams, _ in self._parts]
        return LsaState(
            space=self._space,
            vocabularies=tuple(sorted(terms, key=terms.__getitem__) for terms in vocabularies),
            idfs=tuple(np.asarray(transform.idf_) for _, transform in self._parts),
            directions=self._directions,
        )

    def knows(self, word: str) -> bool:
        """Say whether the lower-case `word` had a direction of its own when the space was fitted."""
        return word in self._parts[0][0].counter.vocabulary_

    @property
    def space(self) -> str:
        """Id of this space, derived from what it was fitted on: equal fit, equal id."""
        return self._space

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._directions.shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text (n x d, float32) of length 1, or 0 when no n-gram of the text is known."""
        rows: NDArray[np.float32] = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            weighted = [transform.transform(ngrams.count(chunk)) for ngrams, transform in self._parts]
            rows[start : start + len(chunk)] = (
                sparse.hstack(weighted, format="csr").astype(np.float32) @ self._directions
            )
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        lengths[lengths < 1e-9] = 1.0
        rows /= lengths
        return rows


def fit_lsa(
    texts: Sequence[str], *, dimensions: int = 256, seed: int = 0, max_features: int = 60_000, iterations: int = 4
) -> LsaEmbedder:
    """Fit an LSA space on `texts` and return its embedder; the same texts, parameters and seed give the same space.

    `dimensions` is capped by what the texts can carry; of each n-gram kind the `max_features` most frequent are kept.
    Fewer `iterations` of the randomised SVD cost less and blur the weakest directions.
    Raises ValueError when the texts have no words at all.
    """
    distinct = list(dict.fromkeys(texts))
    if not any(re.search(r"\w", text) for text in distinct):
        raise ValueError(f"expected at least one text with a word to fit a space on, got {len(distinct)} without any")
    parts: list[tuple[_WordNgrams | _InnerNgrams, TfidfTransformer]] = []
    blocks = []
    for ngrams in (_WordNgrams(max_features), _InnerNgrams(max_features)):
        transform = TfidfTransformer(sublinear_tf=True)
        blocks.append(transform.fit_transform(ngrams.fit(distinct)))
        parts.append((ngrams, transform))
    matrix = sparse.hstack(blocks, format="csr").astype(np.float32)
    random = np.random.default_rng(seed)
    if matrix.shape[0] > _SVD_TEXTS:
        matrix = matrix[np.sort(random.choice(matrix.shape[0], _SVD_TEXTS, replace=False))]
    rank = min(dimensions, *matrix.shape)
    # Too small for several threads, which wait for each other a hundred times as long on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        directions = _directions(matrix, rank, iterations, random)
    told = {
        "parameters": [dimensions, seed, max_features, *([] if iterations == 4 else [iterations])],
        "vocabulary": [sorted(ngrams.vocabulary()) for ngrams, _ in parts],
        "idf": [hashlib.sha256(transform.idf_.tobytes()).hexdigest() for _, transform in parts],
        "texts": hashlib.sha256("\x00".join(distinct).encode("utf-8", "surrogatepass")).hexdigest(),
    }
    space = content_id("lsa", json.dumps(told, sort_keys=True).encode())
    return LsaEmbedder(parts, directions, space)


def _directions(matrix: Any, rank: int, iterations: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return the first `rank` right singular vectors of `matrix` (texts x terms), strongest first (terms x rank).

    Subspace iteration from random directions, then the singular vectors within what it spans; the columns are made
    orthonormal by the eigenvectors of their Gram matrix, in half the time of a QR decomposition. A direction that is a
    millionth as strong as the first comes back as 0. Source: Halko, Martinsson and Tropp, "Finding structure with
    randomness", SIAM Review 53(2), 2011, 4.4 and 5.1.
    """
    size = min(rank + _SPARE, *matrix.shape)
    found = random.standard_normal((matrix.shape[0], size), dtype=np.float32)
    for _ in range(iterations):
        found = matrix @ (matrix.T @ found)
        found = found @ _levelling(found).astype(np.float32)
    terms = matrix.T @ found
    level = _levelling(terms)
    _, turned = np.linalg.eigh(level.T @ _gram(matrix @ terms) @ level)
    directions: NDArray[np.float32] = terms @ (level @ turned[:, ::-1][:, :rank]).astype(np.float32)
    return directions


def _levelling(columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what makes these columns orthonormal when they are multiplied by it (d x d)."""
    values, turned = np.linalg.eigh(_gram(columns))
    held = values > values[-1] * 1e-12
    return np.asarray(turned * np.where(held, np.where(held, values, 1.0) ** -0.5, 0.0))


def _gram(columns: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = columns.astype(np.float64)
    return np.asarray(wide.T @ wide)
