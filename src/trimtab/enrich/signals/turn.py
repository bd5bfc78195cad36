"""One request and its answer, as far as signals look at them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from trimtab.records import Inference, text_of

__all__ = ["Turn", "turn_of"]


class Turn(Struct, frozen=True):
    """What was asked, in the user's words, and what was answered.

    `continues` says that the model was called once more for the same words, as agents do after a tool: no person said
    anything in between.
    """

    inference_id: str
    at: datetime
    asked: str
    answered: str
    user_id: str | None = None
    error: bool = False
    continues: bool = False
    chunk_ids: tuple[str, ...] = ()


def turn_of(inference: Inference) -> Turn:
    """Return the inference as a turn of its session."""
    return Turn(
        inference_id=inference.id,
        at=inference.created_at,
        asked=text_of(inference.input),
        answered=text_of(inference.output),
        user_id=inference.user_id,
        error=bool(inference.error),
        continues=_continues(inference),
        chunk_ids=tuple(chunk.id for chunk in inference.context),
    )


def _continues(inference: Inference) -> bool:
    """Say whether the last message of a conversation is not its user's, but a tool's or the model's own."""
    if not isinstance(inference.input, list):
        return False
    roles = [turn.get("role") for turn in inference.input if isinstance(turn, dict)]
    return "user" in roles and roles[-1] in ("tool", "assistant", "function")
