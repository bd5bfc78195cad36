"""A stand-in for a fine-tuning service, on loopback: files and jobs as OpenAI's HTTP interface has them, scripted."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

__all__ = ["TrainingEndpoint"]

_Row = dict[str, Any]


class TrainingEndpoint:
    """Keeps files and jobs in memory. A job succeeds when it is asked about for the `polls`-th time.

    `said` holds what was asked, as "METHOD path". What a test may script: `fail[said]` = (status, body) answers of a
    route, used up one by one; `hold[said]` = an event for which the answer waits after the deed is done (`held` is
    released when it does); `lose` = routes whose next answer is lost after the deed is done; `without` = routes it does
    not have; `outcome` = how jobs end.
    """

    def __init__(self, *, polls: int = 2) -> None:
        self.files: list[_Row] = []
        self.jobs: list[_Row] = []
        self.contents: dict[str, str] = {}
        self.said: list[str] = []
        self.keys: set[str] = set()
        self.fail: dict[str, list[tuple[int, _Row]]] = {}
        self.hold: dict[str, threading.Event] = {}
        self.held = threading.Semaphore(0)
        self.lose: set[str] = set()
        self.without: set[str] = set()
        self.outcome: _Row = {"status": "succeeded", "trained_tokens": 1_200_000}
        self.polls = polls
        self._lock = threading.Lock()
        endpoint = self

        class Handler(_Handler):
            endpoint_ = endpoint

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The address that `finetune.base_url` takes."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def times(self, said: str) -> int:
        """Return how often a route was asked."""
        return self.said.count(said)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in self.hold.values():
            event.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def do(self, method: str, path: str, asked: dict[str, list[str]], body: bytes) -> tuple[int, _Row]:
        """Carry out one request."""
        with self._lock:
            match (method, *path.split("/")[1:]):
                case ("GET", "files"):
                    return 200, _page(self.files, asked)
                case ("POST", "files"):
                    return 200, self._file(body)
                case ("DELETE", "files", name):
                    self.files = [each for each in self.files if each["id"] != name]
                    return 200, {"id": name, "deleted": True}
                case ("GET", "fine_tuning", "jobs"):
                    return 200, _page(list(reversed(self.jobs)), asked)
                case ("POST", "fine_tuning", "jobs"):
                    return 200, self._job(json.loads(body))
                case ("GET", "fine_tuning", "jobs", name):
                    return 200, self._poll(name)
                case ("POST", "fine_tuning", "jobs", name, "cancel"):
                    job = next(each for each in self.jobs if each["id"] == name)
                    job["status"] = "cancelled"
                    return 200, job
        return 404, {"error": {"message": f"no such route: {method} {path}"}}

    def _file(self, body: bytes) -> _Row:
        text = body.decode()
        name = re.findall(r'filename="([^"]+)"', text)[0]
        content = text.split("application/jsonl\r\n\r\n")[1].rpartition("\r\n--")[0]
        row = {"id": f"file-{len(self.contents)}", "filename": name, "purpose": "fine-tune"}
        self.contents[row["id"]] = content
        self.files.append(row)
        return row

    def _job(self, asked: _Row) -> _Row:
        job = {"id": f"ftjob-{len(self.jobs)}", "status": "queued", "polls": 0, "fine_tuned_model": None, **asked}
        self.jobs.append(job)
        return job

    def _poll(self, name: str) -> _Row:
        job = next(each for each in self.jobs if each["id"] == name)
        if job["status"] in ("queued", "running"):
            job["polls"] += 1
            job["status"] = "running"
            if job["polls"] >= self.polls:
                job.update({"fine_tuned_model": f"ft:{job['model']}:acme::{name}", **self.outcome})
        return job


class _Handler(BaseHTTPRequestHandler):
    endpoint_: TrainingEndpoint
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name in the class above
        """Quiet."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        told = self.endpoint_
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/v1")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = f"{method} {re.sub(r'(file|ftjob)-[0-9]+', 'ID', path)}"
        told.said.append(said)
        told.keys.add(self.headers.get("Authorization", ""))
        self.close_connection = True
        if said in told.without:
            self._send(404, {"error": {"message": "unknown route"}})
            return
        if told.fail.get(said):
            self._send(*told.fail[said].pop(0))
            return
        status, answer = told.do(method, path, parse_qs(parts.query), body)
        if said in told.hold:
            told.held.release()
            told.hold[said].wait(60)
        if said in told.lose:
            told.lose.discard(said)
            return
        self._send(status, answer)

    def _send(self, status: int, body: _Row) -> None:
        data = json.dumps(body).encode()
        with contextlib.suppress(OSError):  # who asked may be dead
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


def _page(rows: list[_Row], asked: dict[str, list[str]]) -> _Row:
    """Return two rows at a time, so that paging is not for show."""
    ids = [row["id"] for row in rows]
    start = ids.index(asked["after"][0]) + 1 if "after" in asked else 0
    return {"object": "list", "data": rows[start : start + 2], "has_more": len(rows) > start + 2}
