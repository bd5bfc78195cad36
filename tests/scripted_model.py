"""A model behind an OpenAI-compatible endpoint whose answers depend on its instructions, and one that rewrites them.

Scripted, not models. `support` knows an answer only where its system message says it; "reflect" writes into the
instructions what the corrections in its prompt say, as a stronger model would.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = ["FACTS", "ScriptedModel", "question"]

FACTS = {
    "return": "Returns are free within thirty days when the receipt is enclosed.",
    "battery": "Battery packs are replaced at no charge during twenty four months.",
    "invoice": "Invoices lie under Wallet, second tab, as printable sheets.",
}
_WORDS = ("lamp", "kettle", "drill", "radio", "scale", "heater", "toaster", "mixer", "fan", "clock", "grill", "scanner")
_MARK = "What is right: "


def question(number: int) -> tuple[str, str]:
    """Return the topic of a question, and its words."""
    topic = sorted(FACTS)[number % len(FACTS)]
    return topic, f"My {_WORDS[number % len(_WORDS)]} number {number}: what about the {topic}?"


class ScriptedModel:
    """Answers POST /v1/chat/completions; `asked` counts calls by model, `hold` makes it wait before an answer."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.prompts: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        self.reached = threading.Event()
        self._lock = threading.Lock()
        model = self

        class Handler(_Handler):
            model_ = model

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, body: dict[str, Any]) -> str:
        with self._lock:
            self.asked[body["model"]] = self.asked.get(body["model"], 0) + 1
        self.reached.set()
        self.hold.wait(30)
        last = body["messages"][-1]["content"]
        if body["model"] == "reflect":
            with self._lock:
                self.prompts.append(last)
            return _rewritten(last)
        told = " ".join(message["content"] for message in body["messages"] if message["role"] == "system")
        return answered(told, last)


def answered(instructions: str, asked: str) -> str:
    """Answer as the model does: by the fact where the instructions hold it, else at a loss."""
    topic = next((name for name in FACTS if f"the {name}?" in asked), "")
    known = topic and FACTS[topic] in instructions
    return FACTS[topic] if known else "Please contact our friendly team."


def _rewritten(prompt: str) -> str:
    current = prompt.split("```\n")[1].rstrip("\n")
    right = [line.split(_MARK)[1].strip() for line in prompt.splitlines() if _MARK in line]
    added = [fact for fact in dict.fromkeys(right) if fact not in current]
    return "```\n" + "\n".join([current, *added]) + "\n```"


class _Handler(BaseHTTPRequestHandler):
    model_: ScriptedModel
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the class above
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        said = self.model_.answer(body)
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        whole = {"id": "c1", "object": "chat.completion", "model": body["model"], "choices": [choice]}
        data = json.dumps(whole).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
