"""A real HTTP server that receives webhooks, and behaves as a test tells it."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

__all__ = ["Receiver", "Request"]


class Request(NamedTuple):
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers each request with the next of `statuses` (the last one again and again); 0 hangs, -1 drips a header.

    `location` is where 3xx answers point, `answer` the body.
    """

    def __init__(self, *statuses: int, location: str = "", answer: bytes = b"ok") -> None:
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)
        self._statuses = list(statuses) or [200]
        self._end = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(Request(self.path, dict(self.headers.items()), body))
                status = outer._statuses.pop(0) if len(outer._statuses) > 1 else outer._statuses[0]
                outer.arrived.release()
                self.close_connection = True
                if status == 0:
                    outer._end.wait(60)
                elif status == -1:
                    self._drip()
                else:
                    self._answer(status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the sender has read enough
                    self.wfile.write(answer)

            def _drip(self) -> None:
                with contextlib.suppress(OSError):  # the sender has gone
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                    while not outer._end.wait(0.05):
                        self.wfile.write(b"x")
                        self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="test-receiver")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def release(self) -> None:
        """Let hanging requests end, without an answer."""
        self._end.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()
