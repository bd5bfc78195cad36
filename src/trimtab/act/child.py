"""Code that may hang or crash, in a process of its own: asked over a socket, killed when its time is up.

The engine's own process runs no function of the app and no pattern of an administrator: a regular expression that never
ends would hold Python's lock, and with it ingest.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Child", "ChildError", "serve"]

_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from trimtab.act.child import serve; serve(sys.argv[2:])"
)
_HEAD = struct.Struct("<I")
_START_S = 60.0  # until it says that it is ready: it imports the app
_GRACE_S = 5


class ChildError(Exception):
    """A question that got no answer. `kind`: "timeout", "died", "size", or the class of what the code raised.

    `starting`: it was raised while the code was imported, so that no question will get an answer.
    """

    def __init__(self, kind: str, *, starting: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.starting = starting


class Child:
    """One process that answers with `module:function`, one question at a time; started when it is first asked.

    The function is given a dict and returns what JSON can hold. After a failure the next question starts a new process.
    `folder` is where it runs and looks for modules first.
    """

    def __init__(self, entry: str, *, most_bytes: int = 1 << 20, folder: str | None = None) -> None:
        self._entry = entry
        self._most_bytes = most_bytes
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def ask(self, question: dict[str, Any], timeout_s: float) -> Any:
        """Return the answer. Raises ChildError where there is none, with the process ended."""
        with self._lock:
            try:
                if self._process is None:
                    self._start()
                answer = self._exchange(question, timeout_s)
            except (OSError, EOFError, ValueError) as error:
                self._end()
                raise ChildError("timeout" if isinstance(error, TimeoutError) else "died") from error
            except BaseException:
                self._end()
                raise
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process, also under a question. A second call does nothing."""
        process = self._process
        if process is not None:
            _kill(process)
        with self._lock:
            self._end()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        path = [self._folder] if self._folder else []
        with theirs:
            self._line = ours
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _BOOT,
                    json.dumps([*path, *(each for each in sys.path if each)]),
                    self._entry,
                    str(theirs.fileno()),
                    str(self._most_bytes),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=self._folder,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        ready = self._receive(time.monotonic() + _START_S)
        if "error" in ready:
            self._end()
            raise ChildError(ready["error"], starting=True)

    def _exchange(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        body = json.dumps({"question": question, "timeout_s": timeout_s}).encode()
        line = self._line
        assert line is not None  # noqa: S101  it was started
        line.settimeout(timeout_s)
        line.sendall(_HEAD.pack(len(body)) + body)
        return self._receive(deadline)

    def _receive(self, deadline: float) -> dict[str, Any]:
        line = self._line
        assert line is not None  # noqa: S101  it was started
        size = _HEAD.unpack(_exactly(line, _HEAD.size, deadline))[0]
        if size > 2 * self._most_bytes + 4096:
            raise ValueError(size)
        answer = json.loads(_exactly(line, size, deadline))
        if not isinstance(answer, dict) or not {"answer", "error"} & set(answer):
            raise ValueError("no answer")
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is not None:
            _kill(process)
            process.wait(_GRACE_S)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that nobody has waited for yet, and with it whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def serve(told: list[str]) -> None:
    """Be the child: import the entry, then answer question after question until the parent has gone."""
    entry, descriptor, most = told
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with socket.socket(fileno=int(descriptor)) as line:
        os.set_inheritable(line.fileno(), False)  # noqa: FBT003  the standard library's form
        try:
            function = _found(entry)
        except Exception as error:  # noqa: BLE001  the parent says it to whom it concerns
            _send(line, {"error": type(error).__name__})
            return
        _send(line, {"answer": "ready"})
        while True:
            try:
                size = _HEAD.unpack(_exactly(line, _HEAD.size, None))[0]
                asked = json.loads(_exactly(line, size, None))
            except (EOFError, OSError):
                return
            # A parent that was killed cannot end its child: the system does.
            signal.alarm(int(asked["timeout_s"]) + _GRACE_S)
            _send(line, _answered(function, asked["question"], int(most)))
            signal.alarm(0)


def _found(entry: str) -> Callable[[dict[str, Any]], Any]:
    module, _, name = entry.partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    if not callable(function):
        raise TypeError(entry)
    return function  # type: ignore[no-any-return]


def _answered(function: Callable[[dict[str, Any]], Any], question: dict[str, Any], most: int) -> dict[str, Any]:
    try:
        answer = function(question)
        if hasattr(answer, "__await__"):
            import asyncio  # noqa: PLC0415  only for a function that needs it

            answer = asyncio.run(_awaited(answer))
        body = json.dumps(answer)
    except Exception as error:  # noqa: BLE001  of the error its kind: a message may hold words
        return {"error": type(error).__name__}
    return {"answer": answer} if len(body) <= most else {"error": "size"}


async def _awaited(answer: Any) -> Any:
    return await answer


def _send(line: socket.socket, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    line.sendall(_HEAD.pack(len(body)) + body)


def _exactly(line: socket.socket, count: int, deadline: float | None) -> bytes:
    read = bytearray()
    while len(read) < count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
        part = line.recv(min(count - len(read), 1 << 20))
        if not part:
            raise EOFError
        read += part
    return bytes(read)
