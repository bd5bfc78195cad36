"""Events as the wire takes them: every value in its wire form, nothing that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.client.clock import rfc3339
from trimtab.client.encode import payload_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["feedback_event", "identifier", "inference_event"]

_NUMBERS = ("latency_ms", "input_tokens", "output_tokens", "cost_usd", "value", "best")
_NAMES = ("model", "version_id", "arm", "error", "label", "text")
_IDENTIFIERS = ("session_id", "user_id", "external_id")


def inference_event(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event for what a handle tells; `created_at` comes in microseconds."""
    event = {"type": "inference", "id": told["id"], "feature": told["feature"]}
    event["created_at"] = rfc3339(told["created_at"])
    event["input"] = payload_of(told["input"]) if told["input"] is not None else ""
    if told["output"] is not None:
        event["output"] = payload_of(told["output"])
    _copy(event, told)
    if told["tags"]:
        event["tags"] = {str(key): str(value) for key, value in told["tags"].items() if value is not None}
    if told["context"]:
        event["context"] = [chunk for chunk in map(_chunk, told["context"]) if chunk]
    return event


def feedback_event(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event for a signal; `created_at` comes in microseconds."""
    event = {"type": "feedback", "id": told["id"], "kind": told["kind"], "created_at": rfc3339(told["created_at"])}
    for name in ("inference_id", "feature", "source"):
        if told.get(name):
            event[name] = told[name]
    _copy(event, told)
    if told.get("retracted"):
        event["retracted"] = True
    return event


def identifier(value: object) -> str | None:
    """Return an id of the app's own as text; None for none and for the empty one, which the wire does not take."""
    return (str(value) or None) if value is not None else None


def _copy(event: dict[str, Any], told: Mapping[str, Any]) -> None:
    """Copy the fields that both kinds of event treat alike and that are known."""
    for name in _NUMBERS:
        if (value := told.get(name)) is not None:
            event[name] = value
    for name in _NAMES:
        if value := told.get(name):
            event[name] = str(value)
    for name in _IDENTIFIERS:
        if value := identifier(told.get(name)):
            event[name] = value
    for name, digits in (("trace_id", 32), ("span_id", 16)):
        if value := told.get(name):
            event[name] = f"{value:0{digits}x}" if isinstance(value, int) else str(value).lower()


def _chunk(chunk: Any) -> dict[str, Any] | None:
    """Return a retrieved document as the wire takes it: given as an object, or as its id alone."""
    told = chunk if isinstance(chunk, dict) else {"id": chunk}
    known: Iterable[tuple[str, Any]] = ((name, told.get(name)) for name in ("text", "score"))
    name = identifier(told.get("id"))
    return {"id": name, **{key: value for key, value in known if value is not None}} if name else None
