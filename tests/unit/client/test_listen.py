"""Switches are heard of at once, and without a stream nothing is worse than it was with polling."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.unit.client.conftest import Make
from tests.unit.client.test_rollout import CANDIDATE, STABLE, rollout
from tests.wire_server import Step, WireServer
from trimtab.client import Client
from trimtab.client.listen import _events

NEVER_S = 3600.0


def serves(client: Client, version_id: str) -> None:
    """Wait until the client serves the version; it has nothing else to await."""
    deadline = time.monotonic() + 20
    while (found := client.resolve(user="u").version) is None or found.id != version_id:
        assert time.monotonic() < deadline, f"serves {found and found.id!r}"
        time.sleep(0.005)


@pytest.fixture
def listening(make: Make, wire: WireServer) -> Client:
    wire.streaming = True
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=NEVER_S)
    serves(client, "v_1")
    wire.await_that(lambda: wire.streams == 1)
    return client


def test_a_switch_arrives_without_polling(listening: Client, wire: WireServer) -> None:
    wire.serve("answer", rollout(2, candidate_version_id="v_2", share=1.0), [STABLE, CANDIDATE])
    serves(listening, "v_2")
    wire.serve("answer", rollout(3), [STABLE])
    serves(listening, "v_1")
    assert len(wire.gets()) == 3


def test_what_was_switched_before_the_stream_began_is_asked_for(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=NEVER_S)
    serves(client, "v_1")
    wire.await_that(lambda: len(wire.listens()) == 1)  # refused: this server knows no stream yet
    client._rollouts._heard({"answer": 1, "other": 7})
    wire.serve("answer", rollout(2, stable_version_id="v_2"), [CANDIDATE])
    client._rollouts._heard({"answer": 2})
    serves(client, "v_2")


def test_without_a_stream_rollouts_are_polled(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02)
    serves(client, "v_1")
    wire.serve("answer", rollout(2, stable_version_id="v_2"), [CANDIDATE])
    serves(client, "v_2")
    assert len(wire.listens()) <= 1  # a refusal is not asked for again at once


def test_polling_takes_over_when_the_stream_breaks(make: Make, wire: WireServer) -> None:
    wire.streaming = True
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02)
    serves(client, "v_1")
    wire.await_that(lambda: wire.streams == 1)
    wire.cut()
    wire.serve("answer", rollout(2, stable_version_id="v_2"), [CANDIDATE])
    serves(client, "v_2")


def test_a_switch_told_while_the_server_fails_is_asked_for_again(listening: Client, wire: WireServer) -> None:
    wire.rollout_default = Step("status", status=503)
    seen = len(wire.gets())
    wire.serve("answer", rollout(2, stable_version_id="v_2"), [CANDIDATE])
    wire.await_that(lambda: len(wire.gets()) > seen)
    assert listening.resolve().version is not None
    assert listening.resolve().version.id == "v_1"  # type: ignore[union-attr]
    wire.rollout_default = Step()
    serves(listening, "v_2")


def test_no_stream_is_opened_where_none_is_wanted(make: Make, wire: WireServer) -> None:
    wire.streaming = True
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02, stream=False)
    serves(client, "v_1")
    wire.await_that(lambda: len(wire.gets()) > 2)
    assert not wire.listens()


def test_closing_ends_the_stream(listening: Client, wire: WireServer) -> None:
    listening.close()
    wire.serve("answer", rollout(2), [STABLE])
    wire.await_that(lambda: wire.streams == 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_listens_by_itself_and_leaves_the_parents_stream_alone(
    listening: Client, wire: WireServer
) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            listening.resolve(user="u")
            deadline = time.monotonic() + 20
            while not (listener := listening._rollouts._listener) or not listener.alive:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0
    wire.serve("answer", rollout(2, stable_version_id="v_2"), [CANDIDATE])
    serves(listening, "v_2")


def test_events_are_read_as_the_standard_says() -> None:
    lines = [": hi", "", "id: 7", "event: a", "data: 1", "data:2", "", "event: lost", "", "data: x", "more: y", ""]
    told: list[Any] = list(_events(iter(lines)))
    assert told == [("a", "7", "1\n2"), ("message", "7", "x")]
