"""Both encodings of a request say the same, and what is neither is told so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.otlp import TRACE, as_protobuf, event, request, span
from trimtab.errors import BodyTooLarge, MalformedBody
from trimtab.ingest.otlp.protobuf import MAX_DEPTH, number_field, text_field
from trimtab.ingest.otlp.wire import decode_spans, encoding_of

TOLD: dict[str, Any] = {
    "text": "Wo ist mein Fahrrad? \u00fc\U0001f6b2",
    "empty": "",
    "yes": True,
    "no": False,
    "count": -7,
    "most": (1 << 63) - 1,
    "least": -(1 << 63),
    "half": 0.5,
    "list": ["a", 1, [True]],
    "tree": {"a": {"b": [{"c": "d"}]}},
    "nothing": None,
    "long": "x" * 70_000,
    "k" * 200: "a long key",
}


def test_both_encodings_mean_the_same_spans() -> None:
    body = request(
        span(TOLD, 1, events=[event("gen_ai.choice", {"index": 0})], status={"code": 2, "message": "slow"}),
        span({}, 2, parent=1, kind=1),
        resource={"service.name": "shop", "n": 3},
        scope="a scope",
    )
    spans = decode_spans(body, "json")
    assert decode_spans(as_protobuf(body), "protobuf") == spans
    assert spans[0].attributes == TOLD
    assert spans[0].resource == {"service.name": "shop", "n": 3}
    assert (spans[0].trace_id, spans[0].span_id, spans[1].parent_id) == (TRACE, f"{1:016x}", f"{1:016x}")
    assert (spans[0].scope, spans[0].failed, spans[0].status_message) == ("a scope", True, "slow")
    assert spans[0].end_ns - spans[0].start_ns == 250_000_000
    assert spans[0].events[0].attributes == {"index": 0}


def test_json_is_read_leniently_where_senders_differ() -> None:
    item = span({}, traceId=TRACE.upper(), endTimeUnixNano=7, droppedAttributesCount=3, kind="SPAN_KIND_CLIENT")
    item["attributes"] = [
        {"key": "int", "value": {"intValue": 5}},
        {"key": "infinite", "value": {"doubleValue": "Infinity"}},
        {"key": "double", "value": {"doubleValue": "0.5"}},
        {"key": "bytes", "value": {"bytesValue": "AAE="}},
        {"key": "null", "value": None},
        {"key": "none"},
        {"key": "unknown", "value": {"futureValue": 1}},
    ]
    item["events"] = None
    (read,) = decode_spans(request(item), "json")
    assert (read.trace_id, read.end_ns, read.events) == (TRACE, 7, [])
    assert read.attributes == {
        "int": 5, "infinite": None, "double": 0.5, "bytes": "AAE=", "null": None, "none": None, "unknown": None
    }  # fmt: skip


def test_fields_of_a_later_version_are_passed_over() -> None:
    known = as_protobuf(request(span({"a": "b"})))
    later = text_field(99, b"new") + number_field(98, 5)
    assert decode_spans(later + known + later, "protobuf") == decode_spans(known, "protobuf")


def test_an_empty_request_has_no_spans() -> None:
    assert decode_spans(b"", "protobuf") == []
    assert decode_spans(b"{}", "json") == []


def test_text_cut_inside_a_character_does_not_cost_the_batch() -> None:
    body = as_protobuf(request(span({"a": "grün!"})))
    cut = body.replace("grün!".encode(), b"gr\xc3!!!")
    (read,) = decode_spans(cut, "protobuf")
    assert read.attributes == {"a": "gr\ufffd!!!"}


def deep(levels: int) -> Any:
    told: Any = "x"
    for _ in range(levels):
        told = [told]
    return told


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_an_attribute_may_nest_so_deep_and_no_deeper(encoding: Any) -> None:
    for levels, fits in ((MAX_DEPTH - 1, True), (MAX_DEPTH, False), (40, False)):
        body = request(span({"a": deep(levels)}))
        sent = body if encoding == "json" else as_protobuf(body)
        if fits:
            assert decode_spans(sent, encoding)[0].attributes == {"a": deep(levels)}
        else:
            with pytest.raises(MalformedBody, match="nests deeper than 32"):
                decode_spans(sent, encoding)


def test_nesting_beyond_any_stack_is_malformed() -> None:
    value = b""
    for _ in range(5000):
        value = text_field(5, text_field(1, value or b"\x10\x01"))
    attribute = text_field(9, text_field(1, b"a") + text_field(2, value))
    with pytest.raises(MalformedBody, match="nests deeper than 32"):
        decode_spans(text_field(1, text_field(2, text_field(2, attribute))), "protobuf")


@pytest.mark.parametrize(
    ("sent", "encoding"),
    [
        (text_field(1, text_field(2, b"\x12\x00" * 50_001)), "protobuf"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * 50_001) + b"]}]}]}", "json"),
    ],
    ids=["protobuf", "json"],
)
def test_more_spans_than_memory_is_meant_for_are_refused(sent: bytes, encoding: Any) -> None:
    with pytest.raises(BodyTooLarge, match="at most 50000 spans"):
        decode_spans(sent, encoding)


@pytest.mark.parametrize("end", [1, 5, 40, 100])
def test_a_truncated_request_is_malformed(end: int) -> None:
    body = request(span(TOLD))
    with pytest.raises(MalformedBody, match="protobuf ExportTraceServiceRequest"):
        decode_spans(as_protobuf(body)[:-end], "protobuf")
    with pytest.raises(MalformedBody, match="JSON ExportTraceServiceRequest"):
        decode_spans(body[:-end], "json")


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\x08\x01", "resource_spans came as a number"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\xff" * 12, "longer than 10 bytes"),
        (b"\x0a\xff\xff\xff\xff\x0f", "ends after"),
        (b"\x0a\x80", "ends inside a number"),
        (b"\x09\x01", "cut off"),
        (text_field(1, text_field(2, text_field(2, text_field(7, b"12345678")[:-1]))), "ends after"),
        (text_field(1, text_field(2, text_field(2, text_field(7, b"123")))), "did not come as 8 bytes"),
        (text_field(1, text_field(2, text_field(2, text_field(15, text_field(3, b"x"))))), "did not come as a varint"),
        (text_field(1, text_field(2, text_field(2, number_field(1, 7)))), "came as a number"),
    ],
)
def test_bytes_that_mean_nothing_are_told_what_is_wrong(sent: bytes, words: str) -> None:
    with pytest.raises(MalformedBody, match=words):
        decode_spans(sent, "protobuf")


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([], "the body is not an object"),
        ({"resourceSpans": {}}, "resourceSpans is not an array"),
        ({"resourceSpans": [3]}, "resourceSpans is not an object"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 3}]}]}]}, "name is not text"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}, "not a 64-bit integer"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"endTimeUnixNano": 1.5}]}]}]}, "not a 64-bit integer"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"endTimeUnixNano": "9" * 5000}]}]}]}, "not a 64-bit integer"),
        (
            {"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"doubleValue": "x"}}]}}]},
            "not a number",
        ),
    ],
)
def test_json_that_is_no_request_is_told_what_is_wrong(tree: Any, words: str) -> None:
    with pytest.raises(MalformedBody, match=words):
        decode_spans(json.dumps(tree).encode(), "json")


@pytest.mark.parametrize(
    "sent", [b"", b"\xff", b"[" * 100_000, b"{" * 3, b'{"a":\xff}', b'{"resourceSpans":"\\ud800"}']
)
def test_bytes_that_are_no_json_are_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_spans(sent, "json")


def test_a_content_type_names_its_encoding() -> None:
    assert encoding_of("application/x-protobuf") == "protobuf"
    assert encoding_of("Application/JSON; charset=utf-8") == "json"
    with pytest.raises(MalformedBody, match="http/protobuf or http/json"):
        encoding_of("text/plain")
