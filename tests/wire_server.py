"""A stand-in for the server's wire, for tests of the SDK alone: real HTTP on loopback, told what to do wrong.

Not the engine: it knows ids and shapes, not features or incidents. What it stores can be asked (`ids`, `events`), and
whoever waits for it is woken by an event, never by the clock (`await_ids`).
"""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, Literal, NamedTuple, Self

__all__ = ["STREAM", "Request", "Step", "WireServer"]

STREAM = "/v1/rollouts/stream"
Behaviour = Literal["ok", "hang", "hang_after_storing", "garbage", "html", "reset", "status", "reject"]


class Step(NamedTuple):
    """What to do with one request: `status` and `headers` for 'status', `indexes` for 'reject'."""

    behaviour: Behaviour = "ok"
    status: int = 500
    headers: Mapping[str, str] = MappingProxyType({})
    indexes: tuple[int, ...] = ()


class Request(NamedTuple):
    """One request as it came in; `body` is decompressed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int


class WireServer:
    """Answers POST /v1/events, GET /v1/features/{feature}/rollout and, once `streaming`, GET /v1/rollouts/stream.

    `script` holds steps for the next posts; when it is empty, `default` is done. The same for `rollout_default`.
    """

    def __init__(self, port: int = 0) -> None:
        self.script: deque[Step] = deque()
        self.default = Step()
        self.rollout_default = Step()
        self.rollouts: dict[str, dict[str, Any]] = {}
        self.streaming = False
        self.streams = 0
        self.requests: list[Request] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.arrivals: list[str] = []
        self.changed = threading.Condition()
        self._released = threading.Event()
        server = self

        class Handler(_Handler):
            wire = server

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away in the middle is what these tests are about."""

        self._http = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port; what hangs is let go."""
        self._released.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def release(self) -> None:
        """Let go of the requests that hang; later ones hang again."""
        self._released.set()
        self._released = threading.Event()

    def serve(self, feature: str, rollout: dict[str, Any], versions: Iterable[dict[str, Any]]) -> None:
        """Answer for `feature` from now on with this rollout."""
        body = {"rollout": {"feature": feature, **rollout}, "versions": {item["id"]: item for item in versions}}
        with self.changed:
            self.rollouts[feature] = body
            self.changed.notify_all()

    def await_that(self, holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until `holds` is true; it is asked whenever something came in."""
        with self.changed:
            assert self.changed.wait_for(holds, timeout_s), f"after {timeout_s} s: {len(self.requests)} requests"

    def await_ids(self, ids: Iterable[str]) -> None:
        """Wait until all `ids` are stored."""
        wanted = set(ids)
        self.await_that(lambda: wanted <= self.events.keys())

    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def gets(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and request.path != STREAM]

    def listens(self) -> list[Request]:
        return [request for request in self.requests if request.path == STREAM]

    def cut(self) -> None:
        """End the streams that are open, and refuse new ones."""
        with self.changed:
            self.streaming = False
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    wire: WireServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the class above
        """Quiet."""

    def do_POST(self) -> None:
        request = self._receive()
        with self.wire.changed:
            step = self.wire.script.popleft() if self.wire.script else self.wire.default
        self._do(step, lambda: self._take(request, step))

    def do_GET(self) -> None:
        request = self._receive()
        if request.path == STREAM:
            self._stream()
            return
        self._do(self.wire.rollout_default, lambda: self._rollout(request))

    def _receive(self) -> Request:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, time.monotonic(), self.client_address[1])
        with self.wire.changed:
            self.wire.requests.append(request)
            self.wire.changed.notify_all()
        return request

    def _do(self, step: Step, well: Callable[[], None]) -> None:
        if step.behaviour in ("ok", "reject"):
            well()
        elif step.behaviour == "status":
            self._answer(step.status, {"error": {"code": "scripted", "message": "as told"}}, step.headers)
        elif step.behaviour == "html":
            self._answer(200, "<html>Please log in to the network</html>")
        elif step.behaviour == "garbage":
            self.wfile.write(b"\x00\xff\xfe this is not HTTP \r\n\r\n")
            self.close_connection = True
        elif step.behaviour == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.connection.close()
            self.close_connection = True
        elif step.behaviour == "hang_after_storing":
            self._take(self.wire.requests[-1], step, silent=True)
            self._hang()
        else:
            self._hang()

    def _hang(self) -> None:
        self.wire._released.wait(60)
        self.close_connection = True

    def _take(self, request: Request, step: Step, *, silent: bool = False) -> None:
        events = json.loads(request.body)
        duplicates = 0
        with self.wire.changed:
            for index, event in enumerate(events):
                if index in step.indexes:
                    continue
                duplicates += event["id"] in self.wire.events
                self.wire.events.setdefault(event["id"], event)
                self.wire.arrivals.append(event["id"])
            self.wire.changed.notify_all()
        rejected = [{"index": at, "code": "invalid_field", "message": "as told"} for at in step.indexes]
        taken = len(events) - duplicates - len(rejected)
        if not silent:
            self._answer(200, {"accepted": taken, "duplicates": duplicates, "rejected": rejected})

    def _rollout(self, request: Request) -> None:
        with self.wire.changed:
            body = self.wire.rollouts.get(request.path.split("/")[3])
        if body is None:
            self._answer(404, {"error": {"code": "not_found", "message": "no such feature"}})
            return
        etag = f'"{body["rollout"]["revision"]}"'
        if request.headers.get("if-none-match") == etag:
            self._answer(304, None, {"ETag": etag})
        else:
            self._answer(200, body, {"ETag": etag})

    def _stream(self) -> None:
        wire = self.wire
        if not wire.streaming:
            self._answer(404, {"error": {"code": "not_found", "message": "no such path"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        told = self._revisions()
        self._event("hello", {"revisions": told})
        with wire.changed:
            wire.streams += 1
            wire.changed.notify_all()
        while not self._is_over():
            with wire.changed:
                wire.changed.wait_for(partial(self._is_news, told), 0.5)
            now = self._revisions()
            try:
                for feature in sorted(name for name in now if now[name] != told.get(name)):
                    self._event("rollout", {"feature": feature, "revision": now[feature], "etag": f'"{now[feature]}"'})
                self.wfile.write(b": still here\n\n")
            except OSError:
                break
            told = now
        with wire.changed:
            wire.streams -= 1
            wire.changed.notify_all()

    def _is_news(self, told: dict[str, int]) -> bool:
        return self._revisions() != told or self._is_over()

    def _is_over(self) -> bool:
        return not self.wire.streaming or self.wire._released.is_set()

    def _revisions(self) -> dict[str, int]:
        return {name: body["rollout"]["revision"] for name, body in self.wire.rollouts.items()}

    def _event(self, name: str, told: Any) -> None:
        self.wfile.write(f"event: {name}\nid: 1\ndata: {json.dumps(told)}\n\n".encode())

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
