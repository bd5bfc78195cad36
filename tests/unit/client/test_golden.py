"""The SDK computes on its own what the engine computes too; here the two are held together."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from trimtab import ids, records
from trimtab.act.render import render as engine_render
from trimtab.client import Client, Handle, Version
from trimtab.client.assignment import bucket, in_candidate
from trimtab.client.clock import micros_of, rfc3339, wall
from trimtab.client.encode import encode
from trimtab.client.render import render
from trimtab.client.uuid7 import is_uuid, new_id
from trimtab.client.version import served_from
from trimtab.client.wire import inference_event
from trimtab.clock import from_micros
from trimtab.stats import bucket as engine

UNITS = ["u-1", "u-2", "ana@example.com", "Jürgen", "用户", "a:b", " ", "0"]


def test_the_sticky_assignment_is_the_engines() -> None:
    for salt in ("018f0000-0000-7000-8000-000000000000", "another"):
        for unit in UNITS:
            assert bucket(salt, unit) == engine.bucket(salt, unit)
            for share in (0.0, 0.05, 0.5, 1.0):
                assert in_candidate(salt, unit, share) == engine.in_candidate(salt, unit, share)


def test_the_sticky_assignment_never_changes_between_releases() -> None:
    # printf 'rollout:user' | sha256sum | cut -c1-16, read as a number, over 2**64
    assert bucket("rollout", "user") == 0.5777873755485269
    assert bucket("018f0000-0000-7000-8000-000000000000", "用户") == 0.13980093701975113


def test_an_id_has_the_layout_of_the_engines_ids() -> None:
    now = datetime(2030, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
    micros = micros_of(lambda: now)()
    ours, theirs = new_id(micros), ids.new_id(now)
    assert ours[:18] == theirs[:18]  # time and version; the rest is random
    assert is_uuid(ours)
    assert ids.is_uuid(ours)
    assert ours != new_id(micros)


@pytest.mark.parametrize("text", ["", "x" * 36, "018F0000-0000-7000-8000-000000000000", "018f0000", "-" * 36])
def test_what_is_no_id_is_seen(text: str) -> None:
    assert not is_uuid(text)
    assert not ids.is_uuid(text)


def test_times_are_read_back_to_the_microsecond() -> None:
    for micros in (0, 1, 1_700_000_000_123_456, wall()):
        assert msgspec.convert(rfc3339(micros), records.Time) == from_micros(micros)


TEMPLATES: list[list[tuple[str, str]]] = [
    [],
    [("system", "Be kind.")],
    [("system", "Be kind."), ("user", "Question: {input} {other}")],
    [("user", "{input}"), ("assistant", "yes"), ("user", "again: {input}")],
    [("developer", "About {input}"), ("user", "go")],
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("rules", [[], ["Never promise a date.", "Say {input} once."]])
def test_messages_are_rendered_as_the_engine_judged_them(template: list[tuple[str, str]], rules: list[str]) -> None:
    judged = records.Version(
        feature="answer",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        messages=[records.Message(role=role, content=text) for role, text in template],  # type: ignore[arg-type]
        rules=[records.Rule(id=f"r{at}", text=text) for at, text in enumerate(rules)],
        exemplars=[records.Exemplar(id="e1", input="parcel late", output="Sorry.")],
    ).identified()
    rollout = records.Rollout(
        feature="answer",
        stable_version_id=judged.id,
        updated_at=judged.created_at,
        id="018f0000-0000-7000-8000-000000000000",
    )
    body = msgspec.json.encode({"rollout": rollout, "versions": {judged.id: judged}})
    version = served_from(json.loads(body)).to("u-1").version
    assert version is not None
    theirs = engine_render(judged, "where is {input}?", judged.exemplars)
    assert render(version, "where is {input}?") == [{"role": m.role, "content": m.content} for m in theirs]


@pytest.mark.parametrize(
    "output",
    [
        "text",
        ["a", 1],
        {"a": [None, True]},
        7,
        ("x", "y"),
        float("nan"),
        {1: float("inf")},
        b"bytes",
        {"s": {1}},
        "\ud800",
    ],
)
def test_whatever_an_app_returns_becomes_an_event_that_the_engine_reads(output: Any) -> None:
    handle = Handle(Client("http://127.0.0.1:9", "k"), "answer", id=new_id(wall()), started_at=wall(), measure=False)
    handle.output, handle.user = output, 9  # type: ignore[assignment]
    handle.tags |= {"n": 1, "none": None}
    handle.context += ["doc-1", {"id": 2, "text": "t"}, {"text": "no id"}]
    event = msgspec.json.decode(encode(inference_event(handle)), type=records.Event)
    assert isinstance(event, records.Inference)
    assert event.user_id == "9"
    assert event.tags == {"n": "1"}
    assert [(chunk.id, chunk.text) for chunk in event.context] == [("doc-1", None), ("2", "t")]


def test_a_circle_and_a_hostile_object_do_not_stop_an_event() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    circle: list[Any] = [1]
    circle.append(circle)
    assert json.loads(encode({"a": circle, "b": Hostile()})) == {
        "a": [1, "<...>"],
        "b": "<" + Hostile.__qualname__ + ">",
    }


def test_a_version_of_the_sdk_reads_a_newer_servers_answer() -> None:
    body = {
        "rollout": {"id": "r", "revision": 3, "stable_version_id": "v1", "new_field": 1},
        "versions": {
            "v1": {"feature": "f", "notions": ["new"], "rules": [{"id": "r1", "text": "Be brief.", "new": 1}]}
        },
        "new": True,
    }
    assert served_from(body).to(None).version == Version(id="v1", feature="f", rules=("Be brief.",))
