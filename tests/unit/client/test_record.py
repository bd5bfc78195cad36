"""What an app hands over arrives, and arrives once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.client.conftest import Make
from tests.wire_server import Step, WireServer
from trimtab.client import Client, Limits
from trimtab.client.encode import encode


def test_an_inference_and_its_feedback_arrive_as_told(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    with client.inference(input="Where is my parcel?", user="u-1", session="s-1", tags={"plan": "pro"}) as handle:
        handle.output = {"text": "Tomorrow."}
        handle.model = "small-1"
        handle.input_tokens, handle.output_tokens, handle.cost_usd = 12, 3, 0.0004
        handle.chunk("doc-7", text="Parcels take two days.", score=0.5)
        handle.trace_id, handle.span_id = 0xABC, "00000000000000FF"
    feedback_id = client.correction(handle, "On Tuesday.", user="u-1", source="reviewer")
    assert client.flush()
    inference = wire.events[handle.id]
    assert inference.pop("latency_ms") >= 0
    assert inference.pop("created_at").endswith("Z")
    assert inference == {
        "type": "inference", "id": handle.id, "feature": "answer", "input": "Where is my parcel?",
        "output": {"text": "Tomorrow."}, "user_id": "u-1", "session_id": "s-1", "tags": {"plan": "pro"},
        "model": "small-1", "input_tokens": 12, "output_tokens": 3, "cost_usd": 0.0004,
        "context": [{"id": "doc-7", "text": "Parcels take two days.", "score": 0.5}],
        "trace_id": "00000000000000000000000000000abc", "span_id": "00000000000000ff",
    }  # fmt: skip
    feedback = wire.events[feedback_id]
    assert feedback.pop("created_at").endswith("Z")
    assert feedback == {
        "type": "feedback", "id": feedback_id, "kind": "correction", "inference_id": handle.id,
        "text": "On Tuesday.", "user_id": "u-1", "source": "reviewer",
    }  # fmt: skip


def test_an_exception_is_recorded_and_goes_on(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    with pytest.raises(KeyError, match="lost"), client.inference(input="x") as handle:
        raise KeyError("lost")
    client.flush()
    assert wire.events[handle.id]["error"] == "KeyError: 'lost'"
    assert "output" not in wire.events[handle.id]


def test_record_returns_the_id_under_which_it_is_stored(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    said_at = datetime(2026, 3, 1, 8, 0, 0, 5, tzinfo=UTC)
    inference_id = client.record(input="q", output="a", created_at=said_at, latency_ms=12.5)
    quiet = client.record("other", input=["turn"], output="a")
    client.flush()
    assert wire.events[inference_id]["created_at"] == "2026-03-01T08:00:00.000005Z"
    assert wire.events[inference_id]["latency_ms"] == 12.5
    assert wire.events[quiet]["feature"] == "other"
    assert "latency_ms" not in wire.events[quiet]


def test_a_clock_given_to_the_client_sets_the_time_of_events(make: Make, wire: WireServer) -> None:
    client = make(strict=True, clock=lambda: datetime(2031, 1, 1, tzinfo=UTC))
    feedback_id = client.thumb(client.record(input="q"), up=False)
    client.flush()
    assert wire.events[feedback_id]["created_at"] == "2031-01-01T00:00:00.000000Z"


def test_what_the_app_changes_afterwards_changes_nothing(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    turns = [{"role": "user", "content": "first"}]
    inference_id = client.record(input=turns)
    turns.append({"role": "user", "content": "second"})
    client.flush()
    assert wire.events[inference_id]["input"] == [{"role": "user", "content": "first"}]


def test_ten_thousand_events_travel_in_compressed_batches_on_one_connection(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    ids = {client.record(input="why " * 20, output=f"answer {number}") for number in range(10_000)}
    assert client.flush(30)
    assert set(wire.events) == ids
    assert len(wire.arrivals) == 10_000
    assert len(wire.posts()) < 200
    assert len({request.connection for request in wire.posts()}) == 1
    assert all(len(json.loads(request.body)) <= 500 for request in wire.posts())
    assert any(request.headers.get("content-encoding") == "gzip" for request in wire.posts())


def test_a_batch_is_bounded_by_bytes_too(make: Make, wire: WireServer) -> None:
    client = make(strict=True, limits=Limits(batch_bytes=10_000, linger_s=0.05))
    for _ in range(50):
        client.record(input="x" * 1_000)
    client.flush()
    assert max(len(request.body) for request in wire.posts()) < 12_000


def test_a_server_that_finds_a_batch_too_large_gets_it_in_parts(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(linger_s=0.2))
    wire.script.append(Step("status", status=413))
    ids = [client.record(input=str(number)) for number in range(8)]
    assert client.flush()
    assert [len(json.loads(request.body)) for request in wire.posts()] == [8, 4, 4]
    assert set(wire.events) == set(ids)


def test_events_refused_one_by_one_are_counted_by_code_and_not_sent_again(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(linger_s=0.2))
    wire.script.append(Step("reject", indexes=(0, 2)))
    for number in range(4):
        client.record(input=str(number))
    assert client.flush()
    stats = client.stats()
    assert (stats.accepted, stats.rejected, len(wire.posts())) == (2, {"invalid_field": 2}, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refused_request_is_not_tried_again_and_its_events_are_counted(
    make: Make, wire: WireServer, status: int
) -> None:
    client = make(limits=Limits(linger_s=0.2))
    wire.script.append(Step("status", status=status))
    client.record(input="a")
    client.record(input="b")
    assert client.flush()
    assert client.stats().lost == {f"http_{status}": 2}
    assert len(wire.posts()) == 1


def test_losses_are_reported_to_the_server_once(make: Make, wire: WireServer) -> None:
    client = make()
    client.record(input="x" * 2_000_000)
    client.record(input="a")
    client.flush()
    client.record(input="b")
    client.flush()
    assert client.stats().lost == {"too_large": 1}
    assert [request.headers.get("trimtab-lost") for request in wire.posts()] == ["too_large=1", None]


def test_every_event_is_accounted_for(make: Make, wire: WireServer) -> None:
    client = make(limits=Limits(queue_events=5, linger_s=5.0), spool_bytes=0)
    for number in range(9):
        client.record(input=str(number))
    wire.script.append(Step("reject", indexes=(1,)))
    client.flush()
    stats = client.stats()
    assert stats.lost == {"queue_full": 4}
    assert stats.recorded == stats.accepted + sum(stats.rejected.values()) + sum(stats.lost.values()) == 9


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.feedback("no-uuid", "thumb", value=1),
        lambda client: client.feedback(None, "thumb", value=1),
        lambda client: client.feedback(client.record(input="x"), "applause"),
        lambda client: client.rating(client.record(input="x"), 9, best=5),
        lambda client: client.rating(client.record(input="x"), "four"),
        lambda client: client.feedback(client.record(input="x"), "edit", value=2),
        lambda client: client.feedback(client.record(input="x"), "dwell", value=-1),
        lambda client: client.correction(client.record(input="x"), ""),
        lambda client: client.label(client.record(input="x"), ""),
    ],
)
def test_a_wrong_call_raises_in_strict_mode_only(make: Make, call: Any) -> None:
    client = make()
    call(client)
    assert client.stats().lost == {"invalid": 1}
    with pytest.raises((ValueError, TypeError)):
        call(make(strict=True))


@pytest.mark.parametrize("told", [{"tags": 7}, {"created_at": "yesterday"}, {"context": 3.5}])
def test_what_cannot_be_used_is_left_out_and_the_rest_is_recorded(
    make: Make, wire: WireServer, told: dict[str, Any]
) -> None:
    client = make()
    inference_id = client.record(input="x", output="y", **told)
    assert client.flush()
    assert wire.events[inference_id]["output"] == "y"
    with pytest.raises((TypeError, AttributeError)):
        make(strict=True).record(input="x", **told)


def test_a_missing_feature_is_named(make: Make) -> None:
    client = make(feature=None, strict=True)
    with pytest.raises(ValueError, match="expected a feature"):
        client.record(input="x")
    with pytest.raises(ValueError, match="expected a feature"):
        client.resolve()


@pytest.mark.parametrize(
    ("url", "key", "named"),
    [
        (None, "k", "TRIMTAB_URL"),
        ("ftp://x", "k", "expected a URL"),
        ("http://", "k", "expected a URL"),
        ("http://a b", "k", "expected a URL"),
        ("http://x", None, "TRIMTAB_KEY"),
        ("http://x", "tt_sec\nret", "not shown"),
        ("http://x", "tt_sécret", "not shown"),
    ],
)
def test_a_client_that_is_not_set_up_does_nothing_and_says_so_once(
    url: str | None, key: str | None, named: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(url=url, key=key)
    with client.inference(input="x") as handle:
        handle.output = "y"
    client.thumb(handle, up=True)
    assert client.resolve().version is None
    assert client.flush()
    assert [named in record.getMessage() for record in caplog.records] == [True]
    assert "sec" not in caplog.text
    with pytest.raises(ValueError, match=named):
        make(url=url, key=key, strict=True)


def test_url_and_key_come_from_the_environment(wire: WireServer, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_URL", wire.url + "/base/")
    monkeypatch.setenv("TRIMTAB_KEY", "tt_from_env")
    client = make(url=None, key=None)
    client.record(input="x")
    client.flush()
    assert wire.posts()[0].headers["authorization"] == "Bearer tt_from_env"
    assert wire.posts()[0].path == "/base/v1/events"


def test_nothing_logged_holds_words_of_users_or_the_key(
    make: Make, wire: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(limits=Limits(linger_s=0.01, event_bytes=1_000))
    wire.script.extend([Step("garbage"), Step("status", status=401), Step("reject", indexes=(0,))])
    for text in ("private words", "private words " * 1_000):
        client.record(input=text, output=text)
        client.flush(0.5)
    client.feedback("private words", "correction", text="private words")
    client.record(input="private words", tags=RuntimeError("private words"))  # type: ignore[arg-type]
    client.flush(2)
    assert caplog.records
    assert "private" not in caplog.text
    assert "tt_ingest_secret" not in caplog.text


def test_each_cause_is_logged_once(make: Make, wire: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    client = make()
    for _ in range(50):
        client.record(input="x" * 2_000_000)
    assert len(caplog.records) == 1
    assert client.stats().lost == {"too_large": 50}


def test_recording_from_inside_the_encoder_does_not_deadlock(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    class Telling:
        def to_dict(self) -> dict[str, str]:
            client.record(input="inner")
            return {"told": "yes"}

    client.record(input="outer", output=Telling())
    client.flush()
    assert {event["input"] for event in wire.events.values()} == {"inner", "outer"}
    assert encode({"x": 1}) == b'{"x":1}'


def test_what_comes_after_close_is_left_to_the_next_process(make: Make, wire: WireServer) -> None:
    client = make()
    before = client.record(input="before")
    assert client.close()
    after = client.record(input="after")
    assert set(wire.events) == {before}
    assert not client.stats().lost
    assert make().flush()
    assert set(wire.events) == {before, after}


def test_after_close_without_a_spool_events_are_counted_as_lost(make: Make, wire: WireServer) -> None:
    client = make(spool_bytes=0)
    client.record(input="before")
    assert client.close()
    client.record(input="after")
    assert client.stats().lost == {"closed": 1}
    assert client.close()
    assert client.flush()


def test_a_with_block_delivers_at_its_end(wire: WireServer, make: Make) -> None:
    with make() as client:
        assert isinstance(client, Client)
        inference_id = client.record(input="x")
    assert inference_id in wire.events
