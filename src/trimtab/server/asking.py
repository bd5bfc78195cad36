"""What an ingest worker asks of the engine's process: keys, features, redaction settings. Blocking, one at a time.

The frames are those of `trimtab.ingest.remote`. Answers are remembered by whoever asks, five seconds at most: a key
that is revoked, or settings that change, hold in every worker within that time.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from trimtab.config import Settings
from trimtab.errors import Conflict, TrimtabError, Unavailable
from trimtab.ingest.remote import raised
from trimtab.records import ApiKey, Project, RedactionSettings
from trimtab.runtime.assemble import Engine
from trimtab.store.ports import PurgedKind
from trimtab.store.schema import FEEDBACK, INFERENCES

__all__ = ["GENERATION", "Asking", "answer_all"]

T = TypeVar("T")

GENERATION: Final = hashlib.sha256(repr((INFERENCES.inserted, FEEDBACK.inserted)).encode()).hexdigest()[:16]
"""What both ends must agree on: the columns of the rows that go over."""

_PURGED_S: Final = 1.0
_LENGTH: Final = struct.Struct("<I")


class _Hello(Struct, frozen=True, array_like=True, tag=1):
    generation: str


class _FindKey(Struct, frozen=True, array_like=True, tag=2):
    sha256: str


class _Projects(Struct, frozen=True, array_like=True, tag=3):
    pass


class _Keys(Struct, frozen=True, array_like=True, tag=4):
    project_id: str


class _Learn(Struct, frozen=True, array_like=True, tag=5):
    project_id: str
    names: list[str]
    may_declare: bool


class _Revisions(Struct, frozen=True, array_like=True, tag=6):
    project_id: str


class _PurgedUntil(Struct, frozen=True, array_like=True, tag=7):
    kind: PurgedKind


_Ask = _Hello | _FindKey | _Projects | _Keys | _Learn | _Revisions | _PurgedUntil


class _Told(Struct, frozen=True, array_like=True, tag=1):
    value: msgspec.Raw


class _Refused(Struct, frozen=True, array_like=True, tag=2):
    code: str
    message: str


_asks = msgspec.msgpack.Decoder(_Ask)
_answers = msgspec.msgpack.Decoder(_Told | _Refused)
_encode = msgspec.msgpack.Encoder().encode


class Asking:
    """The worker's end. Has the verbs that a keyring, redactors and the admission of events need of a store."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._purged: dict[PurgedKind, tuple[float, datetime | None]] = {}

    def hello(self) -> Settings:
        """Return the engine's settings. Raises Conflict when the engine is of another generation than this worker."""
        return self._ask(_Hello(GENERATION), Settings)

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key with that hash, revoked or not. Raises Unavailable."""
        found: ApiKey | None = self._ask(_FindKey(sha256), ApiKey | None)  # type: ignore[arg-type]
        return found

    def projects(self) -> list[Project]:
        """Return all projects, oldest first. Raises Unavailable."""
        return self._ask(_Projects(), list[Project])

    def keys(self, project_id: str) -> list[ApiKey]:
        """Return all keys of the project, oldest first. Raises Unavailable."""
        return self._ask(_Keys(project_id), list[ApiKey])

    def learn(self, project_id: str, names: Sequence[str], *, may_declare: bool) -> set[str]:
        """Return all features of the project, after declaring those of `names` that may be. Raises Unavailable."""
        return set(self._ask(_Learn(project_id, list(names), may_declare), list[str]))

    def redactions(self, project_id: str) -> list[RedactionSettings]:
        """Return all revisions of a project's redaction settings, oldest first. Raises Unavailable."""
        return self._ask(_Revisions(project_id), list[RedactionSettings])

    def purged_until(self, kind: PurgedKind) -> datetime | None:
        """Return the time up to which rows of a kind may have left the store, as it was a second ago at most."""
        now = time.monotonic()
        held = self._purged.get(kind)
        if held is None or now - held[0] > _PURGED_S:
            until: datetime | None = self._ask(_PurgedUntil(kind), datetime | None)  # type: ignore[arg-type]
            held = self._purged[kind] = (now, until)
        return held[1]

    def _ask(self, ask: Struct, kind: type[T]) -> T:
        try:
            with self._lock:
                _send(self._line, ask)
                body = _receive(self._line)
        except OSError:
            body = None
        if body is None:
            raise Unavailable("the engine's process has gone away; try again in a moment")
        answer = _answers.decode(body)
        if isinstance(answer, _Refused):
            raise Conflict(answer.message) if answer.code == Conflict.code else raised(answer.code, answer.message)
        return msgspec.msgpack.decode(answer.value, type=kind)


def answer_all(line: socket.socket, engine: Engine) -> None:
    """Be the engine's end for one worker until that has gone; runs in a thread of its own."""
    with line:
        while True:
            try:
                body = _receive(line)
                if body is None:
                    return
                _send(line, _answer(engine, body))
            except OSError:
                return


def _answer(engine: Engine, body: bytes) -> Struct:
    ask: Any = _asks.decode(body)
    try:
        return _Told(msgspec.Raw(_encode(_VERBS[type(ask)](engine, ask))))
    except TrimtabError as error:
        return _Refused(error.code, error.message)
    except Exception as error:  # noqa: BLE001  whatever it is: the worker must hear of it, and go on
        return _Refused(
            Unavailable.code, f"the engine could not answer ({type(error).__name__}); try again in a moment"
        )


def _greet(engine: Engine, hello: _Hello) -> Settings:
    if hello.generation != GENERATION:
        raise Conflict("expected a worker of the engine's own version, got another; restart the server to upgrade it")
    return engine.settings


_VERBS: Final[dict[type, Callable[[Engine, Any], Any]]] = {
    _Hello: _greet,
    _FindKey: lambda engine, ask: engine.store.find_key(ask.sha256),
    _Projects: lambda engine, _: engine.store.projects(),
    _Keys: lambda engine, ask: engine.store.keys(ask.project_id),
    _Learn: lambda engine, ask: sorted(
        engine.intake.features.learn(ask.project_id, ask.names, may_declare=ask.may_declare)
    ),
    _PurgedUntil: lambda engine, ask: engine.store.purged_until(ask.kind),
    _Revisions: lambda engine, ask: list(engine.store.redactions(ask.project_id)),
}


def _send(line: socket.socket, message: Struct) -> None:
    body = _encode(message)
    line.sendall(_LENGTH.pack(len(body)) + body)


def _receive(line: socket.socket) -> bytes | None:
    head = _exactly(line, _LENGTH.size)
    return None if head is None else _exactly(line, _LENGTH.unpack(head)[0])


def _exactly(line: socket.socket, count: int) -> bytes | None:
    read = bytearray()
    while len(read) < count:
        part = line.recv(min(count - len(read), 1 << 20))
        if not part:
            return None
        read += part
    return bytes(read)
