"""A feature that answers from memory: the answers of the Version's nearest exemplars, weighted by likeness.

The same slot that holds few-shot exemplars in a prompt, without the model: learning is adding exemplars, so the whole
loop can be run, tested and studied on one machine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.act.alike import ALIKE, Alike
from trimtab.embed.adapter import Adapter, fit_adapter, sums
from trimtab.embed.port import Embedder
from trimtab.records import Exemplar, Payload, Version, text_of
from trimtab.stats.nearest import greatest

__all__ = ["Considered", "ExemplarMemory", "FittedMemory"]

_CHUNK = 2048
_VERSIONS_KEPT = 8
_SAID_KEPT = 20_000  # answers of one version
_ALONE = 64  # in a product of fewer rows a row may differ in the last bit from the same one among many
_TYPICAL = 0.3  # share of an answer's exemplars that a typical question is nearer to its centre than
_FEW = 3
_FORGOTTEN = 0.02  # weight under which an exemplar no longer counts


class _Said(NamedTuple):
    answer: str
    margin: float
    nearest: float


class _Memory(NamedTuple):
    """What is made of a version's exemplars; `rows` are those of all, the others of those that still count."""

    rows: NDArray[np.float32]
    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    answers: list[str]
    adapter: Adapter | None
    centres: NDArray[np.float32] | None
    said: dict[str, _Said]

    def seen(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors of the space as this memory sees them."""
        return queries if self.adapter is None or not len(queries) else self.adapter.apply(queries)


class Considered(NamedTuple):
    """Answers with what led to them, one row per input.

    `margin` is the lead of the winning answer's share of the vote over the second's, 0 to 1; `nearest` the likeness of
    the nearest exemplar; `vectors` the inputs as the memory sees them (n x d, unit rows).
    """

    answers: list[str]
    margin: NDArray[np.float64]
    nearest: NDArray[np.float64]
    vectors: NDArray[np.float32]


class ExemplarMemory:
    """Similarity-weighted k nearest neighbours over a Version's exemplars.

    An answer's vote is the sum over the k nearest exemplars with that output of max(cosine, 0) ** 3 times the
    exemplar's standing; the highest sum wins, ties go to the answer seen first. Standing: an exemplar added later
    (`added_at`) that asks alike (cosine >= 0.55) but answers otherwise weakens an older one, one that agrees restores
    it, so that a changed policy is learned without being told which exemplars are out of date. Exemplars without
    `added_at` count as the oldest and do not weaken one another.

    With a `shrinkage` each Version's exemplars also fit a linear adapter (`trimtab.embed.adapter`) in front of the
    space, through which its exemplars and the inputs go before they are compared. With a `balance` b above 0 an answer
    with n exemplars has each of them count (median n / n) ** b, between 1/2 and 4 before the power: a new answer with
    few exemplars is not outvoted by old ones with many. With `centres` c above 0 the share of the vote is joined by c
    times the share that an answer has of max(cosine to its exemplars' mean, 0) ** 8 over all answers: neighbours say
    what a question is like, centres what kind it is of.

    Vectors are kept per exemplar text, so a version that adds twenty exemplars to thousands costs twenty; what a
    version answered is kept too, so asking it the same again costs little.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        neighbours: int = 7,
        shrinkage: float | None = None,
        balance: float = 0.0,
        centres: float = 0.0,
    ) -> None:
        self._embedder = embedder
        self._neighbours = neighbours
        self._shrinkage = shrinkage
        self._balance = balance
        self._centres = centres
        self._lock = threading.Lock()
        self._alike = Alike()
        self._versions: OrderedDict[tuple[str, int], _Memory] = OrderedDict()

    @property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        return self._embedder

    def space(self, version: Version) -> Embedder | None:
        """Return the embedder in use, which is the same for all versions; None where this one has no exemplars."""
        return self.embedder if _remembered(version) else None

    def refit(self, embedder: Embedder) -> None:
        """Move to another space; what was computed in the old one is forgotten."""
        with self._lock:
            if embedder.space != self._embedder.space:
                self._alike = Alike()
                self._versions.clear()
            self._embedder = embedder

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order; "" for all when the version has no exemplars."""
        return self.consider(version, [text_of(payload) for payload in inputs]).answers

    def consider(self, version: Version, inputs: Sequence[str]) -> Considered:
        """Return the answers and how sure they are, for callers that choose whom to ask about."""
        embedder, memory = self._now(version)
        queries = memory.seen(embedder.embed(list(inputs)))
        said = self._said(memory, inputs, queries)
        return Considered(
            [each.answer for each in said],
            np.array([each.margin for each in said], dtype=np.float64),
            np.array([each.nearest for each in said], dtype=np.float64),
            queries,
        )

    def vectors(self, version: Version, inputs: Sequence[str]) -> NDArray[np.float32]:
        """Return the inputs as the memory of this version sees them (n x d, unit rows)."""
        embedder, memory = self._now(version)
        return memory.seen(embedder.embed(list(inputs)))

    def typical(self, version: Version, inputs: Sequence[str], *, before: datetime) -> list[str | None]:
        """Return for each input the answer it is a typical question of, by exemplars added before then; else None.

        That is the answer whose exemplars' mean is nearest, if at least 30% of these lie no nearer. Answers with fewer
        than three such exemplars have no typical ones.
        """
        embedder, memory = self._now(version)
        known = [item for item in version.exemplars if not item.audience]  # the first rows of the memory
        places = [row for row, item in enumerate(known) if item.added_at is None or item.added_at < before]
        if not places or not inputs:
            return [None] * len(inputs)
        vectors, queries = memory.rows[places], memory.seen(embedder.embed(list(inputs)))
        ids: dict[str, int] = {}
        labels = np.array([ids.setdefault(known[row].output, len(ids)) for row in places], dtype=np.int64)
        centres = _centres(vectors, labels, np.ones(len(places), dtype=np.float32), len(ids))
        nearness = np.einsum("ij,ij->i", vectors, centres[labels])
        least = [
            float(np.quantile(nearness[labels == label], _TYPICAL)) if (labels == label).sum() >= _FEW else np.inf
            for label in range(len(ids))
        ]
        likeness = queries @ centres.T
        nearest = likeness.argmax(axis=1)
        names = list(ids)
        return [names[label] if likeness[row, label] >= least[label] else None for row, label in enumerate(nearest)]

    def _now(self, version: Version) -> tuple[Embedder, _Memory]:
        """Return the embedder in use, and what is made of the version's exemplars in its space."""
        with self._lock:
            return self._embedder, self._memory(version)

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
            none = np.zeros((0, 1), np.float32)
            return _Memory(none, none, np.zeros(0, np.int64), np.zeros(0, np.float32), [], None, None, {})
        places = self._alike.places(exemplars, self._embedder.embed)
        vectors = self._alike.vectors(places)
        ids: dict[str, int] = {}
        labels = np.array([ids.setdefault(item.output, len(ids)) for item in exemplars], dtype=np.int64)
        weights = _standing(exemplars, labels, places, self._alike)
        kept = weights >= _FORGOTTEN
        adapter = (
            fit_adapter(vectors[kept], labels[kept], weights[kept], shrinkage=self._shrinkage)
            if self._shrinkage
            else None
        )
        rows = vectors if adapter is None else adapter.apply(vectors)
        vectors, labels, weights = rows[kept], labels[kept], weights[kept]
        if self._balance and len(labels):
            count = np.bincount(labels, weights)
            share = np.median(count[count > 0]) / count[labels]
            weights = (weights * np.clip(share, 0.5, 4.0) ** self._balance).astype(np.float32)
        centres = _centres(vectors, labels, weights, len(ids)) if self._centres else None
        return _Memory(rows, vectors, labels, weights, list(ids), adapter, centres, {})

    def _said(self, memory: _Memory, inputs: Sequence[str], queries: NDArray[np.float32]) -> list[_Said]:
        """Return what the memory says to each input, whose `queries` are; what it was asked before is not voted on."""
        said = memory.said if len(inputs) >= _ALONE else {}
        new = [place for place, text in enumerate(inputs) if text not in said]
        places = np.array(new if len(new) >= _ALONE else range(len(inputs)) if new else [], dtype=np.int64)
        for part in np.array_split(places, -(-len(places) // _CHUNK)) if new else []:
            told = _vote(memory, queries[part], self._neighbours, self._centres)
            said.update(zip((inputs[place] for place in part.tolist()), told, strict=True))
        found = [said[text] for text in inputs]
        if len(said) > _SAID_KEPT:
            said.clear()
        return found


class FittedMemory:
    """An exemplar memory that needs no embedder: it fits a space on each Version's own exemplars when first asked.

    For features of up to some thousands of exemplars; the spaces of the latest versions are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fitted: OrderedDict[tuple[str, int], ExemplarMemory] = OrderedDict()

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order; "" for all when the version has no exemplars."""
        memory = self._memory(version)
        return memory.answer(version, inputs) if memory else [""] * len(inputs)

    def space(self, version: Version) -> Embedder | None:
        """Return the embedder fitted on the version's exemplars, None where they have no words."""
        memory = self._memory(version)
        return memory.embedder if memory else None

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
    exemplars: Sequence[Exemplar], labels: NDArray[np.int64], places: NDArray[np.int64], alike: Alike
) -> NDArray[np.float32]:
    """Return the weight of each exemplar after all later ones have spoken, in the order they were added."""
    weights = np.ones(len(exemplars), dtype=np.float32)
    added = np.array([item.added_at.timestamp() if item.added_at else -np.inf for item in exemplars])
    later = np.flatnonzero(np.isfinite(added))
    later = later[np.argsort(added[later], kind="stable")]
    alike.look(places[later])
    row_at = alike.rows_at(places)
    for row in later.tolist():
        near, likeness = alike.near(int(places[row]))
        near = row_at[near]
        heard = (near >= 0) & (likeness >= ALIKE)
        near, likeness = near[heard], likeness[heard]
        older = added[near] < added[row]
        near, likeness = near[older], likeness[older]
        agrees = labels[near] == labels[row]
        doubt = 0.5 * np.clip((likeness - ALIKE) / (1 - ALIKE) + 0.3, 0, 1)
        old = weights[near]
        weights[near] = np.where(agrees, np.minimum(old * 1.3, 1.0), old * (1 - doubt))
    return weights


def _centres(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    """Return the mean of each answer's exemplars, of length 1, or 0 where none is left."""
    total = np.asarray(sums(vectors, labels, weights.astype(np.float32), count), dtype=np.float32)
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    lengths[lengths < 1e-9] = 1.0
    total /= lengths
    return total


def _vote(memory: _Memory, queries: NDArray[np.float32], neighbours: int, share: float) -> list[_Said]:
    """Return what the memory says to each query."""
    if not memory.answers:
        return [_Said("", 0.0, 0.0)] * len(queries)
    nearest, alike = greatest(queries @ memory.vectors.T, neighbours)
    rows = np.arange(len(queries))[:, None]
    strength = np.maximum(alike, 0) ** 3 * memory.weights[nearest]
    votes = np.zeros((len(queries), len(memory.answers)), dtype=np.float64)
    np.add.at(votes, (np.broadcast_to(rows, nearest.shape), memory.labels[nearest]), strength)
    total = votes.sum(axis=1, keepdims=True)
    votes /= np.where(total < 1e-12, 1.0, total)
    if memory.centres is not None:
        near = np.maximum(queries @ memory.centres.T, 0).astype(np.float64) ** 8
        whole = near.sum(axis=1, keepdims=True)
        votes += share * (near / np.where(whole < 1e-12, 1.0, whole))
    best = votes.argmax(axis=1)
    top = votes[rows[:, 0], best]
    answers = [memory.answers[label] if top[row] > 0 else "" for row, label in enumerate(best)]
    votes[rows[:, 0], best] = 0.0
    lead = top - votes.max(axis=1)
    return [_Said(*each) for each in zip(answers, lead.tolist(), alike.max(axis=1).tolist(), strict=True)]
