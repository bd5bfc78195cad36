"""How the evidence of one monitor grew: a curve of bounded length, thinned as it becomes longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Curve"]

_MOST = 64


class Curve:
    """Points (samples heard, log evidence) since the test began, every `every`-th sample; at most 64 are kept.

    When there are more, every other one is dropped and from then on half as many are taken: so a sample costs the same
    whatever the length, and the whole rise stays visible.
    """

    __slots__ = ("_every", "_points")

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._every: int = state["every"] if state else 1
        self._points: list[list[float]] = [list(point) for point in state["points"]] if state else []

    def wants(self, n: int) -> bool:
        """Say whether the sample that is the `n`-th is to be marked."""
        return n % self._every == 0

    def mark(self, n: int, log_evidence: float) -> None:
        """Mark where the evidence stands after the `n`-th sample."""
        self._points.append([n, round(log_evidence, 3)])
        if len(self._points) > _MOST:
            self._every *= 2
            self._points = [point for point in self._points if point[0] % self._every == 0]

    def told(self, n: int, log_evidence: float) -> list[list[float]]:
        """Return the points with the newest at their end, whether it was to be marked or not."""
        return [*(point for point in self._points if point[0] < n), [n, round(log_evidence, 3)]]

    def state(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"every": self._every, "points": self._points}
