"""Leaving after trouble: the session ended, and its last answer was of no use to anybody.

Most sessions end because the person has what they came for ("good abandonment": Li, Huffman and Tokuda, SIGIR 2009;
Williams et al., WWW 2016), and asking again shows dissatisfaction better than leaving does (Hassan et al., CIKM 2013).
So silence alone says nothing here. It counts after an error, or after several answers in a row that the person asked
again about or objected to. One such answer is not enough: the second try may well have been the good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from trimtab.config import Signals
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.signals.turn import Turn
from trimtab.records import Opinion

__all__ = ["left"]

_TROUBLE: Final = frozenset({"objection", "regenerate", "rephrase"})
_SILENT: Final = frozenset({"dwell", "abandon"})


def left(
    turns: Iterable[Turn],
    signs: Mapping[str, Sequence[Sign]],
    opinions: Iterable[Opinion],
    settings: Signals,
) -> Sign | None:
    """Return the sign that the last answer of a session that timed out was given up on, or None.

    `signs` are those about each turn, by its id; `opinions` those on the last answer: whoever said or did anything with
    it did not just leave. The sign's `value` is how many answers in a row had been in vain, the last one included; its
    `turn_id` the request that was not met.
    """
    ordered = sorted(
        {turn.inference_id: turn for turn in turns}.values(), key=lambda turn: (turn.at, turn.inference_id)
    )
    if not ordered or not settings.abandon:
        return None
    last = ordered[-1]
    if any(not opinion.retracted and opinion.kind not in _SILENT for opinion in opinions):
        return None
    if any(sign.kind not in _SILENT for sign in signs.get(last.inference_id, ())):
        return None
    since = last.at - timedelta(minutes=settings.minutes)
    troubled = _in_vain([turn for turn in ordered if turn.at >= since], signs)
    if not last.error and troubled < settings.abandon_after:
        return None
    return Sign("abandon", last.inference_id, last.at, float(troubled + 1), last.inference_id, x=1.0)


def _in_vain(ordered: Sequence[Turn], signs: Mapping[str, Sequence[Sign]]) -> int:
    """Return how many answers right before the last were asked about again, each in a later turn, without a gap."""
    spoken = [
        turn
        for place, turn in enumerate(ordered)
        if place + 1 == len(ordered) or not ordered[place + 1].continues  # a step towards the next answer
    ]
    count = 0
    for turn in reversed(spoken[:-1]):
        if not any(sign.kind in _TROUBLE for sign in signs.get(turn.inference_id, ())):
            break
        count += 1
    return count
