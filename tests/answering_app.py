"""An app on loopback that answers for a feature: by a signed webhook, and as a model endpoint with the same mind.

It knows only what it is shown: the answer to a question is the assistant's turn after that question among the messages.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from trimtab import answer_webhook
from trimtab.client import Reply

__all__ = ["SECRET", "AnsweringApp", "answered"]

SECRET = "a long random text"


def answered(messages: list[dict[str, str]]) -> str:
    """Return what an earlier turn answered to the last message's question, "" where none did."""
    asked = messages[-1]["content"]
    turns = itertools.pairwise(messages[:-1])
    return next((reply["content"] for turn, reply in turns if turn["content"] == asked), "")


class AnsweringApp:
    """Answers POST /hook and POST /v1/chat/completions. `troubles` are statuses given first, one per request.

    `asked` are the bodies as they came, `headers` those of the webhook, `most` how many were answered at once.
    """

    def __init__(self, *troubles: int, mind: Callable[[list[dict[str, str]]], Any] = answered) -> None:
        self.troubles = list(troubles)
        self.mind = mind
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.replies: dict[str, Reply] = {}
        self.minded = 0
        self.most = 0
        self.hold = threading.Event()
        self.hold.set()
        self.reached = threading.Semaphore(0)
        self._busy = 0
        self._lock = threading.Lock()
        app = self

        class Handler(_Handler):
            app_ = app

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="test-app")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.set()
        self._http.shutdown()
        self._thread.join(30)
        self._http.server_close()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
        self.reached.release()
        self.hold.wait(30)
        try:
            if self.troubles:
                return Reply(self.troubles.pop(0), b"{}")
            return self._hook(headers, body) if path == "/hook" else self._model(body)
        finally:
            with self._lock:
                self._busy -= 1

    def _hook(self, headers: dict[str, str], body: bytes) -> Reply:
        self.headers.append(headers)
        return answer_webhook(headers, body, SECRET, self._minded, replies=self.replies)

    def _model(self, body: bytes) -> Reply:
        said = self._minded(json.loads(body))
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return Reply(200, json.dumps({"id": "c1", "object": "chat.completion", "choices": [choice]}).encode())

    def _minded(self, question: dict[str, Any]) -> Any:
        with self._lock:
            self.asked.append(question)
            self.minded += 1
        return self.mind(question["messages"])


class _Handler(BaseHTTPRequestHandler):
    app_: AnsweringApp
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.app_.answer(self.path, dict(self.headers.items()), body)
        with contextlib.suppress(OSError):  # the asker has given up
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
