"""Whose address a request comes from: the peer's, or what a proxy that we trust says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from trimtab.errors import ConfigError

__all__ = ["Addresses"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOUSEHOLD_BITS = 64


class Addresses:
    """Finds the address behind trusted proxies. Raises ConfigError for a proxy that is not an address or network."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = [_network(text) for text in trusted]

    def of(self, scope: Any) -> str:
        """Return the name under which this request's address is counted: one IPv4 address, or one /64 of IPv6."""
        peer = _address(scope["client"][0]) if scope.get("client") else None
        if peer is None:
            return "local"
        for text in reversed(_forwarded(scope)):
            if not self._trusts(peer):
                break
            found = _address(text.strip())
            if found is None:
                break
            peer = found
        if isinstance(peer, ipaddress.IPv6Address):  # one household has a whole /64
            return str(ipaddress.ip_network((peer, _HOUSEHOLD_BITS), strict=False))
        return str(peer)

    def _trusts(self, peer: _Address) -> bool:
        return any(peer.version == network.version and peer in network for network in self._trusted)


def _forwarded(scope: Any) -> list[str]:
    """Return what proxies said, each having added the address it heard from at the end."""
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    return told.decode("latin-1").split(",") if told else []


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(
            f"server.trusted_proxies: expected addresses or networks such as '10.0.0.0/8', got {text!r}",
            param="server.trusted_proxies",
        ) from None
