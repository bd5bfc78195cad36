"""Requests to addresses that somebody configured: never to this machine's own network unless that was allowed.

A name is resolved once, every address it has is checked, and the connection goes to a checked address: a name that
points elsewhere a moment later (DNS rebinding) gains nothing. Redirects are answers like any other, never followed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore

from trimtab.errors import Unavailable

__all__ = ["SIGNATURE", "Answer", "Outgoing", "OutgoingError", "Resolve", "resolved", "signature"]

SIGNATURE = "Trimtab-Signature"
_MOST_BYTES = 64 << 10
_AZURE_HOST = ipaddress.ip_address("168.63.129.16")  # its wire server: a public address that only virtual machines see
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]
"""From a host and a port to the addresses it has."""


class OutgoingError(Unavailable):
    """A request that got no answer. `kind` names the reason in one word and holds nothing of the URL."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Answer(NamedTuple):
    """What came back: the status and the beginning of the body."""

    status: int
    body: bytes


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Return the signature header: `t=SECONDS,v1=HEX`, HMAC-SHA256 of "SECONDS." and the body under `secret`.

    >>> signature("whsec", b"{}", 1767225600)[:20]
    't=1767225600,v1=5ba1'
    """
    digest = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as this machine's resolver knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outgoing:
    """Sends requests that end within `timeout_s` seconds, whatever the other side does.

    `allow_private` lets them go to private and loopback addresses and over plain http. Link-local addresses, where
    clouds hand out credentials, stay closed. Of an answer the first `most` bytes are kept. `resolve` stands in for the
    machine's resolver.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        allow_private: bool = False,
        most: int = _MOST_BYTES,
        resolve: Resolve = resolved,
    ) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._most = most
        self._resolve = resolve

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body` and return the answer, whatever its status. Raises OutgoingError when there is none."""
        parts = self._checked(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or _PORTS[parts.scheme]
        told = {"Host": parts.netloc, **headers, "Content-Length": str(len(body))}
        deadline = time.monotonic() + self._timeout_s
        backend = _Backend(self._addresses, deadline)
        seconds = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend, retries=0) as pool,
                pool.stream(
                    "POST",
                    httpcore.URL(scheme=parts.scheme, host=parts.hostname or "", port=port, target=target),
                    headers=list(told.items()),
                    content=body,
                    extensions={"timeout": seconds},
                ) as answer,
            ):
                return Answer(answer.status, _capped(answer.iter_stream(), self._most))
        except OutgoingError:
            raise
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise OutgoingError("timeout", f"no answer within {self._timeout_s:g} s") from error
        except httpcore.ConnectError as error:
            raise OutgoingError("connect", "the address cannot be reached") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise OutgoingError("broken", "the connection broke before an answer was complete") from error

    def _checked(self, url: str) -> Any:
        try:
            parts = urlsplit(url.encode("ascii").decode())
            _ = parts.port
        except ValueError:
            message = "expected a URL in ASCII; write other letters percent-encoded, and the host as xn--..."
            raise OutgoingError("refused_url", message) from None
        allowed = ("https", "http") if self._allow_private else ("https",)
        if parts.scheme not in allowed:
            raise OutgoingError("refused_scheme", f"expected a URL with {' or '.join(allowed)}")
        if not parts.hostname or parts.username is not None:
            raise OutgoingError("refused_url", "expected a URL with a host, and without a user or password in it")
        return parts

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise OutgoingError("dns", "the host's name cannot be resolved") from error
        # All must do: a name that has a good and a bad address is trying something.
        if not found or not all(self._allows(ipaddress.ip_address(each.partition("%")[0])) for each in found):
            raise OutgoingError("refused_address", "the host has an address inside a private network")
        return found

    def _allows(self, address: _Address) -> bool:
        real = _meant(address)
        if real.is_link_local or real.is_multicast or real.is_unspecified or real == _AZURE_HOST:
            return False
        if self._allow_private and (real.is_private or real.is_loopback):
            return True
        return real.is_global and not real.is_reserved


def _meant(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _capped(pieces: Iterable[bytes], most: int) -> bytes:
    kept = bytearray()
    for piece in pieces:
        kept += piece
        if len(kept) >= most:
            break
    return bytes(kept[:most])


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Backend(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, addresses: Resolve, deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._below = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline is for everything together
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers."""
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._below.connect_tcp(address, port, _left(self._deadline), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(stream, self._deadline)
        raise failed or httpcore.ConnectError("no address")


class _Stream(httpcore.NetworkStream):
    """A connection on which everything together must end by the deadline: a byte now and then does not keep it open."""

    def __init__(self, below: httpcore.NetworkStream, deadline: float) -> None:
        self._below = below
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  as above
        return self._below.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002  as above
        self._below.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._below.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002  as above
    ) -> httpcore.NetworkStream:
        try:
            secured = self._below.start_tls(ssl_context, server_hostname, _left(self._deadline))
        except httpcore.ConnectError as error:
            raise OutgoingError("tls", "the connection could not be secured") from error
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._below.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return left
