"""One shape for a conversation, whatever wrote it down: [{"role": ..., "content": text, ...}].

Every convention has its own: parts with `content` (OpenTelemetry), blocks with `text` (OpenAI, Anthropic, AI SDK),
`message.` prefixes (OpenInference), constructors (LangChain). What all say is who spoke, which words, which tools were
called with what, and what came back.
"""

from __future__ import annotations

from typing import Any

from trimtab.ingest.otlp.attributes import from_json

__all__ = ["conversation", "reply"]

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "tool_result": "tool",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "functionmessage": "tool",
}
_WORDS = ("text", "content", "output_text", "input_text", "reasoning_content")
_SILENT = frozenset({"reasoning", "thinking", "redacted_thinking"})


def conversation(value: Any, role: str = "user") -> Any:
    """Return what went in: a list of messages where there are any, else the text or the object as it is.

    `role` is who speaks where nothing says so.
    """
    value = _inner(from_json(value), ("messages", "prompt", "contents"))
    if isinstance(value, dict) and _says(value):
        value = [value]
    if not isinstance(value, list) or not value:
        return value
    if len(value) == 1 and isinstance(value[0], list):  # LangChain's batch of one
        value = value[0]
    if not all(isinstance(item, dict) and _says(item) for item in value):
        return value
    return [message for item in value for message in _messages(item, role)]


def reply(value: Any) -> Any:
    """Return what came out: its text when that is all it is, else the messages."""
    value = _inner(from_json(value), ("messages", "choices", "generations", "output"))
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list):
        value = [
            item["message"] if isinstance(item, dict) and isinstance(item.get("message"), dict) else item
            for item in value
        ]
    said = conversation(value, "assistant")
    if isinstance(said, list) and len(said) == 1 and isinstance(said[0], dict):
        only = said[0]
        if set(only) == {"role", "content"} and isinstance(only["content"], str) and only["role"] == "assistant":
            return only["content"]
    return said


def _inner(value: Any, keys: tuple[str, ...]) -> Any:
    """Return the part of an API's request or answer that holds the messages."""
    if isinstance(value, dict):
        for key in keys:
            if isinstance(value.get(key), list) and value[key]:
                return value[key]
    return value


def _says(item: dict[str, Any]) -> bool:
    keys = ("role", "content", "parts", "message", "kwargs", "text", "tool_calls")
    return any(key in item for key in keys) and item.get("type") != "image"


def _messages(item: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """Return one written message as messages: results of tools, which some write into a user's turn, stand alone."""
    flat = _flat(item)
    told = str(flat.get("role") or flat.get("type") or role).lower()
    words: list[str] = []
    calls = [_call(call) for call in _list(flat.get("tool_calls") or flat.get("toolCalls"))]
    results: list[dict[str, Any]] = []
    content = flat.get("parts") or flat.get("contents") or flat.get("content")
    if content is None:
        content = flat.get("text")
    blocks = from_json(content) if isinstance(content, str) and content.startswith('[{"type"') else content
    for block in blocks if isinstance(blocks, list) else [blocks]:
        _sort(block, words, calls, results)
    role = _ROLES.get(told, told if told in ("system", "developer", "user", "assistant", "tool") else role)
    if role == "tool" and not results:
        call_id = flat.get("tool_call_id") or flat.get("id")
        return [_result(call_id if isinstance(call_id, str) else None, flat.get("name"), "\n".join(words))]
    if results and not words and not calls:
        return results
    message: dict[str, Any] = {"role": role, "content": "\n".join(words)}
    if calls:
        message["tool_calls"] = calls
    return [*results, message]


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the wrapping of OpenInference, LangChain or OpenAI's events around it."""
    inner = item.get("message")
    if isinstance(inner, dict):
        return inner
    if isinstance(item.get("kwargs"), dict):
        kind = item.get("id")
        type_name = kind[-1] if isinstance(kind, list) and kind else None
        return {"type": type_name, **{key: told for key, told in item["kwargs"].items() if key != "id"}}
    return item


def _sort(block: Any, words: list[str], calls: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
    """Put one block of a message where it belongs."""
    if isinstance(block, str):
        if block:
            words.append(block)
        return
    if not isinstance(block, dict):
        return
    block = block["message_content"] if isinstance(block.get("message_content"), dict) else block
    kind = str(block.get("type", "")).replace("-", "_").lower()
    if kind in _SILENT:
        return
    if kind in ("tool_call", "tool_use", "function_call"):
        calls.append(_call(block))
    elif kind in ("tool_call_response", "tool_result", "function_call_output"):
        told = next(
            (block[key] for key in ("response", "result", "output", "content") if block.get(key) is not None), ""
        )
        call_id = block.get("id") or block.get("toolCallId") or block.get("tool_use_id") or block.get("call_id")
        results.append(_result(call_id, block.get("name") or block.get("toolName"), _plain(told)))
    else:
        said = next((block[key] for key in _WORDS if isinstance(block.get(key), str)), None)
        words.append(said if said is not None else f"[{kind or 'part'}]")


def _plain(value: Any) -> Any:
    """Return a tool's answer: its text where it is wrapped, else the value."""
    if isinstance(value, dict) and value.get("type") in ("text", "json") and "value" in value:
        return value["value"]
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "\n".join(part["text"] for part in value)
    return value


def _result(call_id: Any, name: Any, content: Any) -> dict[str, Any]:
    message = {"role": "tool", "content": content}
    if isinstance(call_id, str) and call_id:
        message["tool_call_id"] = call_id
    if isinstance(name, str) and name:
        message["name"] = name
    return message


def _call(call: Any) -> dict[str, Any]:
    """Return a tool call as {id, name, arguments}, arguments as the object they are where they are JSON."""
    if not isinstance(call, dict):
        return {"name": str(call)}
    call = call["tool_call"] if isinstance(call.get("tool_call"), dict) else call
    inner = call["function"] if isinstance(call.get("function"), dict) else call
    call_id = call.get("id") or call.get("toolCallId") or call.get("call_id")
    name = inner.get("name") or inner.get("toolName")
    given = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    made = {"id": call_id, "name": name, "arguments": from_json(given)}
    return {key: told for key, told in made.items() if told is not None}


def _list(value: Any) -> list[Any]:
    value = from_json(value)
    return value if isinstance(value, list) else []
