"""Each verb says one thing on the wire, about the right thing, by the right person."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.client.conftest import Make
from tests.wire_server import WireServer
from trimtab import records
from trimtab.client import Client

ABOUT = "018f0000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.thumb(ABOUT, up=True), {"kind": "thumb", "value": 1}),
        (lambda c: c.thumb(ABOUT, up=False), {"kind": "thumb", "value": 0}),
        (lambda c: c.rating(ABOUT, 4), {"kind": "rating", "value": 4, "best": 5}),
        (lambda c: c.rating(ABOUT, 7.5, best=10), {"kind": "rating", "value": 7.5, "best": 10}),
        (lambda c: c.label(ABOUT, "outdated"), {"kind": "label", "label": "outdated"}),
        (lambda c: c.correction(ABOUT, "Right."), {"kind": "correction", "text": "Right."}),
        (lambda c: c.comment(ABOUT, "Hm."), {"kind": "comment", "text": "Hm."}),
        (lambda c: c.accept(ABOUT), {"kind": "accept"}),
        (lambda c: c.reject(ABOUT), {"kind": "reject"}),
        (lambda c: c.edit(ABOUT, "abcd", "abcx"), {"kind": "edit", "value": 0.25, "text": "abcx"}),
        (lambda c: c.copy(ABOUT), {"kind": "copy"}),
        (lambda c: c.outcome(ABOUT, reached=True), {"kind": "outcome", "value": 1}),
        (lambda c: c.retract(ABOUT, "thumb"), {"kind": "thumb", "retracted": True}),
        (lambda c: c.feedback(ABOUT, "dwell", value=3.5), {"kind": "dwell", "value": 3.5}),
        (lambda c: c.feedback(ABOUT, "regenerate"), {"kind": "regenerate"}),
    ],
)
def test_each_verb_says_what_the_engine_reads(
    make: Make, wire: WireServer, call: Callable[[Client], str], said: dict[str, Any]
) -> None:
    client = make(strict=True)
    feedback_id = call(client)
    client.flush()
    event = wire.events[feedback_id]
    read = msgspec.convert(event, records.Event)
    assert isinstance(read, records.Feedback)
    event.pop("created_at")
    assert event == {"type": "feedback", "id": feedback_id, "inference_id": ABOUT, **said}


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ({"external_id": 17}, {"external_id": "17"}),
        ({"trace_id": 0xAB, "span_id": 0xC}, {"trace_id": f"{0xAB:032x}", "span_id": f"{0xC:016x}"}),
        ({"session": "s-1", "feature": "answer"}, {"session_id": "s-1", "feature": "answer"}),
    ],
)
def test_feedback_can_be_about_other_things_than_an_inference_id(
    make: Make, wire: WireServer, where: Any, target: dict[str, str]
) -> None:
    client = make(strict=True)
    with client.inference(input="the one at hand is not meant"):
        feedback_id = client.thumb(None, up=True, **where)
    client.flush()
    event = wire.events[feedback_id]
    event.pop("created_at")
    assert event == {"type": "feedback", "id": feedback_id, "kind": "thumb", "value": 1, **target}


def test_session_user_and_feature_flow_from_the_context(make: Make, wire: WireServer) -> None:
    client = make(strict=True, feature=None)
    with client.session("s-1", user="u-1", feature="outer"):
        with client.session(user="u-2"), client.inference(input="x") as inner:
            assert (inner.feature, inner.user, inner.session) == ("outer", "u-2", "s-1")
        vote = client.thumb(inner.id, up=False)
        about_session = client.comment(None, "slow today")
    with client.inference("bare", input="x") as bare:
        assert (bare.user, bare.session) == (None, None)
    client.flush()
    assert wire.events[vote]["user_id"] == "u-1"
    assert wire.events[about_session]["session_id"] == "s-1"
    assert "session_id" not in wire.events[vote]


def test_a_session_left_in_another_context_breaks_nothing(make: Make) -> None:
    client = make()
    block = client.session("s-1")
    contextvars.copy_context().run(block.__enter__)
    block.__exit__()
    assert client.current() is None


def test_feedback_may_come_before_its_inference_is_finished(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    with client.inference(input="x") as handle:
        vote = client.thumb(handle, up=True)
        client.flush()
        assert wire.events[vote]["inference_id"] == handle.id
        assert handle.id not in wire.events
    client.flush()
    assert handle.id in wire.events
