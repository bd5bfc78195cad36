"""Events handed over as the values the app told, to be written later by the delivery thread.

Only values that nobody can change are kept that way: texts, numbers, None. A call that tells anything else is written
while the app waits, so that what the app does to its own lists afterwards does not change what is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.client.encode import encode
from trimtab.client.inference import TELLABLE, Handle
from trimtab.client.uuid7 import is_uuid
from trimtab.client.wire import feedback_event, identifier, inference_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.client.client import Client
    from trimtab.client.context import Scope
    from trimtab.client.version import Served

__all__ = [
    "EVENT_BYTES",
    "FIXED",
    "LARGE_BYTES",
    "aim",
    "size_of",
    "snapshot",
    "write_inference",
    "write_response",
    "write_signal",
]

_TOLD = TELLABLE - {"context", "tags"}
FIXED = frozenset({str, int, float, bool, type(None)})
"""Types whose values nobody can change."""
EVENT_BYTES = 220
"""What an event has beside its texts, about."""
LARGE_BYTES = 1 << 16
"""From here on an event is written at once, so that its real size is known."""


def size_of(handle: Handle) -> int | None:
    """Return about how many bytes the event of `handle` has; None when it has to be written now."""
    given, made = handle.input, handle.output
    size = EVENT_BYTES + (len(given) if type(given) is str else 0) + (len(made) if type(made) is str else 0)
    if size >= LARGE_BYTES or handle.tags or handle.context:
        return None
    told = [type(value) for name, value in handle.__dict__.items() if name in _TOLD]
    return size if FIXED.issuperset(told) else None


def snapshot(handle: Handle) -> Handle:
    """Return `handle` as it is now, whatever is set on it afterwards."""
    kept = object.__new__(type(handle))
    kept.__dict__.update(handle.__dict__)
    return kept


def write_inference(
    told: tuple[Client, str, int, str, Scope, Served | None, Mapping[str, Any]],
) -> bytes:
    """Write a response from client, id, time in microseconds, feature, context, what is served, what the app told."""
    client, inference_id, started_at, feature, scope, served, known = told
    known = dict(known)  # at the exit of the process it may be written twice
    known["user"] = identifier(known.get("user")) or scope.user
    known["session"] = identifier(known.get("session")) or scope.session
    version, arm = known.pop("version", None), known.pop("arm", None)
    handle = Handle(client, feature, id=inference_id, started_at=started_at, measure=False, **known)
    if version is None:
        version = served.to(handle.user or handle.session) if served else None
    handle.pin(version, arm)
    return encode(inference_event(handle))


def write_response(handle: Handle) -> bytes:
    """Write a response as its handle tells it."""
    return encode(inference_event(handle))


def write_signal(told: tuple[str, int, Scope, str, str, float | None, Mapping[str, Any]]) -> bytes:
    """Write a signal from id, time in microseconds, context, inference id, kind, value, and what else it is about."""
    feedback_id, created_at, scope, inference_id, kind, value, where = told
    event = {"id": feedback_id, "kind": kind, "value": value, **aim(created_at, scope, inference_id, where)}
    return encode(feedback_event(event))


def aim(created_at: int, scope: Scope, inference_id: str | None, where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target fields of a feedback event, and who speaks. Raises ValueError for an id that is none."""
    told: dict[str, Any] = {
        "created_at": created_at,
        "external_id": where.get("external_id"),
        "trace_id": where.get("trace_id"),
        "span_id": where.get("span_id"),
        "session_id": where.get("session") or (scope.session if inference_id is None else None),
        "feature": where.get("feature"),
        "user_id": where.get("user") or scope.user,
        "source": where.get("source"),
    }
    if inference_id is not None:
        told["inference_id"] = inference_id.lower()
        if not is_uuid(told["inference_id"]):
            raise ValueError("expected an inference id (a UUID); for an id of your own use external_id=")
    return told
