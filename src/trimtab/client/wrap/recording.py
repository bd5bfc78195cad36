"""One call of a wrapped library: an inference of its own, or a part of the inference at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.client.context import CURRENT, SCOPE
from trimtab.client.wrap.origin import remember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.client.client import Client
    from trimtab.client.inference import Handle

__all__ = ["Asked", "Reading", "Recording", "begin", "given", "guarded", "slim"]

_INLINE_CHARS = 1000


class Asked(NamedTuple):
    """What a call says before it runs."""

    input: Any = None
    model: str | None = None
    user: str | None = None
    metadata: Mapping[str, Any] | None = None
    id: str | None = None


class Reading(NamedTuple):
    """What an answer says."""

    output: Any = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    external_id: str | None = None
    error: str | None = None


def begin(client: Client, feature: str | None, asked: Asked | None) -> Recording | None:
    """Start to record a call; None when that failed, which the app never notices."""
    recording: Recording | None = guarded(client, lambda: Recording(client, feature, asked or Asked()))
    return recording


def guarded(client: Client, step: Callable[[], Any]) -> Any:
    """Run a step of recording; a failure is counted by the client and gives None."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
        client._broke(error)  # noqa: SLF001 the two halves of one recording
        return None


class Recording:
    """The inference that a call becomes.

    Inside `client.inference(...)` the call is a part of that inference: it gives it model, tokens (added up over the
    calls) and, unless the app sets one, the output. One response to a user stays one inference that way.
    """

    def __init__(self, client: Client, feature: str | None, asked: Asked) -> None:
        metadata = asked.metadata if isinstance(asked.metadata, dict) else {}
        scope, named = SCOPE.get(), metadata.get("feature")
        outer = CURRENT.get()
        whole = outer is not None and outer.belongs(client) and named in (None, outer.feature)
        self.client, self._whole = client, whole
        if whole and outer is not None:
            self.handle: Handle = outer
            if outer.input is None:
                outer.input = asked.input
        else:
            known = {
                "id": asked.id,
                "input": asked.input,
                "model": asked.model,
                "user": metadata.get("user_id") or scope.user or asked.user,
                "session": metadata.get("session_id") or scope.session,
            }
            self.handle = client._begin(named or scope.feature or feature, known)  # noqa: SLF001
        self._model, self._over = asked.model, False

    def mark(self, made: Any) -> None:
        """Let `inference_of` know what came of this call."""
        remember(made, self.handle.id)

    def chunk(self, document_id: str, text: str | None, score: float | None = None) -> None:
        """Add a retrieved document that the model was shown."""
        self.handle.chunk(document_id, text=text, score=score)

    def done(self, reading: Reading, error: BaseException | None = None) -> None:
        """Take in the answer, whole or as far as it came; report the inference if it is this call's own. Once."""
        if self._over:
            return
        self._over = True
        handle = self.handle
        if handle.output is None or handle.output is handle.lent:
            handle.output = handle.lent = reading.output
        handle.model = reading.model or self._model or handle.model
        handle.input_tokens = _sum(handle.input_tokens, reading.input_tokens)
        handle.output_tokens = _sum(handle.output_tokens, reading.output_tokens)
        if not self._whole:
            handle.external_id = handle.external_id or reading.external_id
            handle.error = reading.error
            handle.finish(error)


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more


def given(value: Any) -> Any:
    """Return an argument of a call, None for the placeholders that libraries pass for what was left out."""
    return None if type(value).__name__ in {"NotGiven", "Omit"} else value


def slim(value: Any) -> Any:
    """Return a copy of messages without the bytes of images, sound and files, for which an event has no room."""
    if isinstance(value, dict):
        return {
            key: f"{item[:40]}<{len(item)} characters>"
            if key in {"data", "file_data", "image_url", "url"} and isinstance(item, str) and len(item) > _INLINE_CHARS
            else slim(item)
            for key, item in value.items()
        }
    return [slim(item) for item in value] if isinstance(value, (list, tuple)) else value
