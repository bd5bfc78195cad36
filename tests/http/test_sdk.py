"""The SDK and the server, on the wire they share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live import Live
from trimtab.client import Client, Resolved


@pytest.fixture
def sdk(server: Live, tmp_path: Path) -> Iterator[Client]:
    clock = server.engine.clock.now
    with Client(
        server.url, server.keys["ingest"], spool_dir=tmp_path, strict=True, resolve_timeout_s=30, clock=clock
    ) as client:
        yield client


def test_what_the_sdk_records_is_what_the_server_returns(sdk: Client, admin: httpx.Client) -> None:
    with sdk.inference("sdk-record", input=[{"role": "user", "content": "Where is it?"}], user="u-1") as handle:
        handle.output = {"text": "Here."}
        handle.model, handle.input_tokens, handle.cost_usd = "small-1", 7, 0.001
        handle.chunk("doc-1", text="It is here.", score=0.5)
        handle.tags["plan"] = "pro"
        handle.trace_id, handle.span_id = 0xAB, 0xC
    assert sdk.flush(30)
    (stored,) = admin.get("/v1/inferences", params={"feature": "sdk-record"}).json()["items"]
    assert stored["id"] == handle.id
    assert stored["input"] == [{"role": "user", "content": "Where is it?"}]
    assert (stored["output"], stored["model"], stored["user_id"]) == ({"text": "Here."}, "small-1", "u-1")
    assert stored["context"] == [{"id": "doc-1", "text": "It is here.", "score": 0.5}]
    assert (stored["tags"], stored["trace_id"], stored["span_id"]) == ({"plan": "pro"}, f"{0xAB:032x}", f"{0xC:016x}")
    assert stored["latency_ms"] > 0


def test_every_verb_is_taken(sdk: Client, admin: httpx.Client) -> None:
    about = sdk.record("sdk-verbs", input="x", output="y", user="u-1")
    ids = {
        sdk.thumb(about, up=True),
        sdk.rating(about, 4),
        sdk.label(about, "outdated"),
        sdk.correction(about, "Right.", source="reviewer"),
        sdk.comment(about, "Hm."),
        sdk.accept(about),
        sdk.reject(about),
        sdk.edit(about, "shown", "kept"),
        sdk.copy(about),
        sdk.outcome(about, reached=False),
        sdk.retract(about, "thumb"),
        sdk.feedback(about, "dwell", value=2.5),
        sdk.thumb(None, up=True, external_id="t-1", feature="sdk-verbs"),
        sdk.thumb(None, up=True, trace_id=0xAB, span_id=0xC),
        sdk.comment(None, "Slow.", session="s-1"),
    }
    assert sdk.flush(30)
    assert sdk.stats().accepted == len(ids) + 1
    stored = {item["id"] for item in admin.get("/v1/feedback", params={"limit": 200}).json()["items"]}
    assert ids <= stored


def test_a_wrong_name_is_refused_alone(server: Live, tmp_path: Path, admin: httpx.Client) -> None:
    clock = server.engine.clock.now
    with Client(server.url, server.keys["ingest"], spool_dir=tmp_path, clock=clock) as client:
        client.record("not a name!", input="x")
        kept = client.record("sdk-kept", input="x")
        assert client.flush(30)
        assert client.stats().rejected == {"invalid_field": 1}
    assert [item["id"] for item in admin.get("/v1/inferences", params={"feature": "sdk-kept"}).json()["items"]] == [
        kept
    ]


@pytest.mark.parametrize(
    ("kind", "counted"),
    [("read", ({"http_403": 1}, {})), ("public", ({}, {"forbidden_key": 1}))],  # a public key may send feedback alone
)
def test_a_key_of_the_wrong_kind_is_told_and_counted(
    server: Live, tmp_path: Path, kind: str, counted: tuple[dict[str, int], dict[str, int]]
) -> None:
    clock = server.engine.clock.now
    with Client(server.url, server.keys[kind], feature="sdk-key", spool_dir=tmp_path, clock=clock) as client:
        client.record(input="x")
        assert client.flush(30)
        lost, rejected = client.stats().lost, client.stats().rejected
    assert (lost, rejected) == counted


def test_a_feature_of_any_allowed_name_is_served(sdk: Client, admin: httpx.Client) -> None:
    sdk.record("team/answer:v2@eu", input="x")
    assert sdk.flush(30)
    assert sdk.resolve("team/answer:v2@eu").arm == "stable"


def test_a_version_made_on_the_server_is_served_and_reported(sdk: Client, admin: httpx.Client) -> None:
    assert sdk.resolve("sdk-unheard") == Resolved()
    assert admin.put("/v1/features/sdk-serve", json={}).is_success
    made = admin.post(
        "/v1/features/sdk-serve/versions",
        json={
            "messages": [{"role": "system", "content": "Be kind."}],
            "rules": [{"id": "r1", "text": "Be brief."}],
            "exemplars": [{"id": "e1", "input": "late", "output": "Sorry."}],
            "model": "small-1",
        },
    )
    assert made.is_success, made.text
    version_id = made.json()["version"]["id"]
    with sdk.inference("sdk-serve", input="where?", user="u-1") as handle:
        messages = sdk.prompt(input="where?")
        assert handle.version is not None
        assert (handle.version.id, handle.arm) == (version_id, "stable")
    assert messages == [
        {"role": "system", "content": "Be kind.\n\nFollow these rules:\n- Be brief."},
        {"role": "user", "content": "late"},
        {"role": "assistant", "content": "Sorry."},
        {"role": "user", "content": "where?"},
    ]
    assert sdk.flush(30)
    (stored,) = admin.get("/v1/inferences", params={"feature": "sdk-serve"}).json()["items"]
    assert (stored["version_id"], stored["arm"]) == (version_id, "stable")
