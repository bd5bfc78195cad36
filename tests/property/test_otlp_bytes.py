"""Whatever bytes come as spans: they are read or refused with a clear error, and never anything else."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.intake import PROJECT, desk
from tests.otlp import as_protobuf, event, request, span
from trimtab.errors import InputError
from trimtab.ingest.otlp.mapping import inferences
from trimtab.ingest.otlp.wire import Encoding, decode_spans

KEYS = st.sampled_from([
    "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.input.messages", "gen_ai.output.messages",
    "gen_ai.prompt", "gen_ai.system_instructions", "gen_ai.completion", "gen_ai.prompt.0.content",
    "gen_ai.prompt.0", "gen_ai.prompt.x.y", "gen_ai.completion.0.message.content",
    "gen_ai.completion.0.tool_calls.0.name", "gen_ai.usage.input_tokens", "gen_ai.response.finish_reasons",
    "gen_ai.retrieval.documents", "openinference.span.kind", "llm.input_messages.0.message.role",
    "llm.input_messages.0.message", "retrieval.documents.0.document.content", "retrieval.documents.0", "metadata",
    "input.value", "output.value", "tag.tags", "langfuse.observation.type", "langfuse.observation.input",
    "langfuse.observation.output", "langfuse.observation.usage_details", "langfuse.observation.cost_details",
    "langsmith.span.kind", "langsmith.usage_metadata", "ai.operationId", "ai.prompt.messages",
    "ai.response.toolCalls", "events", "request_data", "response_data", "logfire.span_type", "duration",
    "trimtab.feature", "trimtab.arm", "trimtab.tags.x", "trimtab.user_id", "error.type",
])  # fmt: skip
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20).filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text)),
    st.sampled_from(["chat", "llm", "LLM", "generation", "retriever", "RETRIEVER", "log", "error"]),
    st.sampled_from(["ai.generateText.doGenerate", "candidate"]),
)  # fmt: skip
WORDS = st.sampled_from([
    "role", "content", "parts", "type", "text", "tool_calls",
    "message", "kwargs", "id", "name", "arguments", "result", "output",
])  # fmt: skip
TREES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)), max_leaves=8
)
VALUES = st.one_of(TREES, TREES.map(json.dumps))
SPANS = st.builds(
    lambda told, number, parent, events, code: span(told, number, parent=parent, events=events, status={"code": code}),
    st.dictionaries(KEYS, VALUES, max_size=8),
    st.integers(1, 4),
    st.integers(0, 4),
    st.lists(
        st.builds(
            event,
            st.sampled_from(["gen_ai.choice", "gen_ai.user.message", "exception", "db.query.result"]),
            st.dictionaries(st.sampled_from(["message", "content", "exception.type", "db.query.result.id"]), VALUES),
        ),
        max_size=2,
    ),
    st.sampled_from([0, 1, 2]),
)


def refusal(body: bytes, encoding: Encoding) -> str | None:
    """Return why a body is refused, None when it is read; any other error passes through and fails the test."""
    try:
        decode_spans(body, encoding)
    except InputError as error:
        return error.message
    return None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert "protobuf ExportTraceServiceRequest" in (refusal(body, "protobuf") or "protobuf ExportTraceServiceRequest")
    assert "JSON ExportTraceServiceRequest" in (refusal(body, "json") or "JSON ExportTraceServiceRequest")


@settings(max_examples=300, deadline=None)
@given(st.lists(SPANS, max_size=3), st.data())
def test_any_damage_to_a_request_is_read_or_refused(spans: list[dict[str, Any]], data: st.DataObject) -> None:
    body = bytearray(as_protobuf(request(*spans)))
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        read = decode_spans(damaged, "protobuf")
    except InputError:
        return
    inferences(PROJECT, read, event_bytes=1 << 20)


@settings(max_examples=200, deadline=None)
@given(st.lists(SPANS, max_size=3))
def test_a_request_means_the_same_in_both_encodings(spans: list[dict[str, Any]]) -> None:
    body = request(*spans)
    assert decode_spans(as_protobuf(body), "protobuf") == decode_spans(body, "json")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_what_the_official_library_reads_is_never_refused_for_its_wire(tail: bytes) -> None:
    body = as_protobuf(request(span({"a": "b"}))) + tail
    try:
        ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return
    # A known field of another wire type is passed over there and told here; groups are not used since 2008.
    message = refusal(body, "protobuf") or "came as"
    assert any(words in message for words in ("came as", "come as", "wire type 3"))


@settings(max_examples=60, deadline=None)
@given(st.lists(SPANS, max_size=4))
def test_every_span_is_stored_ignored_or_refused_by_its_place(spans: list[dict[str, Any]]) -> None:
    body = request(*spans)
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as front:
        for repeat in range(2):
            answer = asyncio.run(front.intake.accept_traces(PROJECT, body, content_type="application/json"))
            assert answer.accepted == 0 or not repeat
            assert answer.spans == len(spans)
            assert answer.spans == answer.accepted + answer.duplicates + answer.ignored + len(answer.rejected)
            assert all(0 <= item.index < len(spans) and item.message for item in answer.rejected)


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_a_real_request_cut_anywhere_is_read_or_refused(cut: int) -> None:
    body = as_protobuf(
        request(span({"gen_ai.operation.name": "chat", "gen_ai.prompt": "x" * 300}), span({"a": [1, 2]}))
    )
    message = refusal(body[:cut], "protobuf")
    assert message is None or "ExportTraceServiceRequest" in message
