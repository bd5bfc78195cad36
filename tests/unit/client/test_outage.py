"""The server is absent, hangs, breaks or talks nonsense: the app notices nothing and the server gets everything."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.conftest import QUICK, Make
from tests.wire_server import Step, WireServer
from trimtab.client import Limits


@pytest.mark.parametrize(
    "step",
    [
        Step("status", status=500),
        Step("status", status=503),
        Step("status", status=408),
        Step("status", status=302, headers={"Location": "http://127.0.0.1:1/"}),
        Step("garbage"),
        Step("html"),
        Step("reset"),
    ],
    ids=lambda step: f"{step.behaviour}-{step.status}",
)
@pytest.mark.parametrize("durable", [False, True])
def test_what_fails_now_is_sent_again_with_the_same_ids(
    make: Make, wire: WireServer, step: Step, durable: bool
) -> None:
    client = make(durable=durable)
    wire.script.extend([step, step])
    ids = [client.record(input=str(number)) for number in range(20)]
    assert client.flush(20)
    assert sorted(wire.arrivals) == sorted(ids)
    assert client.stats().retries == 2
    assert not client.stats().lost


@pytest.mark.parametrize("spool_bytes", [0, 1 << 20])
def test_a_hanging_server_is_left_after_the_timeout_and_gets_everything_later(
    make: Make, wire: WireServer, spool_bytes: int
) -> None:
    client = make(timeout_s=0.2, spool_bytes=spool_bytes)
    wire.script.extend([Step("hang"), Step("hang")])
    ids = [client.record(input=str(number)) for number in range(20)]
    assert client.flush(20)
    assert sorted(wire.arrivals) == sorted(ids)


def test_an_answer_that_never_came_does_not_double_an_event(make: Make, wire: WireServer) -> None:
    client = make(timeout_s=0.2)
    wire.script.append(Step("hang_after_storing"))
    ids = [client.record(input=str(number)) for number in range(5)]
    assert client.flush(20)
    assert sorted(wire.events) == sorted(ids)
    assert client.stats().duplicates + client.stats().accepted == 5


def test_retry_after_is_honoured_even_by_flush(make: Make, wire: WireServer) -> None:
    client = make()
    wire.script.append(Step("status", status=429, headers={"Retry-After": "1"}))
    inference_id = client.record(input="x")
    assert client.flush(20)
    first, second = wire.posts()
    assert second.at - first.at >= 1.0
    assert wire.arrivals == [inference_id]


def test_a_retry_after_date_is_understood(make: Make, wire: WireServer) -> None:
    client = make()
    wire.script.append(Step("status", status=503, headers={"Retry-After": "Thu, 01 Jan 2015 00:00:00 GMT"}))
    wire.script.append(Step("status", status=503, headers={"Retry-After": "soon"}))
    client.record(input="x")
    assert client.flush(20)


def test_a_server_that_is_not_there_yet_gets_everything_when_it_comes(
    make: Make, wire: WireServer, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = make(url=f"http://127.0.0.1:{port}")
    ids = [client.record(input=str(number)) for number in range(2_000)]
    assert not client.flush(0.2)
    assert client.stats().retries >= 1
    with WireServer(port) as late:
        assert client.flush(30)
        assert sorted(late.arrivals) == sorted(ids)
        client.close()
    assert client.stats().accepted == 2_000
    assert not list(tmp_path.rglob("*.ndjson"))


def test_the_app_is_not_held_while_the_server_hangs(make: Make, wire: WireServer) -> None:
    client = make(timeout_s=3600)
    wire.default = Step("hang")
    client.record(input="first")
    wire.await_that(lambda: len(wire.posts()) == 1)
    done = threading.Event()

    def app() -> None:
        for number in range(1_000):
            client.thumb(client.record(input=str(number)), up=True)
        done.set()

    threading.Thread(target=app, daemon=True).start()
    assert done.wait(30)  # with the request still hanging
    assert client.stats().queued == 2_001
    wire.default = Step()
    wire.release()
    assert client.flush(30)
    assert len(wire.events) == 2_001


def test_close_does_not_wait_for_a_hanging_server_and_leaves_nothing_behind(
    make: Make, wire: WireServer, tmp_path: Path
) -> None:
    client = make(timeout_s=3600)
    wire.default = Step("hang")
    ids = [client.record(input=str(number)) for number in range(10)]
    wire.await_that(lambda: len(wire.posts()) == 1)
    assert not client.close(0.05)
    lines = [json.loads(line) for path in tmp_path.rglob("*.ndjson") for line in path.read_bytes().splitlines()]
    assert sorted(event["id"] for event in lines) == sorted(ids)
    wire.default = Step()
    wire.release()
    successor = make()
    assert successor.flush(20)
    assert sorted(wire.events) == sorted(ids)
    assert not list(tmp_path.rglob("*.ndjson"))


def test_a_full_queue_drops_the_newest_and_counts_it(make: Make, wire: WireServer) -> None:
    client = make(spool_bytes=0, limits=Limits(queue_events=10, linger_s=0.01))
    wire.default = Step("status", status=500)
    ids = [client.record(input=str(number)) for number in range(25)]
    stats = client.stats()
    assert stats.lost == {"queue_full": 15}
    assert stats.queued == 10
    wire.default = Step()
    assert client.flush(20)
    assert sorted(wire.events) == sorted(ids[:10])


def test_the_queue_is_bounded_by_bytes(make: Make, wire: WireServer) -> None:
    client = make(spool_bytes=0, limits=Limits(queue_bytes=10_000, linger_s=5))
    for _ in range(20):
        client.record(input="x" * 1_000)
    assert client.stats().queued in (8, 9)
    assert client.stats().lost["queue_full"] in (11, 12)


def test_a_full_spool_keeps_the_oldest_and_the_queue_takes_the_next(make: Make, wire: WireServer) -> None:
    client = make(spool_bytes=5_000, limits=Limits(queue_events=10, linger_s=0.001))
    wire.default = Step("status", status=500)
    ids = [client.record(input="x" * 400) for _ in range(8)]
    client.flush(0.5)
    ids += [client.record(input="x" * 400) for _ in range(32)]
    client.flush(0.5)
    stats = client.stats()
    assert 0 < stats.spooled_bytes <= 5_000
    assert 0 < stats.queued <= 10
    assert stats.lost["queue_full"] > 0
    wire.default = Step()
    assert client.flush(30)
    assert len(wire.events) == 40 - client.stats().lost["queue_full"]
    assert set(ids[:8]) <= set(wire.events)


def test_a_spool_that_cannot_be_written_leaves_events_in_memory(
    make: Make, wire: WireServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make(spool_dir=tmp_path / "file", durable=True)
    wire.script.append(Step("status", status=500))
    ids = [client.record(input=str(number)) for number in range(5)]
    assert client.flush(20)
    assert sorted(wire.events) == sorted(ids)
    assert any("spool" in record.getMessage() for record in caplog.records)


def test_a_durable_event_is_on_disk_when_the_call_returns(make: Make, wire: WireServer, tmp_path: Path) -> None:
    wire.default = Step("hang")
    client = make(durable=True, fsync=True, timeout_s=3600, limits=Limits(linger_s=60))
    for number in range(3):
        inference_id = client.record(input=str(number))
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.ndjson"))
        assert inference_id.encode() in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob("*.ndjson"))
    wire.release()


def test_what_is_recorded_for_one_key_is_never_sent_with_another(make: Make, wire: WireServer) -> None:
    wire.default = Step("status", status=500)
    first = make(key="tt_one")
    first.record(input="x")
    first.close()
    wire.default = Step()
    second = make(key="tt_two")
    assert second.flush()
    assert not wire.events
    assert make(key="tt_one").flush()
    assert len(wire.events) == 1


def test_back_off_grows_and_is_not_in_step(make: Make, wire: WireServer) -> None:
    wire.default = Step("status", status=500)
    client = make(limits=QUICK)
    client.record(input="x")
    wire.await_that(lambda: len(wire.posts()) >= 5, timeout_s=30)
    gaps = [later.at - earlier.at for earlier, later in zip(wire.posts(), wire.posts()[1:], strict=False)]
    assert gaps[0] >= 0.1  # half of the first wait
    assert gaps[3] >= 0.8  # half of eight times that
    wire.default = Step()
    assert client.flush(20)


def test_an_answer_that_drips_or_never_ends_is_left(make: Make) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    served = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            try:
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.01)
            except OSError:
                served.set()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    client = make(url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)
    client.record(input="x")
    assert served.wait(20)  # the client hung up
    listener.close()
    thread.join(10)


def test_losses_survive_a_failed_report(make: Make, wire: WireServer) -> None:
    client = make()
    client.record(input="x" * 2_000_000)
    wire.script.append(Step("status", status=500))
    client.record(input="a")
    assert client.flush(20)
    headers: list[Any] = [request.headers.get("trimtab-lost") for request in wire.posts()]
    assert headers == ["too_large=1", "too_large=1"]
