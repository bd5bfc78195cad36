"""Embedders for tests: words by their hash, into few dimensions or into many."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["COARSE", "FINE", "coarse", "fine", "mute"]

COARSE, FINE = 64, 997  # few words of the tests share a place


def coarse(texts: Sequence[str]) -> list[list[float]]:
    return [_counted(text, COARSE) for text in texts]


def fine(texts: Sequence[str]) -> list[list[float]]:
    return [_counted(text, FINE) for text in texts]


def mute(texts: Sequence[str]) -> list[list[float]]:
    """Put every text at one place, but for its length."""
    return [[1.0, 0.01 * len(text), *[0.0] * (FINE - 2)] for text in texts]


def _counted(text: str, size: int) -> list[float]:
    vector = [0.01] * size
    for word in text.casefold().split():
        vector[int.from_bytes(hashlib.sha256(word.strip(".?").encode()).digest()[:4], "big") % size] += 1
    return vector
