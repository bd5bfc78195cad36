"""A recording server: it takes what the browser SDK sends as the Trimtab server must, keeps it, and fails on demand.

It stands for the server where a test needs a failing one, and decodes every event with the server's own record.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from trimtab.records import Feedback

__all__ = ["Recorder", "Request", "Site"]

KEY = "tt_public_test"
TOKEN = "tt_token_for_one_answer"
WAIT_S = 20.0


@dataclass(frozen=True)
class Request:
    """One POST as it arrived; `stored` says whether its events were kept."""

    query: dict[str, list[str]]
    headers: dict[str, str]
    events: list[dict[str, Any]]
    stored: bool

    @property
    def outlives_its_page(self) -> bool:
        """Whether it was sent in the form that needs no preflight."""
        return self.headers["content-type"] == "text/plain"


class _Listener:
    """An HTTP server on a free port of loopback, in a thread, closed with its `with` block."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str) -> None:
        self._http = ThreadingHTTPServer((host, 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self.origin = f"http://{host}:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Site(_Listener):
    """The app's own web site, on another origin than the server."""

    def __init__(self) -> None:
        pages = {"/favicon.ico": ""}
        self.pages = pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pages.get(urlsplit(self.path).path)
                _answer(self, 200 if body is not None else 404, (body or "").encode(), {"content-type": "text/html"})

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler, "127.0.0.1")


@dataclass
class Recorder:
    """What the server was sent and what it stored: each id once, in order of arrival."""

    script: bytes
    requests: list[Request] = field(default_factory=list)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    preflights: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    key: str = KEY
    token: str = TOKEN

    def __post_init__(self) -> None:
        self._arrived = threading.Condition()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind = {"content-type": "text/javascript", "access-control-allow-origin": "*"}
                _answer(self, 200 if self.path == "/sdk.js" else 404, recorder.script, kind)

            def do_OPTIONS(self) -> None:
                recorder.preflights += 1
                allowed = {
                    "access-control-allow-origin": "*",
                    "access-control-allow-methods": "POST",
                    "access-control-allow-headers": "authorization, content-type",
                    "access-control-max-age": "7200",
                }
                _answer(self, 204, b"", allowed)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, receipt = recorder.take(self.path, dict(self.headers), body)
                cors = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
                content = {"content-type": "application/json", **cors, **recorder.headers}
                _answer(self, status, json.dumps(receipt).encode(), content)

            def log_message(self, *_: object) -> None:
                pass

        self._listener = _Listener(Handler, "127.0.0.1")
        self.origin = self._listener.origin

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.__exit__(kind, error, at)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Record one POST and return its status and receipt."""
        address = urlsplit(path)
        query = parse_qs(address.query)
        named = {name.lower(): value for name, value in headers.items()}
        auth = named.get("authorization", "").removeprefix("Bearer ") or query.get("key", [""])[0]
        events = json.loads(body)
        with self._arrived:
            status = self.status if auth in (self.key, self.token) else 401
            stored = status < 300
            self.requests.append(Request(query, named, events, stored))
            rejected = []
            for index, event in enumerate(events if stored else []):
                try:
                    msgspec.convert(event, Feedback)
                except msgspec.ValidationError as refused:
                    rejected.append({"index": index, "code": "invalid_event", "message": str(refused), "param": None})
                else:
                    self.stored.setdefault(event["id"], event)
            self._arrived.notify_all()
        return status, {"accepted": len(events) - len(rejected), "duplicates": 0, "rejected": rejected}

    def wait_until(self, come: Callable[[], object]) -> None:
        """Wait for arrivals until `come()` is true; fail with what has arrived."""
        with self._arrived:
            if not self._arrived.wait_for(come, WAIT_S):
                raise AssertionError(f"waited {WAIT_S} s; stored {list(self.stored.values())}, of {self.requests}")

    def feedback(self, count: int = 1, kind: str | None = None) -> list[dict[str, Any]]:
        """Wait until `count` events (of `kind`) are stored and return them in their own order of time."""

        def stored() -> list[dict[str, Any]]:
            return [event for event in self.stored.values() if kind in (None, event["kind"])]

        self.wait_until(lambda: len(stored()) >= count)
        return sorted(stored(), key=lambda event: str(event["id"]))


def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {**headers, "content-length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
