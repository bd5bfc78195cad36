"""One keep-alive connection to the server, used by one thread."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from trimtab.client.loading import load_http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPConnection, HTTPResponse
    from socket import socket

__all__ = ["Answer", "Refused", "Transport", "Unreachable", "check_address"]

_ANSWER_BYTES = 32 << 20
_PIECE = 1 << 16
_ABANDONED: list[object] = []


class Unreachable(OSError):
    """No usable answer came. `cause` names the kind of trouble and holds nothing of what was sent."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Refused(Exception):
    """The server answered, and not with a stream. `retry_after_s` is what it asked to wait, 0 if nothing."""

    def __init__(self, status: int, retry_after_s: float) -> None:
        super().__init__(status)
        self.status, self.retry_after_s = status, retry_after_s


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


def check_address(url: str | None, key: str | None) -> str | None:
    """Return what is wrong with the server's address or the key, None if they can be used. Never repeats the key."""
    if not url:
        return "expected the server's URL, got none; pass url= or set TRIMTAB_URL"
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/") or any(c.isspace() for c in url):
        return f"expected a URL like 'https://trimtab.example.com', got {url!r}"
    if not key:
        return "expected an API key, got none; pass key= or set TRIMTAB_KEY"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "expected an API key of printable ASCII without spaces; this one (not shown) has other characters"
    return None


class Transport:
    """Requests to one server. Connects on first use and keeps the connection."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._url, self._key, self._timeout_s = url, key, timeout_s
        self._connection: HTTPConnection | None = None
        self._socket: socket | None = None
        self._stopped = False
        self._prefix = ""

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read the whole answer. Raises Unreachable when there is none within the timeout."""
        reused = self._connection is not None
        try:
            return self._exchange(method, path, body, headers or {})
        except Unreachable as error:
            # The server may have closed an idle connection; every request here may be sent twice.
            if not reused or error.cause.startswith("timeout"):
                raise
        return self._exchange(method, path, body, headers or {})

    def lines(
        self, path: str, *, headers: Mapping[str, str], quiet_s: float, line_bytes: int = 1 << 20
    ) -> Iterator[str]:
        """Yield the lines of an answer that goes on, over a connection of its own, until it ends or is interrupted.

        Raises Refused for an answer that is no stream of events, Unreachable when nothing comes for `quiet_s` seconds.
        """
        load_http()
        from http.client import HTTPException  # noqa: PLC0415

        self.close()
        try:
            connection = self._connection = self._connect()
            connection.request("GET", self._path_of(path), headers=self._told(headers))
            self._socket = open_socket = connection.sock
            if self._stopped:
                return
            response = connection.getresponse()
            if response.status != 200 or not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise Refused(response.status, _seconds(response.headers.get("Retry-After", "")))
            open_socket.settimeout(quiet_s)
            while (line := response.readline(line_bytes)) and not self._stopped:
                yield _whole(line)
        except TimeoutError:
            raise Unreachable("timeout") from None
        except (
            OSError,
            HTTPException,
            ValueError,
            AttributeError,
        ) as error:  # a response closed under a read has no file
            raise Unreachable(type(error).__name__) from None
        finally:
            self.close()

    def interrupt(self) -> None:
        """End `lines` from another thread, for good."""
        self._stopped = True
        open_socket = self._socket
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(2)  # both ways: wakes the thread that reads

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._socket = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the server.

        The parent's thread may have been reading, with a lock held that nobody here will ever release; so nothing of
        the connection is closed or freed but its descriptor.
        """
        connection, self._connection = self._connection, None
        streaming, self._socket = self._socket, None
        if connection is not None:
            _ABANDONED.append(connection)
            held = connection.sock or streaming
            if held is not None and held.fileno() >= 0:
                _ABANDONED.append(held)
                os.close(held.detach())

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        load_http()
        from http.client import HTTPException  # noqa: PLC0415 the app's own imports stay light

        deadline = time.monotonic() + self._timeout_s
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request(method, self._path_of(path), body=body, headers=self._told(headers))
            response = self._connection.getresponse()
            content = _read(response, deadline)
            answer = Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, content)
        except TimeoutError:
            self.close()
            raise Unreachable("timeout") from None
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(type(error).__name__) from None  # its message may hold bytes of the exchange
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer

    def _told(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "User-Agent": "trimtab-python", **headers}

    def _path_of(self, path: str) -> str:
        return self._prefix + path

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415
        from urllib.parse import urlsplit  # noqa: PLC0415

        parts = urlsplit(self._url)
        self._prefix = parts.path.rstrip("/")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self._timeout_s)


def _seconds(retry_after: str) -> float:
    """Read a Retry-After header in seconds, an hour at most; 0 when it is absent or of another form."""
    text = retry_after.strip()
    return min(float(text[:9]), 3600.0) if text.isascii() and text.isdigit() else 0.0


def _whole(line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise ValueError("line too long or cut off")
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _read(response: HTTPResponse, deadline: float) -> bytes:
    """Read the body piece by piece: neither an endless answer nor one that drips may hold the thread."""
    pieces: list[bytes] = []
    size, announced = 0, response.length
    while announced is None or size < announced:
        piece = response.read1(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > _ANSWER_BYTES:
            raise ValueError("answer too large")
        if time.monotonic() > deadline:
            raise TimeoutError
    if announced is not None and size < announced:
        raise ConnectionError("the answer breaks off")
    response.close()  # of the answer only; the connection stays
    return b"".join(pieces)
