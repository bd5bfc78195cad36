"""What the turns of a session say about the answers in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

from trimtab.config import Signals
from trimtab.enrich.signals.likeness import Likeness
from trimtab.enrich.signals.rephrase import COMPARED_CHARS, comparable, normalised, swapped
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.signals.turn import Turn
from trimtab.enrich.signals.wording import tone_of

__all__ = ["heard"]

_MOST_SWAPPED = 0.2


def heard(turn: Turn, following: Iterable[Turn], settings: Signals, likeness: Likeness) -> list[Sign]:
    """Return what later turns of the session say about `turn`: asked again, in other words, objected, thanked.

    The first `settings.turns` turns of the same user within `settings.minutes` count; for an objection and for thanks
    only the very next. At most one sign of each kind, the first heard. `following` may hold any turns of the session,
    in any order, `turn` itself too. An answer that was only a step towards another (agents call a model several times
    for the same words) was read by nobody, so nothing is said about it.
    """
    later = _window(turn, following, settings)
    if not later or later[0].continues:
        return []
    spoken = [each for each in later if not each.continues][: settings.turns]
    found: dict[str, Sign] = {}
    for place, after in enumerate(spoken):
        for sign in (_worded(turn, after, settings) if place == 0 else None, _again(turn, after, settings, likeness)):
            if sign is not None:
                found.setdefault(sign.kind, sign)
    return sorted(found.values(), key=lambda sign: sign.kind)


def _window(turn: Turn, following: Iterable[Turn], settings: Signals) -> list[Turn]:
    end = turn.at + timedelta(minutes=settings.minutes)
    each = {
        other.inference_id: other
        for other in following
        if _order(turn) < _order(other) and other.at <= end and _may_be_same(turn.user_id, other.user_id)
    }
    return sorted(each.values(), key=_order)


def _order(turn: Turn) -> tuple[datetime, str]:
    return (turn.at, turn.inference_id)


def _may_be_same(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _worded(turn: Turn, after: Turn, settings: Signals) -> Sign | None:
    """Return the objection or the thanks with which the next turn begins."""
    tone = tone_of(after.asked, settings.languages)
    if tone == "objection" and settings.objection:
        return Sign("objection", turn.inference_id, after.at, turn_id=after.inference_id, x=1.0)
    if tone == "thanks" and settings.thanks and not turn.error:
        return Sign("thanks", turn.inference_id, after.at, turn_id=after.inference_id, x=0.0)
    return None


def _again(turn: Turn, after: Turn, settings: Signals, likeness: Likeness) -> Sign | None:
    """Return the sign that a later turn asks the same again.

    What comes sooner than `pause_seconds` was sent by no person; the same words after an error may be a program's
    second try.
    """
    seconds = (after.at - turn.at).total_seconds()
    if seconds < settings.pause_seconds:
        return None
    said = normalised(turn.asked)
    if said and said == normalised(after.asked):
        if not settings.regenerate or turn.error:
            return None
        return Sign("regenerate", turn.inference_id, after.at, seconds, after.inference_id, x=1.0)
    if not settings.rephrase or max(len(turn.asked), len(after.asked)) > COMPARED_CHARS:
        return None
    near = _nearness(turn.asked, after.asked, settings.languages, likeness)
    if near is None or near < settings.rephrase_likeness:
        return None
    return Sign("rephrase", turn.inference_id, after.at, near, after.inference_id, x=1.0)


@lru_cache(maxsize=16_384)  # a pair of turns is heard again with each of the next turns
def _nearness(before: str, after: str, languages: tuple[str, ...], likeness: Likeness) -> float | None:
    """Return how alike two requests are, None where the second cannot be a rephrase of the first."""
    if swapped(before, after, languages) > _MOST_SWAPPED:  # the cheap question first
        return None
    return likeness([(before, after)])[0] if comparable(before, after, languages) else None
