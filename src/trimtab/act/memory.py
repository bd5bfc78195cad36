"""A feature that answers from memory: the answers of the Version's nearest exemplars, weighted by likeness.

The same slot that holds few-shot exemplars in a prompt, without the model: learning is adding exemplars, so the whole
loop can be run, tested and studied on one machine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.port import Embedder
from trimtab.records import Exemplar, Version

__all__ = ["ExemplarMemory", "FittedMemory"]

_CHUNK = 2048
_VERSIONS_KEPT = 8
_ALIKE = 0.55  # cosine from which two inputs ask for the same thing
_SHOWN = 3  # exemplars in a prompt
_SHOWN_FROM = 0.3  # cosine; LSA of short texts rarely goes higher between different wordings
_FORGOTTEN = 0.02  # weight under which an exemplar no longer counts


class _Memory(NamedTuple):
    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    answers: list[str]


class ExemplarMemory:
    """Similarity-weighted k nearest neighbours over a Version's exemplars.

    An answer's vote is the sum over the k nearest exemplars with that output of max(cosine, 0) ** 3 times the
    exemplar's standing; the highest sum wins, ties go to the answer seen first. Standing: an exemplar added later
    (`added_at`) that asks alike (cosine >= 0.55) but answers otherwise weakens an older one, one that agrees restores
    it, so that a changed policy is learned without being told which exemplars are out of date. Exemplars without
    `added_at` count as the oldest and do not weaken one another.

    Vectors are kept per exemplar text, so a version that adds twenty exemplars to thousands costs twenty.
    """

    def __init__(self, embedder: Embedder, *, neighbours: int = 7) -> None:
        self._embedder = embedder
        self._neighbours = neighbours
        self._lock = threading.Lock()
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._versions: OrderedDict[tuple[str, int], _Memory] = OrderedDict()

    @property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        return self._embedder

    def refit(self, embedder: Embedder) -> None:
        """Move to another space; what was computed in the old one is forgotten."""
        with self._lock:
            if embedder.space != self._embedder.space:
                self._vectors.clear()
                self._versions.clear()
            self._embedder = embedder

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        """Return one answer per input, in order; "" for all when the version has no exemplars."""
        return self.answer_vectors(version, inputs)[0]

    def answer_vectors(self, version: Version, inputs: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """Return the answers and the vectors of the inputs (n x d), for callers that go on with both."""
        with self._lock:
            embedder = self._embedder
            memory = self._memory(version)
        queries = embedder.embed(list(inputs))
        if not memory.answers:
            return [""] * len(inputs), queries
        answers: list[str] = []
        for start in range(0, len(queries), _CHUNK):
            answers.extend(_vote(memory, queries[start : start + _CHUNK], self._neighbours))
        return answers, queries

    def _memory(self, version: Version) -> _Memory:
        version_id = _content(version)
        known = self._versions.get(version_id)
        if known is None:
            known = self._build(_remembered(version))
            self._versions[version_id] = known
            while len(self._versions) > _VERSIONS_KEPT:
                self._versions.popitem(last=False)
        self._versions.move_to_end(version_id)
        return known

    def _build(self, exemplars: Sequence[Exemplar]) -> _Memory:
        if not exemplars:
            return _Memory(np.zeros((0, 1), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), [])
        new = list(dict.fromkeys(item.input for item in exemplars if item.input not in self._vectors))
        self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        vectors = np.stack([self._vectors[item.input] for item in exemplars])
        ids: dict[str, int] = {}
        labels = np.array([ids.setdefault(item.output, len(ids)) for item in exemplars], dtype=np.int64)
        weights = _standing(exemplars, vectors, labels)
        kept = weights >= _FORGOTTEN
        return _Memory(vectors[kept], labels[kept], weights[kept], list(ids))


class FittedMemory:
    """An exemplar memory that needs no embedder: it fits a space on each Version's own exemplars when first asked.

    For features of up to some thousands of exemplars; the spaces of the latest versions are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fitted: OrderedDict[tuple[str, int], ExemplarMemory] = OrderedDict()

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        """Return one answer per input, in order; "" for all when the version has no exemplars."""
        memory = self._memory(version)
        return memory.answer(version, inputs) if memory else [""] * len(inputs)

    def nearest(self, version: Version, text: str) -> Sequence[Exemplar]:
        """Return the exemplars to show a model with this input: at most three that ask alike, the nearest last."""
        memory = self._memory(version) if version.exemplars else None
        if memory is None:
            return []
        likeness = memory.embedder.embed([item.input for item in version.exemplars]) @ memory.embedder.embed([text])[0]
        chosen = np.argsort(likeness, kind="stable")[-_SHOWN:]
        return [version.exemplars[row] for row in chosen if likeness[row] >= _SHOWN_FROM]

    def _memory(self, version: Version) -> ExemplarMemory | None:
        texts = [item.input for item in _remembered(version)]
        if not any(character.isalnum() for text in texts for character in text):
            return None
        version_id = _content(version)
        with self._lock:
            known = self._fitted.get(version_id)
            if known is None:
                from trimtab.embed.lsa import fit_lsa  # noqa: PLC0415  a second of importing, only on first use

                known = self._fitted[version_id] = ExemplarMemory(fit_lsa(texts))
                while len(self._fitted) > _VERSIONS_KEPT:
                    self._fitted.popitem(last=False)
            self._fitted.move_to_end(version_id)
            return known


def _content(version: Version) -> tuple[str, int]:
    """Return what a memory is known by: an erasure takes exemplars out of a version, which keeps its id."""
    words = tuple((item.input, item.output) for item in _remembered(version))
    return version.id or version.identified().id, hash(words)


def _remembered(version: Version) -> list[Exemplar]:
    """Return what a memory answers from: knowledge is to it an example like any other; what is for one user is not."""
    told = [
        Exemplar(id=item.id, input=item.question or item.text, output=item.text, added_at=item.added_at)
        for item in version.knowledge
    ]
    return [*(item for item in version.exemplars if not item.audience), *told]


def _standing(
    exemplars: Sequence[Exemplar], vectors: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the weight of each exemplar after all later ones have spoken, in the order they were added."""
    weights = np.ones(len(exemplars), dtype=np.float32)
    added = np.array([item.added_at.timestamp() if item.added_at else -np.inf for item in exemplars])
    later = np.flatnonzero(np.isfinite(added))
    for row in later[np.argsort(added[later], kind="stable")]:
        alike = vectors @ vectors[row]
        older = (alike >= _ALIKE) & (added < added[row])
        agrees = labels == labels[row]
        doubt = 0.5 * np.clip((alike - _ALIKE) / (1 - _ALIKE) + 0.3, 0, 1)
        weights = np.where(older & ~agrees, weights * (1 - doubt), weights)
        weights = np.where(older & agrees, np.minimum(weights * 1.3, 1.0), weights)
    return weights.astype(np.float32)


def _vote(memory: _Memory, queries: NDArray[np.float32], neighbours: int) -> list[str]:
    likeness = queries @ memory.vectors.T
    count = min(neighbours, likeness.shape[1])
    nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    rows = np.arange(len(queries))[:, None]
    strength = np.maximum(likeness[rows, nearest], 0) ** 3 * memory.weights[nearest]
    votes = np.zeros((len(queries), len(memory.answers)), dtype=np.float64)
    np.add.at(votes, (np.broadcast_to(rows, nearest.shape), memory.labels[nearest]), strength)
    best = votes.argmax(axis=1)
    return [memory.answers[label] if votes[row, label] > 0 else "" for row, label in enumerate(best)]
