"""Whose address counts: the peer's, unless a proxy that is trusted speaks for it."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.errors import ConfigError
from trimtab.server.address import Addresses


def scope(peer: str, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"client": (peer, 1234), "headers": headers}


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "counted"),
    [
        ([], "192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ([], "127.0.0.1", ["203.0.113.9"], "127.0.0.1"),
        (["192.0.2.1"], "192.0.2.1", ["203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1"], "192.0.2.1", [], "192.0.2.1"),
        (["192.0.2.0/24"], "192.0.2.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (["192.0.2.0/24"], "192.0.2.1", ["1.1.1.1, 203.0.113.9", "192.0.2.7"], "203.0.113.9"),
        (["192.0.2.0/24"], "192.0.2.1", ["nonsense"], "192.0.2.1"),
        (["192.0.2.0/24"], "198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ([], "2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ([], "::ffff:192.0.2.1", [], "192.0.2.1"),
        (["::1"], "::1", ["[2001:db8::7]"], "2001:db8::/64"),
    ],
)
def test_an_address_counts_as_far_as_it_can_be_believed(
    trusted: list[str], peer: str, forwarded: list[str], counted: str
) -> None:
    assert Addresses(trusted).of(scope(peer, *forwarded)) == counted


def test_a_proxy_that_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies"):
        Addresses(["my-proxy"])
