"""What the turns of a session say about the answers in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trimtab.config import Signals
from trimtab.enrich.signals.likeness import Likeness
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.signals.turn import Turn
from trimtab.records import Opinion

__all__ = ["heard", "left"]


def heard(turn: Turn, following: Iterable[Turn], settings: Signals, likeness: Likeness) -> list[Sign]:
    """Return what later turns of the session say about `turn`: asked again, in other words, objected, thanked."""
    raise NotImplementedError


def left(
    turns: Iterable[Turn],
    signs: Mapping[str, Sequence[Sign]],
    opinions: Iterable[Opinion],
    settings: Signals,
) -> Sign | None:
    """Return the sign that the last answer of a session that timed out was given up on, or None.

    `signs` are those about each turn, by its id; `opinions` those on the last answer.
    """
    raise NotImplementedError
