"""LlamaIndex: a listener on its instrumentation that records each model call, with the nodes retrieved for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.client.wrap.recording import Asked, Reading, begin, guarded, slim

if TYPE_CHECKING:
    from typing import Self

    from trimtab.client.client import Client
    from trimtab.client.wrap.recording import Recording

__all__ = ["Listener", "listen"]

_MOST_SPANS = 10_000
_LISTENING: list[Listener] = []


def listen(client: Client, *, feature: str | None = None) -> Listener:
    """Record every model call that LlamaIndex makes in this process, until the returned listener is stopped.

    `instrument_tags` may name `user_id`, `session_id` and `feature`. A listener of before is stopped first, so that
    each call is recorded once.
    """
    for earlier in tuple(_LISTENING):
        earlier.stop()
    listener = Listener(_Calls(client, feature))
    _LISTENING.append(listener)
    return listener


class Listener:
    """What `listen` returns; `stop` it, or use it in `with`."""

    def __init__(self, calls: _Calls) -> None:
        from llama_index_instrumentation import get_dispatcher  # noqa: PLC0415 only the app that uses it has it

        self._dispatcher = get_dispatcher()
        self._events, self._spans = _handlers(calls)
        self._dispatcher.add_event_handler(self._events)
        self._dispatcher.add_span_handler(self._spans)

    def stop(self) -> None:
        """Record no further calls."""
        root = self._dispatcher
        root.event_handlers = [handler for handler in root.event_handlers if handler is not self._events]
        root.span_handlers = [handler for handler in root.span_handlers if handler is not self._spans]
        if self in _LISTENING:
            _LISTENING.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _handlers(calls: _Calls) -> tuple[Any, Any]:
    """Return the handlers of events and of spans; LlamaIndex wants its own classes to be derived from."""
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler  # noqa: PLC0415
    from llama_index.core.instrumentation.span import BaseSpan  # noqa: PLC0415
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler  # noqa: PLC0415

    class TrimtabEvents(BaseEventHandler):
        """Hands events on."""

        def handle(self, event: Any, **_: Any) -> None:
            guarded(calls.client, lambda: calls.event(event))

    class TrimtabSpans(BaseSpanHandler[BaseSpan]):
        """Hands on which span is inside which, and which failed."""

        def span_enter(self, id_: str, *_: Any, parent_id: str | None = None, **__: Any) -> None:
            calls.enter(id_, parent_id)

        def span_exit(self, id_: str, *_: Any, **__: Any) -> None:
            calls.exit(id_)

        def span_drop(self, id_: str, *_: Any, err: BaseException | None = None, **__: Any) -> None:
            guarded(calls.client, lambda: calls.failed(id_, err))
            calls.exit(id_)

        def new_span(self, *_: Any, **__: Any) -> None:
            """Keep none."""

        def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
            """Keep none."""

        def prepare_to_drop_span(self, *_: Any, **__: Any) -> None:
            """Keep none."""

    return TrimtabEvents(), TrimtabSpans()


class _Call(NamedTuple):
    """A model call that is open: its latest piece, and the very objects it was asked with."""

    recording: Recording
    last: list[Any]
    words: list[Any]


class _Calls:
    """The model calls that are open, the spans around them, and what was retrieved in those."""

    def __init__(self, client: Client, feature: str | None) -> None:
        self.client, self._feature = client, feature
        self._open: dict[str, _Call] = {}
        self._parents: dict[str, str | None] = {}
        self._nodes: dict[str, list[Any]] = {}

    def enter(self, span_id: str, parent_id: str | None) -> None:
        if len(self._parents) < _MOST_SPANS:  # spans that never end must not fill the memory
            self._parents[span_id] = parent_id

    def exit(self, span_id: str) -> None:
        self._parents.pop(span_id, None)
        self._nodes.pop(span_id, None)

    def failed(self, span_id: str, error: BaseException | None) -> None:
        found = self._open.pop(span_id, None)
        if found is not None:
            reading = _tells(found.last[0]) if found.last else Reading()
            found.recording.done(reading, None if isinstance(error, GeneratorExit) else error)

    def event(self, event: Any) -> None:
        """Take in one event, told by the name of its class."""
        kind, span_id = type(event).__name__, event.span_id or ""
        if kind in {"LLMChatStartEvent", "LLMCompletionStartEvent"}:
            self._start(event, span_id)
        elif kind in {"LLMChatInProgressEvent", "LLMCompletionInProgressEvent"} and span_id in self._open:
            call = self._open[span_id]
            call.last[:] = [event.response]  # each piece holds all that came before it
            call.recording.mark(event.response)
        elif kind in {"LLMChatEndEvent", "LLMCompletionEndEvent"}:
            found = self._open.pop(span_id, None)
            if found is not None:
                found.recording.mark(event.response)
                found.recording.done(_tells(event.response))
        elif kind == "ExceptionEvent":
            self.failed(span_id, event.exception)
        elif kind == "RetrievalEndEvent":
            self._retrieved(event.nodes, span_id)

    def _start(self, event: Any, span_id: str) -> None:
        around = self._around(span_id)
        messages = getattr(event, "messages", None)
        words = [event.prompt] if messages is None else list(messages)
        if any(outer in self._open for outer in around) or self._is_late(span_id, words):
            return  # a chat that is made of a completion, or the other way round, is one call
        asked = event.prompt if messages is None else [_message(message) for message in messages]
        model = event.model_dict.get("model") or event.model_dict.get("model_name")
        recording = begin(self.client, self._feature, Asked(asked, model, None, event.tags))
        if recording is None:
            return
        if len(self._open) < _MOST_SPANS:
            self._open[span_id] = _Call(recording, [], words)
        if recording.handle is not self.client.current():
            _add(recording.handle, self._nodes.get(around[-1] if around else span_id, []))

    def _is_late(self, span_id: str, words: list[Any]) -> bool:
        """Say whether this call is what an async stream is made of: begun at its first piece, when its span is over."""
        owner, _, method = span_id.partition("-")[0].rpartition(".")
        outer = f"{owner}.a{method}-"
        return any(
            name.startswith(outer)
            and not call.last
            and len(call.words) == len(words)
            and all(one is other for one, other in zip(call.words, words, strict=True))
            for name, call in tuple(self._open.items())
        )

    def _retrieved(self, nodes: list[Any], span_id: str) -> None:
        """Keep the nodes for the model calls under the same outermost span; an inner retriever's come again, merged."""
        current = self.client.current()
        if current is not None:
            _add(current, nodes)
        around = self._around(span_id)
        if around:
            self._nodes[around[-1]] = nodes

    def _around(self, span_id: str) -> list[str]:
        """Return the spans around one, the outermost last."""
        found: list[str] = []
        parent = self._parents.get(span_id)
        while parent is not None and len(found) < 100:
            found.append(parent)
            parent = self._parents.get(parent)
        return found


