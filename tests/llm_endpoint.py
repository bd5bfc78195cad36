"""A stand-in for model providers, on loopback: it answers as OpenAI's and Anthropic's HTTP interfaces do.

Scripted, not a model. What it says depends on what is asked: "call a tool" in the last message gets a tool call, "fail"
an error 400, "break" a stream that ends in an error, anything else "Two days." in three pieces.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = ["PIECES", "LlmEndpoint"]

PIECES = ("Two", " days", ".")
_SAID = "".join(PIECES)
_ARGUMENTS = '{"order": 7}'
_Events = list[dict[str, Any]]


class LlmEndpoint:
    """Answers POST /v1/chat/completions, /v1/responses and /v1/messages; `bodies` are the requests as they came.

    `says`, where given, is what a chat completion says instead of "Two days.".
    """

    def __init__(self, says: str = _SAID) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.says = says
        endpoint = self

        class Handler(_Handler):
            endpoint_ = endpoint

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The address without /v1, as Anthropic's client takes it."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What the clients of both providers read."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "none",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "none",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    endpoint_: LlmEndpoint
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the class above
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.endpoint_.bodies.append(body)
        asked = json.dumps((body.get("messages") or [body.get("input")])[-1])
        if "fail" in asked:
            self._send(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "as told"}})
            return
        answers = {"/v1/chat/completions": _chat, "/v1/responses": _responses, "/v1/messages": _messages}
        whole, events = answers[self.path.partition("?")[0]](body, tool="call a tool" in asked)
        if not body.get("stream"):
            if "choices" in whole and whole["choices"][0]["message"]["content"] is not None:
                whole["choices"][0]["message"]["content"] = self.endpoint_.says
            self._send(200, whole)
            return
        if "break" in asked:
            events = [*events[:2], {"type": "error", "error": {"type": "overloaded_error", "message": "as told"}}]
        self._stream(events)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: _Events) -> None:
        named = [f"event: {event['type']}\n" if "type" in event else "" for event in events]
        lines = [f"{name}data: {json.dumps(event)}\n\n" for name, event in zip(named, events, strict=True)]
        data = "".join([*lines, "data: [DONE]\n\n"]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _chat(body: dict[str, Any], *, tool: bool) -> tuple[dict[str, Any], _Events]:
    head = {"id": "chatcmpl-7", "created": 1, "model": f"{body['model']}-2026", "object": "chat.completion"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    call = {"id": "call_1", "type": "function", "function": {"name": "track", "arguments": _ARGUMENTS}}
    message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]} if tool else {}
    message = message or {"role": "assistant", "content": _SAID}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop"}
    deltas: _Events = [{"content": piece} for piece in PIECES]
    if tool:
        begun = {"index": 0, **call, "function": {"name": "track", "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": part}} for part in (_ARGUMENTS[:5], _ARGUMENTS[5:])]
        deltas = [{"role": "assistant", "tool_calls": [part]} for part in (begun, *rest)]
    chunk = {**head, "object": "chat.completion.chunk"}
    events = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**chunk, "choices": [], "usage": usage})
    return {**head, "choices": [choice], "usage": usage}, events


def _responses(body: dict[str, Any], *, tool: bool) -> tuple[dict[str, Any], _Events]:
    text = {"type": "output_text", "text": _SAID, "annotations": []}
    item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    item["content"] = [text]
    if tool:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "track", "arguments": _ARGUMENTS}
    usage: dict[str, Any] = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    head = {"id": "resp_7", "object": "response", "created_at": 1, "model": f"{body['model']}-2026", "tools": []}
    head |= {"parallel_tool_calls": True, "tool_choice": "auto", "error": None, "metadata": {}}
    whole = {**head, "status": "completed", "output": [item], "usage": usage}
    begun = {**head, "status": "in_progress", "output": []}
    events: _Events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
    ]
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    if not tool:
        part = {**text, "text": ""}
        events.append({"type": "response.content_part.added", **at, "part": part})
        events += [{"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in PIECES]
    events.append({"type": "response.completed", "response": whole})
    return whole, [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _messages(body: dict[str, Any], *, tool: bool) -> tuple[dict[str, Any], _Events]:
    head = {"id": "msg_7", "type": "message", "role": "assistant", "model": f"{body['model']}-2026"}
    block: dict[str, Any] = {"type": "text", "text": _SAID}
    deltas: _Events = [{"type": "text_delta", "text": piece} for piece in PIECES]
    empty: dict[str, Any] = {"type": "text", "text": ""}
    if tool:
        block = {"type": "tool_use", "id": "toolu_1", "name": "track", "input": json.loads(_ARGUMENTS)}
        empty = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (_ARGUMENTS[:5], _ARGUMENTS[5:])]
    stop = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 9, "output_tokens": 3}
    whole = {**head, **stop, "content": [block], "usage": usage}
    begun: dict[str, Any] = {
        **head,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: _Events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return whole, events
