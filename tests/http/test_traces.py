"""Real exporters of OpenTelemetry against a real server."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from tests.live import Live, live
from tests.otlp import as_protobuf, request, span
from trimtab.clock import SystemClock
from trimtab.enrich.stage import EnrichStage

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.prompt": "Where is it?", "gen_ai.completion": "Here."}
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("traces"), clock=SystemClock()) as running:
        yield running


class Kept(SpanExporter):
    """Hands on to the real exporter and keeps what it says became of each batch."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self.exporter = exporter
        self.results: list[SpanExportResult] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.results.append(self.exporter.export(spans))
        return self.results[-1]

    def shutdown(self) -> None:
        self.exporter.shutdown()  # type: ignore[no-untyped-call]


def tracing(server: Live, compression: Compression, key: str = "ingest") -> tuple[TracerProvider, Kept]:
    exporter = OTLPSpanExporter(
        endpoint=f"{server.url}/v1/traces",
        headers={"Authorization": f"Bearer {server.keys[key]}"},
        compression=compression,
        timeout=5,
    )
    kept = Kept(exporter)
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "trimtab.feature": compression.value}))
    provider.add_span_processor(BatchSpanProcessor(kept))
    return provider, kept


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip], ids=["plain", "gzip"])
def test_spans_of_the_real_exporter_become_inferences_that_feedback_finds(
    server: Live, compression: Compression
) -> None:
    provider, kept = tracing(server, compression)
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("POST /ask"), tracer.start_as_current_span("chat m") as call:
        call.set_attributes({**CHAT, "gen_ai.request.model": "m", "user.id": "u1", "gen_ai.usage.input_tokens": 3})
        call.add_event("gen_ai.choice", {"message": "ignored, the attributes say it"})
        call.set_status(SpanStatus(StatusCode.ERROR, "too long"))
    provider.shutdown()
    assert kept.results == [SpanExportResult.SUCCESS]

    context = call.get_span_context()
    trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
    with server.client("admin") as client:
        (made,) = client.get("/v1/inferences", params={"feature": compression.value}).json()["items"]
        assert (made["input"], made["output"], made["model"], made["user_id"]) == ("Where is it?", "Here.", "m", "u1")
        assert (made["trace_id"], made["span_id"]) == (trace_id, span_id)
        assert (made["input_tokens"], made["error"]) == (3, "too long")
        said = {
            "id": made["id"][:-1] + ("0" if made["id"][-1] != "0" else "1"),
            "kind": "thumb",
            "value": 0,
            "created_at": made["created_at"],
            "trace_id": trace_id,
            "span_id": span_id,
        }
        assert client.post("/v1/feedback", json=said).json()["accepted"] == 1
        stage = EnrichStage(server.engine.store)
        while stage.tick(server.engine.clock.now()):
            pass
        (outcome,) = client.get("/v1/outcomes", params={"feature": compression.value}).json()["items"]
        assert (outcome["inference_id"], outcome["p_bad"]) == (made["id"], 1.0)


def test_an_exporter_with_a_wrong_key_is_told_and_nothing_is_stored(
    server: Live, caplog: pytest.LogCaptureFixture
) -> None:
    provider, kept = tracing(server, Compression.Gzip, key="read")
    with provider.get_tracer("shop").start_as_current_span("chat m") as call:
        call.set_attributes(CHAT)
    provider.shutdown()
    assert kept.results == [SpanExportResult.FAILURE]
    assert any("403" in record.getMessage() or "Forbidden" in record.getMessage() for record in caplog.records)


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("ingest") as opened:
        yield opened


def now_ns(server: Live) -> int:
    return int((server.engine.clock.now() - timedelta(seconds=30)).timestamp()) * 10**9


def test_partial_success_is_answered_in_the_encoding_that_was_sent(server: Live, client: httpx.Client) -> None:
    sent = request(span(CHAT, 1, startTimeUnixNano=str(now_ns(server))), span({}, 2), span(CHAT, 3, spanId=""))
    answer = client.post("/v1/traces", content=as_protobuf(sent), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    assert told.error_message.startswith("span 2: expected a span_id of 16 hexadecimal digits")
    packed = client.post("/v1/traces", content=gzip.compress(sent), headers={**JSON, "content-encoding": "gzip"})
    assert packed.headers["content-type"] == "application/json"
    assert packed.json() == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": told.error_message}}


def test_full_success_says_nothing(client: httpx.Client) -> None:
    answer = client.post("/v1/traces", content=as_protobuf(request(span({}))), headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.post("/v1/traces", content=request(span({})), headers=JSON).json() == {}


@pytest.mark.parametrize(
    ("key", "content", "status", "code"),
    [
        ("ingest", b"\x0a\x05", 400, 3),
        ("read", b"", 403, 7),
        (None, b"", 401, 16),
        ("ingest", b"\0" * (9 << 20), 413, 3),
    ],
)
def test_a_refusal_is_a_status_in_the_encoding_that_was_sent(
    server: Live, key: str | None, content: bytes, status: int, code: int
) -> None:
    with server.client(key) as client:
        answer = client.post("/v1/traces", content=content, headers=PROTOBUF)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
        told = Status.FromString(answer.content)
        assert (told.code, told.message[:9]) == (code, "expected ")
        answer = client.post("/v1/traces", content=content or b"{", headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["message"] == answer.json()["error"]["message"]


def test_an_exporter_is_told_to_come_back_when_nothing_can_be_stored(tmp_path: Path) -> None:
    with live(tmp_path) as server, server.client("ingest") as client:
        server.engine.intake.journal.reserve(1 << 40)
        answer = client.post("/v1/traces", content=as_protobuf(request(span(CHAT))), headers=PROTOBUF)
        server.engine.intake.journal.release(1 << 40)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert Status.FromString(answer.content).code == 14
