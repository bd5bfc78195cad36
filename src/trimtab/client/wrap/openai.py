"""OpenAI's Python client, and whatever speaks through it to a compatible endpoint: chat completions and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.client.wrap.patch import cover, found, recorded, uncover
from trimtab.client.wrap.recording import Asked, Reading, given, slim
from trimtab.client.wrap.stream import AsyncManaged

if TYPE_CHECKING:
    from trimtab.client.client import Client

__all__ = ["unwrap", "wrap"]

_CHATS = ("chat.completions", "beta.chat.completions")
_COPIES = ("copy", "with_options")
_METHODS = ("create", "parse", "stream")


def wrap(openai: Any, client: Client, feature: str | None) -> None:
    """Record the calls of this OpenAI client and of its `with_options` copies."""
    unwrap(openai)
    chat = recorded(client, feature, asks=_chat_asks, tells=_chat_tells, joins=_chat_joins)
    responses = recorded(client, feature, asks=_responses_asks, tells=_responses_tells, joins=_responses_joins)
    for path, recording in [*((path, chat) for path in _CHATS), ("responses", responses)]:
        resource = found(openai, path)
        if resource is None:
            continue
        for name in ("create", "parse"):
            cover(resource, name, recording)
        # The helper calls create, which is recorded; it is told when its block ends.
        cover(resource, "stream", lambda original: lambda **options: AsyncManaged(original(**options)))
    for name in _COPIES:
        cover(openai, name, lambda original: lambda **options: client.wrap(original(**options), feature=feature))


def unwrap(openai: Any) -> None:
    """Record its calls no longer."""
    uncover(openai, _COPIES)
    for path in ("chat", "beta", "beta.chat"):
        owner = found(openai, path)
        if owner is not None:
            uncover(owner, ())
    for path in (*_CHATS, "responses"):
        resource = found(openai, path)
        if resource is not None:
            uncover(resource, _METHODS)


# ------------------------------------------------------------ chat completions


def _user(options: dict[str, Any]) -> Any:
    return given(options.get("safety_identifier")) or given(options.get("user"))


def _chat_asks(options: dict[str, Any]) -> Asked:
    messages, model = slim(given(options.get("messages"))), given(options.get("model"))
    return Asked(messages, model, _user(options), given(options.get("metadata")))


def _chat_tells(completion: Any) -> Reading:
    outputs = [_said(choice.message) for choice in completion.choices or []]
    usage = completion.usage
    return Reading(
        output=outputs[0] if len(outputs) == 1 else outputs or None,
        model=completion.model,
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
        external_id=completion.id,
    )


def _said(message: Any) -> Any:
    """Return the text of a message, or all of it when it calls tools."""
    calls = getattr(message, "tool_calls", None)
    if calls:
        plain = [call.model_dump(mode="json", exclude_none=True) for call in calls]
        return {"role": "assistant", "content": message.content, "tool_calls": plain}
    return message.content if message.content is not None else getattr(message, "refusal", None)


def _chat_joins(chunks: list[Any]) -> Reading:
    texts: dict[int, str] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    usage: Any = None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices or []:
            delta = choice.delta
            said = (delta.content or "") + (getattr(delta, "refusal", None) or "")
            texts[choice.index] = texts.get(choice.index, "") + said
            for piece in delta.tool_calls or []:
                _add(calls.setdefault(choice.index, {}), piece)
    outputs: list[Any] = [
        {"role": "assistant", "content": text or None, "tool_calls": list(calls[at].values())} if at in calls else text
        for at, text in sorted(texts.items())
    ]
    return Reading(
        output=outputs[0] if len(outputs) == 1 else outputs or None,
        model=next((chunk.model for chunk in chunks if chunk.model), None),
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
        external_id=next((chunk.id for chunk in chunks if chunk.id), None),
    )


def _add(calls: dict[int, dict[str, Any]], piece: Any) -> None:
    """Add a piece of a tool call to the call it belongs to."""
    call = calls.setdefault(piece.index, {"id": None, "function": {"name": "", "arguments": ""}, "type": "function"})
    call["id"] = piece.id or call["id"]
    if piece.function is not None:
        call["function"]["name"] += piece.function.name or ""
        call["function"]["arguments"] += piece.function.arguments or ""


# ------------------------------------------------------------ responses


def _responses_asks(options: dict[str, Any]) -> Asked:
    asked, instructions = slim(given(options.get("input"))), given(options.get("instructions"))
    if instructions:
        messages = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
        asked = [{"role": "system", "content": instructions}, *messages]
    return Asked(asked, given(options.get("model")), _user(options), given(options.get("metadata")))


def _responses_tells(response: Any) -> Reading:
    items = [item for item in response.output or [] if item.type != "reasoning"]
    only_text = all(item.type == "message" for item in items)
    output = [item.model_dump(mode="json", exclude_none=True) for item in items]
    usage, failure = response.usage, response.error
    return Reading(
        output=response.output_text if only_text else output,
        model=response.model,
        input_tokens=getattr(usage, "input_tokens", None),
        output_tokens=getattr(usage, "output_tokens", None),
        external_id=response.id,
        error=f"{failure.code}: {failure.message}" if failure else None,
    )


def _responses_joins(events: list[Any]) -> Reading:
    for event in reversed(events):
        if event.type in {"response.completed", "response.incomplete", "response.failed"}:
            return _responses_tells(event.response)
    begun = next((event.response for event in events if event.type == "response.created"), None)
    return Reading(
        output="".join(event.delta for event in events if event.type == "response.output_text.delta") or None,
        model=getattr(begun, "model", None),
        external_id=getattr(begun, "id", None),
    )
