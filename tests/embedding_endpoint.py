"""A fake of an embedding server, on loopback: it answers POST /v1/embeddings as OpenAI's HTTP interface does.

Scripted, not a model: a text's vector is made of the SHA-256 of model and text, so it says nothing about meaning. The
next requests fail as `faults` says, one each: a status, or one of the words below.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

__all__ = ["EmbeddingEndpoint", "Fault"]

Fault = int | Literal["drop", "redirect", "html", "shuffled", "lacking", "short", "empty", "endless"]


class EmbeddingEndpoint:
    """Serves while open; `bodies` and `headers` are the requests as they came, `retry_after` goes with a fault."""

    def __init__(self, *, dimensions: int = 16) -> None:
        self.dimensions = dimensions
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.retry_after: str | None = None
        endpoint = self

        class Handler(_Handler):
            endpoint_ = endpoint

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The address as `embedding.base_url` takes it."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def vector(self, model: str, text: str, dimensions: int) -> list[float]:
        """Return the vector of a text: bytes of hashes around zero, not of length 1."""
        blocks = [hashlib.sha256(f"{model}\x00{text}\x00{n}".encode()).digest() for n in range(dimensions // 32 + 1)]
        return [byte - 127.5 for byte in b"".join(blocks)[:dimensions]]

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
    endpoint_: EmbeddingEndpoint
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the class above
        """Quiet."""

    def do_POST(self) -> None:
        endpoint = self.endpoint_
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        endpoint.bodies.append(body)
        endpoint.headers.append(dict(self.headers.items()))
        fault = endpoint.faults.pop(0) if endpoint.faults else None
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
        elif fault == "redirect":
            self._send(307, {}, {"Location": "http://127.0.0.1:9/v1/embeddings"})
        elif fault == "html":
            self._send(200, "<html>")
        elif isinstance(fault, int):
            error = {"message": f"{self.headers.get('Authorization')} {body['input']}", "code": "as_told"}
            self._send(fault, {"error": error}, {"Retry-After": endpoint.retry_after} if endpoint.retry_after else {})
        elif not all(text.strip() for text in body["input"]):
            self._send(400, {"error": {"code": "empty_input", "message": "an input is empty"}})
        else:
            self._answer(body, fault)

    def _answer(self, body: dict[str, Any], fault: Fault | None) -> None:
        length = body.get("dimensions") or self.endpoint_.dimensions
        vectors = [self.endpoint_.vector(body["model"], text, length) for text in body["input"]]
        if fault == "short":
            vectors[-1].pop()
        elif fault == "empty":
            vectors = [[] for _ in vectors]
        elif fault == "endless":
            vectors[0][0] = 1e400
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        if fault == "shuffled":
            data.reverse()
        elif fault == "lacking":
            data.pop()
        self._send(200, {"object": "list", "model": body["model"], "data": data, "usage": {"total_tokens": 1}})

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode() if not isinstance(body, str) else body.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