def _message(message: Any) -> dict[str, Any]:
    blocks = [block for block in message.blocks if getattr(block, "block_type", "text") != "tool_call"]
    content: Any = message.content
    if any(getattr(block, "block_type", "text") != "text" for block in blocks):
        content = slim([block.model_dump(mode="json", exclude_none=True) for block in blocks])
    told = {"role": str(getattr(message.role, "value", message.role)), "content": content}
    # Where both are there, both say the same: the provider's own form is the fuller one.
    calls = message.additional_kwargs.get("tool_calls") or [block for block in message.blocks if block not in blocks]
    if calls:
        told["tool_calls"] = [call.model_dump(mode="json") if hasattr(call, "model_dump") else call for call in calls]
    return told


def _tells(response: Any) -> Reading:
    if response is None:
        return Reading()
    raw, more = response.raw, response.additional_kwargs or {}
    usage = _of(raw, "usage") or more
    message = getattr(response, "message", None)
    told = _message(message) if message is not None else {"content": response.text}
    return Reading(
        output=told if "tool_calls" in told else told["content"],
        model=_of(raw, "model"),
        input_tokens=_first(_of(usage, "prompt_tokens"), _of(usage, "input_tokens")),
        output_tokens=_first(_of(usage, "completion_tokens"), _of(usage, "output_tokens")),
        external_id=_of(raw, "id"),
    )


def _of(owner: Any, name: str) -> Any:
    """Return a part of what a provider answered, which may be an object or a dictionary."""
    return owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _add(handle: Any, nodes: list[Any]) -> None:
    known = {chunk["id"] for chunk in handle.context if isinstance(chunk, dict)}
    for scored in nodes:
        if scored.node.node_id not in known:
            handle.chunk(scored.node.node_id, text=scored.node.get_content(), score=scored.score)
