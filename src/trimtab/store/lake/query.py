"""Queries over all history, each in a process of its own.

The engine inside deltalake keeps Python's lock for a whole query and cannot be told to stop, so a query would stop
ingest. A child runs it, with a ceiling for its memory; ending the child is the way to cancel. Results go to a file, and
the file appears when it is whole. The texts are ours or the caller's code, never a user's: the engine underneath would
read and write any file it is told to.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import msgspec
from msgspec import Struct

from trimtab.config import Lake
from trimtab.errors import Unavailable
from trimtab.store.lake.delta import DeltaLake
from trimtab.store.lake.port import LAKE_TABLES
from trimtab.store.lake.views import with_views

__all__ = ["Answer", "Form", "LakeQuery", "Request", "Running", "SpawnedQuery"]

Form = Literal["parquet", "arrow", "jsonl"]

_BOOT = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from trimtab.store.lake.child import main; main()"
_END_S = 10.0


class Request(Struct, frozen=True):
    """What the child is told, on its standard input: keys of an object store never stand on a command line."""

    tables: dict[str, str]
    options: dict[str, str]
    sql: str
    out: str
    form: Form
    scratch: str
    memory_bytes: int
    timeout_s: float


class Answer(NamedTuple):
    """A finished query: its file, the rows in it, and how long it took."""

    path: Path
    rows: int
    seconds: float


class LakeQuery(Protocol):
    """What runs portable SQL over the lake's tables and views."""

    def run(self, sql: str, out: Path, *, form: Form = "parquet") -> Answer:
        """Write the rows of the SELECT `sql` to the file `out`, replacing it when the result is whole.

        The text may name the tables inferences, feedback and outcomes, and the views of `views.VIEWS`. Raises
        Unavailable when it takes too long, needs more memory than it may, or fails; ValueError when it is no SELECT.
        """
        ...

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a small result; a column that is null is left out, a time is text in RFC 3339."""
        ...


class Running:
    """A query under way; a context manager that cancels what is not waited for."""

    def __init__(self, request: Request, out: Path) -> None:
        self._out = out
        self._draft = Path(request.out)
        self._scratch = Path(request.scratch)
        self._timeout_s = request.timeout_s
        self._began = time.monotonic()
        self._cancelled = threading.Event()
        self._child = subprocess.Popen(
            [sys.executable, "-c", _BOOT, msgspec.json.encode([path for path in sys.path if path]).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._request = msgspec.json.encode(request)

    def wait(self) -> Answer:
        """Wait for the end and return the answer. Raises Unavailable when there is none."""
        try:
            told, complaint = self._child.communicate(self._request, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            self._end()
            raise Unavailable(
                f"the query took longer than {self._timeout_s:g} s; ask for less, or raise lake.query_seconds"
            ) from None
        finally:
            self._end()
        if self._cancelled.is_set():
            raise Unavailable("the query was cancelled")
        answer: dict[str, Any] = msgspec.json.decode(told) if told else {}
        if "rows" not in answer:
            self._draft.unlink(missing_ok=True)
            why = answer.get("error") or _last_line(complaint) or f"it ended with {self._child.returncode}"
            raise Unavailable(f"the query failed: {why}")
        self._draft.replace(self._out)
        return Answer(self._out, int(answer["rows"]), time.monotonic() - self._began)

    def cancel(self) -> None:
        """End the query. Safe from any thread; `wait` then raises Unavailable."""
        self._cancelled.set()
        if self._child.poll() is None:
            self._child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait(_END_S)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)  # what the query spilled is people's words too
        if self._cancelled.is_set() or self._child.returncode != 0:
            self._draft.unlink(missing_ok=True)


class SpawnedQuery:
    """Runs queries on the engine that deltalake brings along, in child processes."""

    def __init__(self, lake: DeltaLake, settings: Lake) -> None:
        self._lake = lake
        self._settings = settings

    def start(self, sql: str, out: Path, *, form: Form = "parquet") -> Running:
        """Start a query and return at once; see `run`."""
        text = with_views(sql)
        self._lake.ensure()
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent)
        place = self._lake.place
        request = Request(
            tables={name: place.table(name) for name in LAKE_TABLES},
            options=place.options,
            sql=text,
            out=f"{scratch}.part",
            form=form,
            scratch=scratch,
            memory_bytes=self._settings.query_bytes,
            timeout_s=self._settings.query_seconds,
        )
        return Running(request, out)

    def run(self, sql: str, out: Path, *, form: Form = "parquet") -> Answer:
        """Write the rows of the SELECT `sql` to the file `out`, replacing it when the result is whole."""
        with self.start(sql, out, form=form) as running:
            return running.wait()

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a small result; a column that is null is left out, a time is text in RFC 3339."""
        with _folder() as folder:
            answer = self.run(sql, folder / "rows.jsonl", form="jsonl")
            with answer.path.open("rb") as lines:
                yield from map(msgspec.json.decode, lines)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trimtab-query-") as name:
        yield Path(name)


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
