"""What the app sends: answers of a model, and what people did with them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.records.field import (
    Arm,
    FeedbackKind,
    Identifier,
    Known,
    Name,
    Payload,
    Record,
    Source,
    Text,
    Time,
    Tokens,
    Uuid,
)

__all__ = ["Chunk", "Event", "Feedback", "Inference", "Message", "Profile", "text_of"]


class Message(Record, frozen=True):
    """One turn of a conversation or of a prompt template (where `{input}` stands for the user's input)."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text


class Chunk(Record, frozen=True):
    """A retrieved document or part of one that the model was shown."""

    id: Identifier
    text: Text | None = None
    score: float | None = None


class Profile(Record, frozen=True):
    """What an event tells of its user. `plan`, `locale` and `tenant` are kept, for segments.

    `name`, `email` and `phone` are taken out of every word of the event and then dropped: they are never stored.
    """

    plan: Identifier | None = None
    locale: Identifier | None = None
    tenant: Identifier | None = None
    name: Known | None = None
    email: Known | None = None
    phone: Known | None = None


class Inference(Record, frozen=True, tag_field="type", tag="inference"):
    """One AI response. `id` is made by the sender, so that a retry is the same event."""

    id: Uuid
    feature: Name
    created_at: Time
    input: Payload
    output: Payload | None = None
    version_id: Name | None = None
    arm: Arm | None = None
    model: Name | None = None
    session_id: Identifier | None = None
    user_id: Identifier | None = None
    external_id: Identifier | None = None
    trace_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", extra={"pii": "none"})] | None = None
    span_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", extra={"pii": "none"})] | None = None
    context: list[Chunk] = []
    tags: dict[Name, Text] = {}
    latency_ms: Annotated[float, Meta(ge=0)] | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cost_usd: Annotated[float, Meta(ge=0)] | None = None
    error: Text | None = None
    profile: Profile | None = None


class Feedback(Record, frozen=True, tag_field="type", tag="feedback"):
    """One signal about an inference, a session or another tool's trace; append-only.

    `value` by kind: thumb 1 up, 0 down; rating from 1 to `best`; edit the normalised distance in [0, 1]; dwell seconds;
    outcome 1 reached, 0 missed. `text` holds the words of a correction (the right answer), a comment, or the kept text
    of an edit; `label` the label. `retracted` takes back the same person's opinion of that kind on that target.
    """

    id: Uuid
    kind: FeedbackKind
    created_at: Time
    inference_id: Uuid | None = None
    external_id: Identifier | None = None
    trace_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", extra={"pii": "none"})] | None = None
    span_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", extra={"pii": "none"})] | None = None
    session_id: Identifier | None = None
    feature: Name | None = None
    user_id: Identifier | None = None
    source: Source = "user"
    value: float | None = None
    best: Annotated[float, Meta(ge=2)] | None = None
    label: Text | None = None
    text: Text | None = None
    retracted: bool = False
    profile: Profile | None = None

    def __post_init__(self) -> None:
        if not (self.inference_id or self.external_id or self.trace_id or self.session_id):
            raise ValueError("expected a target: one of inference_id, external_id, trace_id, session_id")
        if not self.retracted:
            _check_value(self)


Event = Inference | Feedback


def _check_value(feedback: Feedback) -> None:
    kind, value = feedback.kind, feedback.value
    if kind in ("thumb", "outcome") and value not in (0, 1):
        raise ValueError(f"expected value 1 or 0 for kind {kind!r}, got {value!r}")
    if kind == "rating" and (value is None or feedback.best is None or not 1 <= value <= feedback.best):
        raise ValueError(f"expected best >= 2 and value from 1 to best for kind 'rating', got {value!r}")
    if kind == "edit" and (value is None or not 0 <= value <= 1):
        raise ValueError(f"expected value, the normalised edit distance in [0, 1], for kind 'edit', got {value!r}")
    if kind == "dwell" and (value is None or value < 0):
        raise ValueError(f"expected value, seconds >= 0, for kind 'dwell', got {value!r}")
    if kind in ("correction", "comment") and not feedback.text:
        raise ValueError(f"expected text for kind {kind!r}")
    if kind == "label" and not feedback.label:
        raise ValueError("expected label for kind 'label'")


def text_of(payload: Payload | None) -> str:
    """Return the words of a payload that a person would read: the last user turn of a conversation, else the text."""
    if payload is None:
        return ""
    if isinstance(payload, str):
        return payload
    if isinstance(payload, dict):
        for key in ("input", "text", "question", "content", "query"):
            if isinstance(payload.get(key), str):
                return str(payload[key])
        return msgspec.json.encode(payload, order="deterministic").decode()
    turns = [turn for turn in payload if isinstance(turn, dict) and isinstance(turn.get("content"), str)]
    asked = [turn for turn in turns if turn.get("role") == "user"]
    chosen = asked or turns
    return str(chosen[-1]["content"]) if chosen else msgspec.json.encode(payload).decode()
