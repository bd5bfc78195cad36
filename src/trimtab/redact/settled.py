"""What one look at a text leaves for the next: the runs of digits it looked at."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Run", "Settled"]


class Run(NamedTuple):
    """A run of digits that was looked at: whether anything was `found` in it, or only a word spoke against it."""

    text: str
    start: int
    end: int
    found: bool
    doubtful: bool

    def key(self) -> tuple[str, str, str]:
        """Return the digits, three characters before and two after: all that counts but words."""
        return (
            self.text[self.start : self.end],
            self.text[max(self.start - 3, 0) : self.start],
            self.text[self.end : self.end + 2],
        )


class Settled:
    """Runs of digits that are nobody's wherever they stand, unless words make them a telephone's.

    Kept from one look at a text to the next: taking a finding out of a text can only take words away from the rest.
    """

    __slots__ = ("known", "runs")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.known: set[tuple[str, str, str]] = set()

    def next_look(self) -> None:
        """Make what the last look settled count in the next."""
        self.known.update(run.key() for run in self.runs if not (run.found or run.doubtful))
        self.runs.clear()
