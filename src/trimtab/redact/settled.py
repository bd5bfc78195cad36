"""What one look at a text leaves for the next: the runs of digits it looked at."""

from __future__ import annotations

from typing import Final

__all__ = ["DOUBTFUL", "FOUND", "NOBODYS", "PLAIN", "Run", "Settled", "key"]

# What a look said of a run: something is in it; only a word spoke against it; nothing is in it as it stands among the
# characters beside it; nothing is, whatever stands beside it.
FOUND: Final = 3
DOUBTFUL: Final = 2
PLAIN: Final = 1
NOBODYS: Final = 0

# The text, the run's start and end in it, and what the look said. A plain tuple: a text has a dozen of them.
Run = tuple[str, int, int, int]


def key(text: str, start: int, end: int) -> tuple[str, str, str]:
    """Return the digits, three characters before and two after: all that counts but words."""
    return (text[start:end], text[max(start - 3, 0) : start], text[end : end + 2])


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
        self.known.update([key(text, start, end) for text, start, end, said in self.runs if said <= PLAIN])
        self.runs.clear()
