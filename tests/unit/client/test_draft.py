"""What is handed over to be written later is reported as it was when the app told it, and counted when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.conftest import Make
from tests.wire_server import Step, WireServer
from trimtab.client import Limits
from trimtab.client.clock import wall
from trimtab.client.uuid7 import is_uuid, new_id


def test_what_is_set_on_a_handle_after_its_block_changes_nothing(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(linger_s=5))
    with client.inference(input="question") as handle:
        handle.output = "answer"
    handle.output, handle.model = "another", "m-2"
    assert client.flush()
    assert wire.events[handle.id]["output"] == "answer"
    assert "model" not in wire.events[handle.id]


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_list_changed_after_the_call_is_reported_as_it_was(make: Make, wire: WireServer, name: str) -> None:
    client = make(limits=Limits(linger_s=5))
    messages = [{"role": "user", "content": "before"}]
    told: dict[str, Any] = {"input": "x", "output": "y", name: messages}
    inference_id = client.record(**told)
    messages[0]["content"] = "after"
    assert client.flush()
    assert wire.events[inference_id][name] == [{"role": "user", "content": "before"}]


def test_the_context_of_the_call_is_reported_not_that_of_the_writing(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(linger_s=5))
    with client.session("s-1", user="u-1"):
        inference_id = client.record(input="x", output="y", model="m-1")
        feedback_id = client.thumb(inference_id, up=True)
    with client.session("s-2", user="u-2"):
        assert client.flush()
    told = wire.events[inference_id]
    assert (told["session_id"], told["user_id"], told["model"]) == ("s-1", "u-1", "m-1")
    assert wire.events[feedback_id]["user_id"] == "u-1"


def test_feedback_on_what_only_looks_like_an_id_is_counted_and_holds_up_nothing(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(linger_s=5))
    client.thumb("z" * 36, up=True)
    inference_id = client.record(input="x", output="y")
    assert client.flush()
    assert client.stats().lost == {"invalid": 1}
    assert list(wire.events) == [inference_id]


def test_what_waits_unwritten_is_on_disk_after_close(make: Make, wire: WireServer) -> None:
    wire.default = Step("status", status=503)
    client = make(limits=Limits(linger_s=5))
    ids = {client.record(input="x", output=str(number)) for number in range(30)}
    client.close(0.2)
    assert client.stats().queued == 0
    wire.default = Step()
    later = make()
    assert later.flush(20)
    assert set(wire.events) == ids


def test_ids_are_uuids_in_order_of_time_and_never_repeat() -> None:
    now = wall()
    ids = [new_id(now + number) for number in range(5_000)]
    assert all(map(is_uuid, ids))
    assert [name[:18] for name in ids] == sorted(name[:18] for name in ids)
    assert len({name[19:] for name in ids}) == len(ids)
