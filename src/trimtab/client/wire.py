"""Events as the wire takes them: every value in its wire form, nothing that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.client.clock import rfc3339
from trimtab.client.encode import payload_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trimtab.client.inference import Handle

__all__ = ["feedback_event", "identifier", "inference_event"]


def identifier(value: object) -> str | None:
    """Return an id of the app's own as text; None for none and for the empty one, which the wire does not take."""
    return (str(value) or None) if value is not None else None


def _hex(digits: int) -> Callable[[Any], str | None]:
    """Return what writes a trace or span id: tracing tools hand them out as numbers or as hex digits."""
    return lambda value: f"{value:0{digits}x}" if isinstance(value, int) else identifier(str(value).lower())


_FORMS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("latency_ms", "input_tokens", "output_tokens", "cost_usd", "value", "best"), lambda number: number
    ),
    **dict.fromkeys(("model", "version_id", "error", "label", "text"), identifier),
    **dict.fromkeys(("session_id", "user_id", "external_id"), identifier),
    "trace_id": _hex(32),
    "span_id": _hex(16),
}


def inference_event(handle: Handle) -> dict[str, Any]:
    """Return the event for an inference."""
    told = handle.__dict__
    event: dict[str, Any] = {
        "type": "inference",
        "id": handle.id,
        "feature": handle.feature,
        "created_at": rfc3339(handle.started_at),
        "input": payload_of(handle.input) if handle.input is not None else "",
    }
    if handle.output is not None:
        event["output"] = payload_of(handle.output)
    if handle.user:
        event["user_id"] = str(handle.user)
    if handle.session:
        event["session_id"] = str(handle.session)
    if handle.pinned_arm:
        event["arm"] = handle.pinned_arm
    _copy(event, told)
    if handle.tags:
        event["tags"] = {str(key): str(value) for key, value in handle.tags.items() if value is not None}
    if handle.context:
        event["context"] = [chunk for chunk in map(_chunk, handle.context) if chunk]
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


def _copy(event: dict[str, Any], told: Mapping[str, Any]) -> None:
    """Copy the fields that both kinds of event treat alike, in their wire form."""
    for name, value in told.items():
        if value is not None and (form := _FORMS.get(name)) is not None and (formed := form(value)) is not None:
            event[name] = formed


def _chunk(chunk: Any) -> dict[str, Any] | None:
    """Return a retrieved document as the wire takes it: given as an object, or as its id alone."""
    told = chunk if isinstance(chunk, dict) else {"id": chunk}
    known: Iterable[tuple[str, Any]] = ((name, told.get(name)) for name in ("text", "score"))
    name = identifier(told.get("id"))
    return {"id": name, **{key: value for key, value in known if value is not None}} if name else None
