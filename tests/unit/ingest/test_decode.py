from __future__ import annotations

import gzip
import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.intake import body, feedback, inference
from trimtab.errors import BodyTooLarge, InvalidField, MalformedBody
from trimtab.ingest.decode import STEP_BYTES, Decoded, LineReader, decode_array, decode_many, decode_one
from trimtab.ingest.inflate import Inflater, inflate

LIMIT = 1 << 20
MANY = 100


def read(raw: bytes, content_type: str = "application/json", event_bytes: int = LIMIT) -> Decoded:
    return decode_many(raw, content_type=content_type, event_bytes=event_bytes, batch_events=MANY)


def test_a_good_batch_is_read_in_order() -> None:
    found = read(body(inference(1), feedback(1)))
    assert [(index, event.id) for index, event in found.events] == [(0, inference(1)["id"]), (1, feedback(1)["id"])]
    assert found.rejected == []


@pytest.mark.parametrize("mime", ["application/x-ndjson", "application/ndjson; charset=utf-8", "application/jsonl"])
def test_ndjson_is_read_with_blank_lines_skipped(mime: str) -> None:
    raw = b"\r\n".join([json.dumps(inference(1)).encode(), b"", json.dumps(feedback(1)).encode(), b""])
    assert [index for index, _ in read(raw, mime).events] == [0, 1]


def test_one_damaged_line_leaves_the_others() -> None:
    raw = json.dumps(inference(1)).encode() + b'\n{"type": \n' + json.dumps(feedback(1)).encode()
    found = read(raw, "application/x-ndjson")
    assert [index for index, _ in found.events] == [0, 2]
    assert [(r.index, r.code) for r in found.rejected] == [(1, "malformed_body")]


@pytest.mark.parametrize(
    ("bad", "param", "told"),
    [
        (inference(1, zap=1), "zap", "unknown field 'zap'; known fields are type, id, feature"),
        (inference(1, inptu="x"), "inptu", "did you mean 'input'?"),
        (inference(1, feature=None), "feature", "expected the field 'feature', got none; add it"),
        (inference(1, id="1"), "id", "expected a UUID in lower case"),
        (inference(1, feature="my feature"), "feature", "got 'my feature'"),
        (inference(1, feature="name\n"), "feature", "expected 1 to 128"),
        (inference(1, created_at="2026-03-01T12:00:00"), "created_at", "expected a time with its zone"),
        (inference(1, created_at=17), "created_at", "got 17"),
        (inference(1, latency_ms=-1), "latency_ms", "expected `float` >= 0.0, got -1"),
        (inference(1, context=[{"id": "a", "text": 3}]), "context[0].text", "expected `str | null`, got `int`"),
        (inference(1, user_id="u" * 300), "user_id", "length <= 256"),
        (feedback(1, kind="wow"), "kind", "got 'wow'"),
        (feedback(1, value=5), None, "expected value 1 or 0 for kind 'thumb', got 5"),
        (feedback(1, inference_id=None), None, "expected a target: one of inference_id"),
        ({**inference(1), "type": "x"}, "type", "expected 'inference' or 'feedback', got 'x'"),
        ("text", None, "expected `object`, got `str`"),
    ],
)
def test_a_bad_event_is_named_with_what_to_do(bad: Any, param: str | None, told: str) -> None:
    found = read(body(inference(0), bad, feedback(2)))
    assert [index for index, _ in found.events] == [0, 2]
    (rejection,) = found.rejected
    assert (rejection.index, rejection.code, rejection.param) == (1, "invalid_field", param)
    assert told in rejection.message


@pytest.mark.parametrize("bad", ['"\\ud83d"', "NaN", "1e999"])
def test_what_only_one_event_got_wrong_costs_only_that_event(bad: str) -> None:
    raw = body(inference(0), inference(1, latency_ms="@"), feedback(2)).replace(b'"@"', bad.encode())
    found = read(raw)
    assert [index for index, _ in found.events] == [0, 2]
    assert [r.index for r in found.rejected] == [1]


@pytest.mark.parametrize("raw", [b"", b"{", b"[", b"[1,]", b"nope", b'{"a": 1}', b"3", b"\xff\xfe[", b"[" * 200_000])
def test_a_body_that_cannot_be_taken_apart_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(MalformedBody, match="expected"):
        read(raw)


def test_an_unknown_content_type_is_refused() -> None:
    with pytest.raises(MalformedBody, match="application/x-ndjson"):
        read(body(inference(0)), "application/xml")


def test_too_many_events_are_refused_whole() -> None:
    for raw in (body(*map(inference, range(MANY + 1))), body(*map(inference, range(MANY)), {"bad": 1})):
        with pytest.raises(BodyTooLarge, match="at most 100 events"):
            read(raw)


