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

__all__ = ["NO_TOPIC", "SIGNS", "TOPICS", "Normal", "packed", "unpacked"]

TOPICS = 16
NO_TOPIC, FAR_OFF = TOPICS, TOPICS + 1
SIGNS = TOPICS + 2
"""What is counted of an input beside its words: its topic, that it fits none (a twentieth of the bank does not), that
it fits none by far (a fiftieth)."""

_BANK = 256
_LEVELS = 20
_ODD = 0.1
_ROUNDS = 8
_SCALE = 127.0

Counts = NDArray[np.int64]


class Normal:
    """The frozen reference of one group, from its first input on.

    The first inputs, 256 at most, say which topics there are, and are then forgotten; the first half says which words.
    Over the other half it is counted how many carry which sign, and how many are odd: the tenth with the largest share
    of words that the first half never used. Words are counted over all. Only hashed counts and topics' middles stay.
    """

    def __init__(self, events: int, hours: float, state: Mapping[str, Any] | None = None) -> None:
        told = state or {}
        self._events = events
        self._hours = timedelta(hours=hours)
        self._half = events // 2
        self._size = min(_BANK, self._half)
        self._since = datetime.fromisoformat(told["since"]) if told else None
        self._bank: NDArray[np.int8] | None = _rows(told["bank"]) if told.get("bank") else None
        self._topics: NDArray[np.float32] | None = _scaled(_rows(told["topics"])) if told.get("topics") else None
        self._lines: list[float] = list(told.get("lines", ()))
        self._heard = unpacked(told["heard"], WORDS).astype(bool) if told.get("heard") else None
        self.words: Counts = unpacked(told["words"], WORDS) if told else np.zeros(WORDS, np.int64)
        self.signs: Counts = np.asarray(told.get("signs") or [0] * SIGNS, dtype=np.int64)
        self._levels: list[int] = list(told.get("levels") or [0] * (_LEVELS + 1))
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
        elif self._heard is None:
            if self.inputs > self._half:
                self._heard = self.words > 0
        else:
            self.signs[self.signs_of(traits)] += 1
            self._levels[self._level(traits)] += 1
            self.signed += 1
        self.frozen = self.signed > 0 and self.inputs >= self._events and now - self._since >= self._hours

    def signs_of(self, traits: Traits) -> list[int]:
        """Return the signs of an input; none before the topics are known."""
        if self._topics is None:
            return []
        if not traits.vector.any():
            return []
        alike = self._topics @ traits.vector
        nearest = int(alike.argmax())
        beyond = zip((NO_TOPIC, FAR_OFF), self._lines, strict=True)
        return [nearest, *(sign for sign, line in beyond if alike[nearest] < line)]

    @property
    def odd(self) -> int:
        """How many of the `signed` inputs were odd: a tenth, or the largest part below that."""
        return sum(self._levels[self._line() :])

    def is_odd(self, traits: Traits) -> bool:
        """Say whether an input has as many unheard words as few of the reference have."""
        return self._level(traits) >= self._line()

    def _line(self) -> int:
        """Return the least level that at most a tenth of the reference reaches."""
        reached, most = 0, _ODD * self.signed
        for level in range(_LEVELS, 0, -1):
            reached += self._levels[level]
            if reached > most:
                return level + 1
        return 1

    def _level(self, traits: Traits) -> int:
        """Return the share of words never heard, in twentieths, rounded up."""
        if self._heard is None or not len(traits.words):
            return 0
        unheard = len(traits.words) - int(np.count_nonzero(self._heard[traits.words]))
        return -(-unheard * _LEVELS // len(traits.words))

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
        heard = packed(self._heard.astype(np.int64)) if self._heard is not None else None
        return {
            **told,
            "topics": topics,
            "lines": self._lines,
            "heard": heard,
            "signs": [int(count) for count in self.signs],
            "levels": self._levels,
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
