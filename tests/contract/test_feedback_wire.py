"""The browser SDK and the server mean the same by every field of a feedback event.

`wire/feedback-events.json` is read here by the server's record, by the TypeScript tests, and by a browser that makes
each call. Each line holds a call of the SDK, the signal it makes and the event that goes over the wire.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from trimtab.records import Event, Feedback, FeedbackKind

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "wire/feedback-events.json").read_text("utf-8"))


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: f"{line['call']}-{line['event']['kind']}")
def test_the_server_reads_the_event_and_loses_nothing(line: dict[str, Any]) -> None:
    read = msgspec.json.decode(json.dumps(line["event"]).encode(), type=Event)
    assert isinstance(read, Feedback)
    written = msgspec.to_builtins(read)
    assert {**written, "created_at": None} == {**line["event"], "created_at": None}
    assert read.created_at == msgspec.convert(line["event"]["created_at"], type=type(read.created_at))


def test_every_kind_and_every_field_is_shown() -> None:
    assert {line["event"]["kind"] for line in GOLDEN} == set(get_args(FeedbackKind))
    fields = {name for line in GOLDEN for name in line["event"]}
    server_side = {"profile"}  # a page does not tell who its user is
    assert fields == {"type", *Feedback.__struct_fields__} - server_side