def test_one_event_over_its_size_is_rejected_alone() -> None:
    found = read(body(inference(0), inference(1, input="x" * 3000)), event_bytes=2000)
    assert [index for index, _ in found.events] == [0]
    assert [(r.index, r.code) for r in found.rejected] == [(1, "body_too_large")]


def test_a_payload_nested_too_deep_is_rejected_alone() -> None:
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    found = read(body(inference(0), inference(1, input=deep)))
    assert [(r.index, r.code) for r in found.rejected] == [(1, "invalid_field")]


def test_a_single_event_may_leave_out_its_type() -> None:
    bare = {key: value for key, value in feedback(1).items() if key != "type"}
    assert decode_one(json.dumps(bare).encode(), "feedback", event_bytes=LIMIT).id == feedback(1)["id"]


def test_a_single_event_of_the_other_kind_is_refused() -> None:
    with pytest.raises(InvalidField):
        decode_one(json.dumps(inference(1)).encode(), "feedback", event_bytes=LIMIT)


def test_gzip_is_undone() -> None:
    assert inflate(gzip.compress(b"[]", mtime=0), "gzip", 10) == b"[]"
    assert inflate(b"[]", "identity", 10) == b"[]"


def test_a_gzip_bomb_is_refused() -> None:
    with pytest.raises(BodyTooLarge, match="at most 1000 bytes"):
        inflate(gzip.compress(bytes(50_000_000)), "gzip", 1000)


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [(b"plain", "gzip"), (gzip.compress(b"[]" * 99)[:-9], "gzip"), (gzip.compress(b"") + b"x", "gzip"), (b"[]", "br")],
    ids=["plain", "cut", "trailing", "unknown"],  # the bytes hold the time they were made
)
def test_damaged_or_unknown_encodings_are_refused(raw: bytes, encoding: str) -> None:
    with pytest.raises(MalformedBody, match="expected"):
        inflate(raw, encoding, 1000)


@pytest.mark.parametrize("size", [1, 2, 7, 100, 5000])
def test_lines_mean_the_same_however_they_are_cut(size: int) -> None:
    lines = [body(inference(1))[1:-1], b"", b'{"type": ', json.dumps(inference(2, input="x" * 3000)).encode(), b"\r"]
    raw = b"\n".join([*lines, body(feedback(1))[1:-1], body(inference(3))[1:-1]])
    reader = LineReader(event_bytes=2000, batch_events=MANY)
    for at in range(0, len(raw), size):
        reader.feed(raw[at : at + size])
    found = reader.end()
    assert [(index, event.id) for index, event in found.events] == [
        (0, inference(1)["id"]),
        (3, feedback(1)["id"]),
        (4, inference(3)["id"]),
    ]
    assert [(r.index, r.code) for r in found.rejected] == [(1, "malformed_body"), (2, "body_too_large")]


def test_lines_beyond_the_most_of_a_batch_are_refused_before_the_rest_is_read() -> None:
    reader = LineReader(event_bytes=LIMIT, batch_events=2)
    line = json.dumps(inference(1)).encode() + b"\n"
    reader.feed(line * 2)
    with pytest.raises(BodyTooLarge, match="more than 2"):
        reader.feed(line)


def test_a_line_without_end_is_not_held() -> None:
    reader = LineReader(event_bytes=1000, batch_events=2)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert len(reader._rest) <= 1002
    assert [r.code for r in reader.end().rejected] == ["body_too_large"]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_gzip_is_undone_however_it_is_cut(size: int) -> None:
    plain = bytes(range(256)) * 1000
    packed = gzip.compress(plain)
    inflater = Inflater("gzip", len(plain))
    made = b"".join(piece for at in range(0, len(packed), size) for piece in inflater.feed(packed[at : at + size]))
    inflater.end()
    assert made == plain


def test_a_large_array_is_read_in_steps_and_means_the_same() -> None:
    events = [inference(n, input="x" * 900) for n in range(1000)]
    events[700]["surprise"] = 1
    raw = body(*events)
    kept: list[Decoded] = []

    def read_on() -> Generator[None, None, None]:
        kept.append((yield from decode_array(raw, event_bytes=LIMIT, batch_events=5000)))

    turns = sum(1 for _ in read_on())
    (decoded,) = kept
    assert turns >= len(raw) // STEP_BYTES
    assert [index for index, _ in decoded.events] == [*range(700), *range(701, 1000)]
    assert [event.id for _, event in decoded.events[:2]] == [events[0]["id"], events[1]["id"]]
    assert [(one.index, one.code, one.param) for one in decoded.rejected] == [(700, "invalid_field", "surprise")]
