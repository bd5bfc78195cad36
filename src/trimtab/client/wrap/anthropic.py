"""Anthropic's Python client: messages, plain and streamed, with tools."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trimtab.client.wrap.patch import cover, found, recorded, uncover
from trimtab.client.wrap.recording import Asked, Reading, begin, given, guarded, slim

if TYPE_CHECKING:
    from types import TracebackType

    from trimtab.client.client import Client
    from trimtab.client.wrap.recording import Recording

__all__ = ["unwrap", "wrap"]

_PATHS = ("messages", "beta.messages")
_COPIES = ("copy", "with_options")
_METHODS = ("create", "parse", "stream")
_LIBRARY = ("anthropic", "httpx", "httpx2", "httpcore", "httpcore2")


def wrap(anthropic: Any, client: Client, feature: str | None) -> None:
    """Record the calls of this Anthropic client and of its `with_options` copies."""
    unwrap(anthropic)
    recording = recorded(client, feature, asks=_asks, tells=_tells, joins=_joins)
    for path in _PATHS:
        resource = found(anthropic, path)
        if resource is None:
            continue
        for name in ("create", "parse"):
            cover(resource, name, recording)
        cover(resource, "stream", lambda original: functools.partial(_streamed, client, feature, original))
    for name in _COPIES:
        cover(anthropic, name, lambda original: lambda **options: client.wrap(original(**options), feature=feature))


def unwrap(anthropic: Any) -> None:
    """Record its calls no longer."""
    uncover(anthropic, _COPIES)
    beta = found(anthropic, "beta")
    if beta is not None:
        uncover(beta, ())
    for path in _PATHS:
        resource = found(anthropic, path)
        if resource is not None:
            uncover(resource, _METHODS)


def _asks(options: dict[str, Any]) -> Asked:
    messages, system = slim(given(options.get("messages"))), given(options.get("system"))
    if system and isinstance(messages, list):
        messages = [{"role": "system", "content": slim(system)}, *messages]
    metadata = given(options.get("metadata"))
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    # Anthropic takes no metadata but the user's id, so that nothing else can be named there.
    return Asked(messages, given(options.get("model")), user)


def _tells(message: Any) -> Reading:
    blocks = [block.model_dump(mode="json", exclude_none=True) for block in message.content or []]
    return _reading(blocks, message, message.usage)


def _reading(blocks: list[dict[str, Any]], message: Any, usage: Any) -> Reading:
    """Return what these content blocks say: the text alone when there is nothing but text and thought."""
    shown = [block for block in blocks if block.get("type") not in {"thinking", "redacted_thinking"}]
    texts = [block.get("text") or "" for block in shown]
    only_text = all(block.get("type") == "text" for block in shown)
    cached = [getattr(usage, f"cache_{what}_input_tokens", None) or 0 for what in ("creation", "read")]
    fresh = getattr(usage, "input_tokens", None)
    return Reading(
        output="".join(texts) if only_text else shown,
        model=getattr(message, "model", None),
        input_tokens=None if fresh is None else fresh + sum(cached),
        output_tokens=getattr(usage, "output_tokens", None),
        external_id=getattr(message, "id", None),
    )


def _joins(events: list[Any]) -> Reading:
    import json  # noqa: PLC0415

    message: Any = None
    blocks: dict[int, dict[str, Any]] = {}
    written: dict[int, str] = {}
    spent: int | None = None
    for event in events:
        if event.type == "message_start":
            message = event.message
        elif event.type == "content_block_start":
            blocks[event.index] = event.content_block.model_dump(mode="json", exclude_none=True)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            blocks[event.index]["text"] += event.delta.text
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            written[event.index] = written.get(event.index, "") + event.delta.partial_json
        elif event.type == "message_delta":
            spent = event.usage.output_tokens
    for index, text in written.items():
        try:
            blocks[index]["input"] = json.loads(text) if text else {}
        except ValueError:  # cut off in the middle
            blocks[index]["input"] = text
    reading = _reading(list(blocks.values()), message, getattr(message, "usage", None))
    return reading._replace(output_tokens=reading.output_tokens if spent is None else spent)


# ------------------------------------------------------------ the .stream() helper


def _streamed(client: Client, feature: str | None, original: Any, **options: Any) -> Any:
    manager = original(**options)
    recording = begin(client, feature, guarded(client, lambda: _asks(options)))
    return manager if recording is None else _Managed(manager, recording)


class _Managed:
    """The helper's block, sync or async: what its stream has gathered is the output when the block ends."""

    def __init__(self, original: Any, recording: Recording) -> None:
        self._original, self._recording = original, recording
        self._stream: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __enter__(self) -> Any:
        try:
            return self._opened(self._original.__enter__())
        except BaseException as error:
            self._end(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return self._original.__exit__(kind, error, trace)
        finally:
            self._end(error)

    async def __aenter__(self) -> Any:
        try:
            return self._opened(await self._original.__aenter__())
        except BaseException as error:
            self._end(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return await self._original.__aexit__(kind, error, trace)
        finally:
            self._end(error)

    def _opened(self, stream: Any) -> Any:
        self._stream = stream
        guarded(self._recording.client, lambda: self._recording.mark(stream))
        return stream

    def _end(self, error: BaseException | None) -> None:
        # What the app raises in the block is its own affair, not an error of the model.
        theirs = error if error is not None and type(error).__module__.partition(".")[0] in _LIBRARY else None
        guarded(self._recording.client, lambda: self._recording.done(self._gathered(), theirs))

    def _gathered(self) -> Reading:
        try:
            message = self._stream.current_message_snapshot
        except (AssertionError, AttributeError):  # nothing has come yet
            return Reading()
        self._recording.mark(message)
        return _tells(message)
