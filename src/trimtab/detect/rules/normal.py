"""What the inputs of a group were like in the reference: how many held each word, which topics there were."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.detect.traits import DIMENSIONS, WORDS, Traits

__all__ = ["FEW_WORDS", "NO_TOPIC", "SIGNS", "Normal", "packed", "unpacked"]

TOPICS = 16
NO_TOPIC, FAR_OFF, UNHEARD, FEW_WORDS = TOPICS, TOPICS + 1, TOPICS + 2, TOPICS + 3
SIGNS = TOPICS + 4
"""What is counted of an input beside its words: its topic, that it fits none (a twentieth of the reference does not),
that it fits none by far (a fiftieth), that it holds one word never heard in the bank, or two."""

_BANK = 256
_ROUNDS = 8
_SCALE = 127.0

Counts = NDArray[np.int64]


class Normal:
    """The frozen reference of one group, from its first input on.

    The first inputs, 256 at most, say which topics and words there are, and are then forgotten. Signs are counted over
    the inputs after those, words over all. Only counts, hashed, and the middles of topics are kept for good.
    """

    def __init__(self, events: int, hours: float, state: Mapping[str, Any] | None = None) -> None:
        told = state or {}
        self._events = events
        self._hours = timedelta(hours=hours)
        self._size = min(_BANK, events // 2)
        self._since = datetime.fromisoformat(told["since"]) if told else None
        self._bank: NDArray[np.int8] | None = _rows(told["bank"]) if told.get("bank") else None
        self._topics: NDArray[np.float32] | None = _scaled(_rows(told["topics"])) if told.get("topics") else None
        self._lines: list[float] = list(told.get("lines", ()))
        self._heard = unpacked(told["heard"], WORDS).astype(bool) if told.get("heard") else np.zeros(WORDS, bool)
        self.words: Counts = unpacked(told["words"], WORDS) if told else np.zeros(WORDS, np.int64)
        self.signs: Counts = np.asarray(told.get("signs") or [0] * SIGNS, dtype=np.int64)
        self.inputs: int = told.get("inputs", 0)
        self.signed: int = told.get("signed", 0)
        self.frozen: bool = told.get("frozen", False)

    def learn(self, traits: Traits, now: datetime) -> None:
        """Add an input to the reference; it is frozen when it is large enough and old enough."""
        self._since = self._since or now
        self.words[traits.words] += 1
        self.inputs += 1
        if self._topics is None:
            row = np.rint(traits.vector * _SCALE).astype(np.int8)[None, :]
            self._bank = row if self._bank is None else np.concatenate([self._bank, row])
            if len(self._bank) >= self._size:
                self._draw(self._bank)
        else:
            self.signs[self.signs_of(traits)] += 1
            self.signed += 1
        self.frozen = self.signed > 0 and self.inputs >= self._events and now - self._since >= self._hours

    def signs_of(self, traits: Traits) -> list[int]:
        """Return the signs of an input; none before the topics are known."""
        if self._topics is None:
            return []
        unheard = len(traits.words) - int(np.count_nonzero(self._heard[traits.words]))
        found = [sign for sign, least in ((UNHEARD, 1), (FEW_WORDS, 2)) if unheard >= least]
        if not traits.vector.any():
            return found
        alike = self._topics @ traits.vector
        nearest = int(alike.argmax())
        found.append(nearest)
        found += [sign for sign, line in zip((NO_TOPIC, FAR_OFF), self._lines, strict=True) if alike[nearest] < line]
        return found

    def state(self) -> dict[str, Any]:
        """Return it as JSON."""
        told: dict[str, Any] = {
            "since": self._since.isoformat() if self._since else None,
            "words": packed(self.words),
            "inputs": self.inputs,
            "frozen": self.frozen,
        }
        if self._topics is None:
            return {**told, "bank": _text(self._bank) if self._bank is not None else None} if self._since else {}
        topics = _text(np.rint(self._topics * _SCALE).astype(np.int8))
        heard, signs = packed(self._heard.astype(np.int64)), [int(count) for count in self.signs]
        return {
            **told,
            "topics": topics,
            "lines": self._lines,
            "heard": heard,
            "signs": signs,
            "signed": self.signed,
        }

    def _draw(self, bank: NDArray[np.int8]) -> None:
        """Find topics among the bank by spherical k-means, and how far from them the bank's outer ones lie."""
        rows = _scaled(bank)
        rows = rows[rows.any(axis=1)]
        count = min(TOPICS, len(rows))
        if count == 0:
            self._bank = None  # nothing but inputs without words: look at others
            return
        dice = np.random.default_rng(0)
        middles = rows[dice.choice(len(rows), count, replace=False)]
        for _ in range(_ROUNDS):
            owner = (rows @ middles.T).argmax(axis=1)
            for place in range(count):
                if (owner == place).any():
                    middles[place] = rows[owner == place].sum(axis=0)
            middles /= np.maximum(np.linalg.norm(middles, axis=1, keepdims=True), 1e-9)
        self._topics = _scaled(np.rint(middles * _SCALE).astype(np.int8))  # as they will be after a restart
        alike = (rows @ self._topics.T).max(axis=1)
        self._lines = [float(line) for line in np.quantile(alike, (0.05, 0.02))]
        self._heard = self.words > 0
        self._bank = None


def packed(counts: Counts) -> str:
    """Return counts, most of them 0, as text: the places of the others, and the counts, compressed."""
    places = np.flatnonzero(counts).astype("<u2")
    held = counts[places].astype("<u4")
    return base64.b64encode(zlib.compress(places.tobytes() + held.tobytes(), 1)).decode()


def unpacked(text: str, size: int) -> Counts:
    """Return the counts that `packed` wrote."""
    raw = zlib.decompress(base64.b64decode(text))
    n = len(raw) // 6
    counts = np.zeros(size, np.int64)
    counts[np.frombuffer(raw, "<u2", n)] = np.frombuffer(raw, "<u4", n, 2 * n)
    return counts


def _text(rows: NDArray[np.int8]) -> str:
    return base64.b64encode(zlib.compress(rows.tobytes(), 1)).decode()


def _rows(text: str) -> NDArray[np.int8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.int8).reshape(-1, DIMENSIONS)


def _scaled(rows: NDArray[np.int8]) -> NDArray[np.float32]:
    return rows.astype(np.float32) / np.float32(_SCALE)
