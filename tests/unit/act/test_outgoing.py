"""Requests to configured addresses: where they may go, how they end, how they are signed."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tests.webhook_receiver import Receiver
from trimtab import verify_webhook
from trimtab.act.outgoing import Outgoing, OutgoingError, signature

NOW_S = 1_767_225_600


def kind_of(outgoing: Outgoing, url: str) -> str:
    with pytest.raises(OutgoingError) as caught:
        outgoing.post(url, b"{}", {})
    return caught.value.kind


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104  refused, not bound
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
    ],
)
def test_no_address_inside_a_network_is_reached(address: str) -> None:
    outgoing = Outgoing(timeout_s=5, resolve=lambda _host, _port: [address])
    assert kind_of(outgoing, "https://hooks.example/x") == "refused_address"


def test_one_bad_address_among_good_ones_refuses_the_host() -> None:
    outgoing = Outgoing(timeout_s=5, resolve=lambda _host, _port: ["93.184.216.34", "10.0.0.1"])
    assert kind_of(outgoing, "https://hooks.example/x") == "refused_address"


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "::", "168.63.129.16"])
def test_link_local_and_metadata_stay_closed_even_where_private_is_allowed(address: str) -> None:
    outgoing = Outgoing(timeout_s=5, allow_private=True, resolve=lambda _host, _port: [address])
    assert kind_of(outgoing, "http://inside.example/x") == "refused_address"


def test_a_literal_address_is_checked_like_a_name() -> None:
    for url in ("https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/", "https://localhost/"):
        assert kind_of(Outgoing(timeout_s=5), url) == "refused_address", url


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://hooks.example/", "refused_scheme"),
        ("ftp://hooks.example/", "refused_scheme"),
        ("file:///etc/passwd", "refused_scheme"),
        ("https://user:word@hooks.example/", "refused_url"),
        ("https:///x", "refused_url"),
        ("https://hooks.example:99999/", "refused_url"),
        ("https://h\u00f6oks.example/", "refused_url"),
    ],
)
def test_a_url_that_may_not_be_is_refused_before_anything_is_looked_up(url: str, kind: str) -> None:
    def never(_host: str, _port: int) -> list[str]:
        raise AssertionError("looked up")

    assert kind_of(Outgoing(timeout_s=5, resolve=never), url) == kind


def test_the_connection_goes_to_the_address_that_was_checked_though_the_name_moves() -> None:
    looked_up: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["169.254.169.254"]

    with Receiver(200) as receiver:
        outgoing = Outgoing(timeout_s=5, allow_private=True, resolve=rebinding)
        assert outgoing.post(f"http://rebind.example:{receiver.port}/hook?a=b", b"{}", {}).status == 200
        assert looked_up == ["rebind.example"]
        assert receiver.requests[0].path == "/hook?a=b"
        assert receiver.requests[0].headers["Host"] == f"rebind.example:{receiver.port}"
        assert kind_of(outgoing, f"http://rebind.example:{receiver.port}/") == "refused_address"
        assert len(receiver.requests) == 1


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with Receiver(200) as inside, Receiver(302, location=inside.url) as outside:
        answer = Outgoing(timeout_s=5, allow_private=True).post(outside.url, b"{}", {})
        assert answer.status == 302
        assert inside.requests == []


@pytest.mark.parametrize("behaviour", [0, -1])
def test_a_receiver_that_hangs_or_drips_is_left_when_the_time_is_up(behaviour: int) -> None:
    with Receiver(behaviour) as receiver:
        assert kind_of(Outgoing(timeout_s=0.3, allow_private=True), receiver.url) == "timeout"


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    with Receiver(200, answer=b"x" * (8 << 20)) as receiver:
        answer = Outgoing(timeout_s=10, allow_private=True).post(receiver.url, b"{}", {})
        assert (answer.status, len(answer.body)) == (200, 64 << 10)


def test_what_is_not_there_and_what_speaks_no_tls_have_their_kinds() -> None:
    with Receiver(200) as receiver:
        url, port = receiver.url, receiver.port
        assert kind_of(Outgoing(timeout_s=5, allow_private=True), f"https://127.0.0.1:{port}/") == "tls"
    assert kind_of(Outgoing(timeout_s=5, allow_private=True), url) == "connect"


def test_the_secret_of_a_url_stands_in_no_error() -> None:
    for outgoing in (Outgoing(timeout_s=0.2, allow_private=True), Outgoing(timeout_s=0.2)):
        with Receiver(0) as receiver, pytest.raises(OutgoingError) as caught:
            outgoing.post(f"http://127.0.0.1:{receiver.port}/T0KEN", b"{}", {})
        assert "T0KEN" not in str(caught.value)


def test_what_the_engine_signs_the_sdk_verifies() -> None:
    signed = signature("whsec", b'{"a":1}', NOW_S)
    micros = NOW_S * 1_000_000
    assert verify_webhook(b'{"a":1}', signed, "whsec", now=micros)
    assert verify_webhook(b'{"a":1}', signed, "whsec", now=micros + 299_000_000)
    digest = hmac.new(b"whsec", b'1767225600.{"a":1}', hashlib.sha256).hexdigest()
    assert signed == f"t=1767225600,v1={digest}"


@pytest.mark.parametrize(
    ("body", "secret", "later_s"), [(b'{"a":2}', "whsec", 0), (b'{"a":1}', "other", 0), (b'{"a":1}', "whsec", 301)]
)
def test_another_body_secret_or_time_does_not_verify(body: bytes, secret: str, later_s: int) -> None:
    signed = signature("whsec", b'{"a":1}', NOW_S)
    assert not verify_webhook(body, signed, secret, now=(NOW_S + later_s) * 1_000_000)


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=00", "t=x,v1=00", f"t={NOW_S},v1=", f"t={NOW_S},t={NOW_S},v1=\u00e9", "t=\u0661,v1=0"]
)
def test_a_malformed_signature_does_not_verify(header: str) -> None:
    assert not verify_webhook(b"{}", header, "whsec", now=NOW_S * 1_000_000)


def test_a_time_moved_after_signing_does_not_verify() -> None:
    signed = signature("whsec", b"{}", NOW_S).replace(str(NOW_S), str(NOW_S + 1000))
    assert not verify_webhook(b"{}", signed, "whsec", now=(NOW_S + 1000) * 1_000_000)
