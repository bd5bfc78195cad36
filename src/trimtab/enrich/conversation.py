"""What surrounds an answer in its session: the turns that followed, and whether it was the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab.store.ports import Session, Turn

__all__ = ["Conversation", "conversations", "neighbours"]


class Conversation(NamedTuple):
    """The answers of one feature in one session, in order, and whether the session was closed by time-out."""

    turns: list[Turn]
    closed: bool


def conversations(
    stored: Mapping[str, Sequence[Turn]],
    fresh: Iterable[Turn],
    sessions: Mapping[str, Session],
) -> dict[tuple[str, str], Conversation]:
    """Return by (session, feature) what was said, from what is stored and what this batch brings."""
    found: dict[tuple[str, str], dict[str, Turn]] = {}
    newest: dict[str, Turn] = {}
    for turn in [*(turn for turns in stored.values() for turn in turns), *fresh]:
        found.setdefault((turn.session_id, turn.feature), {})[turn.inference_id] = turn
        held = newest.get(turn.session_id)
        if held is None or held.created_at < turn.created_at:
            newest[turn.session_id] = turn
    made = {}
    for (session_id, feature), turns in found.items():
        session = sessions.get(session_id)
        closed = session is not None and session.closed and newest[session_id].created_at <= session.last_at
        ordered = sorted(turns.values(), key=lambda turn: (turn.created_at, turn.inference_id))
        made[session_id, feature] = Conversation(ordered, closed)
    return made


def neighbours(conversation: Conversation, fresh: set[str], reach: int) -> set[str]:
    """Return the answers that a new one may say something about: itself and the `reach` before it, and the last two.

    The last, since it may have been left; the one before it, since it no longer is the last.
    """
    ids = [turn.inference_id for turn in conversation.turns]
    found: set[str] = set()
    for place, inference_id in enumerate(ids):
        if inference_id in fresh:
            found.update(ids[max(0, place - reach) : place + 1])
    return found | set(ids[-2:])
