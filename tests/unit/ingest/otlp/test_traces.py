"""Traces go the way of every event: the same limits, the same wall, the same journal; and feedback finds them."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.intake import NOW, PROJECT, Desk, body, desk, feedback, inference
from tests.otlp import TRACE, as_protobuf, found, request, span
from trimtab.config import Ingest
from trimtab.enrich.stage import EnrichStage
from trimtab.errors import BodyTooLarge, MalformedBody, Unavailable
from trimtab.ids import derived_id
from trimtab.ingest.otlp.answer import TracesAnswer, encode_answer, encode_status
from trimtab.records import Inference

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.prompt": "Where is it?", "gen_ai.completion": "Here."}


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as opened:
        yield opened


def accept(front: Desk, sent: bytes, content_type: str = "application/json", encoding: str = "") -> TracesAnswer:
    return asyncio.run(front.intake.accept_traces(PROJECT, sent, content_type=content_type, content_encoding=encoding))


def the_inference(front: Desk) -> Inference:
    (row,) = front.store.inferences_after(0, 10)
    return row.record


def test_an_answered_call_is_on_disk_and_other_spans_leave_nothing(front: Desk) -> None:
    answer = accept(front, as_protobuf(request(span(CHAT, 1), span({}, 2))), "application/x-protobuf")
    assert answer == TracesAnswer(spans=2, accepted=1, duplicates=0, ignored=1, rejected=[])
    kept = the_inference(front)
    assert (kept.input, kept.output, kept.feature) == ("Where is it?", "Here.", "shop")
    assert kept.id == derived_id("otlp", PROJECT, TRACE, f"{1:016x}")
    assert front.store.rollout(PROJECT, "shop") is not None


def test_a_span_sent_again_is_a_duplicate_whatever_it_is_wrapped_in(front: Desk) -> None:
    sent = request(span(CHAT))
    accept(front, sent)
    again = accept(front, gzip.compress(as_protobuf(sent)), "application/x-protobuf", "gzip")
    assert (again.accepted, again.duplicates) == (0, 1)
    assert len(front.stored()) == 1


def test_words_of_a_span_are_cleaned_before_they_are_stored(front: Desk) -> None:
    told = {**CHAT, "gen_ai.prompt": "I am jane.doe@example.com", "user.id": "jane.doe@example.com"}
    failed = {"code": 2, "message": "no answer for jane.doe@example.com"}
    accept(front, request(span({**told, "trimtab.tags.who": "jane.doe@example.com"}, status=failed)))
    assert b"jane.doe" not in msgspec.json.encode(the_inference(front))


def test_times_are_admitted_as_those_of_other_events(front: Desk) -> None:
    late = str(int((NOW + timedelta(days=1)).timestamp()) * 10**9)
    answer = accept(front, request(span(CHAT, 1, startTimeUnixNano=late), span(CHAT, 2), span(CHAT, 3, traceId="1")))
    assert answer.accepted == 1
    assert [(item.index, item.code) for item in answer.rejected] == [(0, "time_in_future"), (2, "invalid_field")]
    assert answer.error_message.startswith("span 0: expected created_at at most 600 s after now")
    assert "; span 2: expected a trace_id of 32" in answer.error_message


def test_a_feature_that_may_not_be_made_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(unknown_feature="reject")) as front:
        answer = accept(front, request(span(CHAT)))
    assert [item.code for item in answer.rejected] == ["unknown_feature"]


def test_bodies_over_a_limit_are_refused_whole(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(batch_events=2), body_bytes=4000) as front:
        with pytest.raises(BodyTooLarge, match="at most 4000 bytes"):
            accept(front, request(span({**CHAT, "x": "y" * 4000})))
        with pytest.raises(BodyTooLarge, match="at most 2 events"):
            accept(front, request(span(CHAT, 1), span(CHAT, 2), span(CHAT, 3)))
        assert accept(front, request(span(CHAT, 1), span({}, 2), span({}, 3))).accepted == 1
        assert front.intake.tally.rejected["body_too_large"] == 2


def test_a_gzip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    with desk(tmp_path) as front, pytest.raises(BodyTooLarge, match="uncompressed"):
        accept(front, gzip.compress(b"\n" * (200 << 20)), "application/x-protobuf", "gzip")


@pytest.mark.parametrize(
    ("sent", "content_type", "encoding", "words"),
    [
        (b"\x0a\x05", "application/x-protobuf", "", "ends after"),
        (b"{", "application/json", "", "truncated"),
        (b"{}", "text/csv", "", "http/protobuf or http/json"),
        (b"plain", "application/x-protobuf", "gzip", "gzip stream"),
        (b"\x28\xb5", "application/x-protobuf", "zstd", "content-encoding 'gzip'"),
    ],
)
def test_what_cannot_be_read_is_refused_and_counted(
    front: Desk, sent: bytes, content_type: str, encoding: str, words: str
) -> None:
    with pytest.raises(MalformedBody, match=words):
        accept(front, sent, content_type, encoding)
    assert front.intake.tally.rejected["malformed_body"] == 1
    assert front.intake.journal.in_flight_bytes == 0


def test_more_than_may_be_in_flight_is_turned_away(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(in_flight_bytes=100)) as front:
        front.intake.journal.reserve(60)
        with pytest.raises(Unavailable, match="send the events again"):
            accept(front, request(span(CHAT)))


def test_a_large_batch_is_stored_whole(front: Desk) -> None:
    sent = request(*(span({**CHAT, "gen_ai.prompt": "word " * 100}, number) for number in range(1, 401)))
    late = NOW + timedelta(minutes=10)
    front.clock.set(late)
    assert accept(front, as_protobuf(sent), "application/x-protobuf").accepted == 400
    assert len(front.stored()) == 400


# ---------------------------------------------------------------- the answer


def test_the_answer_is_empty_when_every_span_was_taken() -> None:
    answer = TracesAnswer(spans=2, accepted=1, duplicates=0, ignored=1, rejected=[])
    assert encode_answer(answer, "protobuf") == b""
    assert encode_answer(answer, "json") == b"{}"


def test_the_answer_counts_refused_spans_as_the_official_library_reads_it() -> None:
    refused = found(request(*(span(CHAT, number, traceId="") for number in range(1, 300)))).rejected
    answer = TracesAnswer(spans=299, accepted=0, duplicates=0, ignored=0, rejected=refused)
    read = ExportTraceServiceResponse.FromString(encode_answer(answer, "protobuf"))
    assert read.partial_success.rejected_spans == 299
    assert read.partial_success.error_message == answer.error_message
    assert answer.error_message.endswith("and 294 more")
    told = json.loads(encode_answer(answer, "json"))["partialSuccess"]
    assert told == {"rejectedSpans": "299", "errorMessage": answer.error_message}
    status = Status.FromString(encode_status(503, "später"))
    assert (status.code, status.message) == (14, "später")


# ---------------------------------------------------------------- feedback


def thumb(name: str, **target: Any) -> dict[str, Any]:
    return feedback(name, inference_id=None, **target)


@pytest.mark.parametrize("early", [True, False], ids=["feedback first", "span first"])
@pytest.mark.parametrize("whole", [True, False], ids=["trace and span", "trace alone"])
def test_feedback_that_names_a_span_joins_its_inference(front: Desk, early: bool, whole: bool) -> None:
    stage = EnrichStage(front.store)
    said = thumb("t", trace_id=TRACE, **({"span_id": f"{1:016x}"} if whole else {}))
    steps: list[Callable[[], object]] = [
        lambda: front.intake.accept_now(PROJECT, body(said)),
        lambda: accept(front, request(span(CHAT))),
    ]
    for step in steps if early else reversed(steps):
        step()
        stage.tick(NOW)
    kept = the_inference(front)
    (opinion,) = front.store.opinions(PROJECT, [kept.id])[kept.id]
    assert (opinion.feedback_id, opinion.value) == (said["id"], 0)


@pytest.mark.parametrize("early", [True, False], ids=["feedback first", "inference first"])
def test_feedback_that_names_a_span_joins_an_inference_sent_by_the_sdk(front: Desk, early: bool) -> None:
    stage = EnrichStage(front.store)
    sent = [
        thumb("t", trace_id=TRACE, span_id=f"{7:016x}"),
        inference("i", trace_id=TRACE, span_id=f"{7:016x}"),
    ]
    for item in sent if early else reversed(sent):
        front.intake.accept_now(PROJECT, body(item))
        stage.tick(NOW)
    kept = the_inference(front)
    assert len(front.store.opinions(PROJECT, [kept.id])[kept.id]) == 1


def test_feedback_on_a_trace_is_about_the_last_call_in_it(front: Desk) -> None:
    accept(front, request(span(CHAT, 1), span(CHAT, 2), span(CHAT, 3)))
    front.intake.accept_now(PROJECT, body(thumb("t", trace_id=TRACE)))
    EnrichStage(front.store).tick(NOW)
    EnrichStage(front.store).tick(NOW)
    last = derived_id("otlp", PROJECT, TRACE, f"{3:016x}")
    assert len(front.store.opinions(PROJECT, [last]).get(last, [])) == 1
