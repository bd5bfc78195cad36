"""DELETE /v1/users/{id}: durable when answered, followed by its receipt, and the sender learns what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.store.erasing import person


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def client(fresh: Live) -> Iterator[httpx.Client]:
    with fresh.client() as opened:
        yield opened


def sent(client: httpx.Client, *events: Any) -> Any:
    return client.post("/v1/events", content=body(*events)).raise_for_status().json()


def test_a_person_is_erased_and_the_receipt_can_be_followed(fresh: Live, client: httpx.Client) -> None:
    sent(client, inference(), feedback(), inference(1, user_id="user-2"))
    fresh.engine.settle()
    asked = client.delete("/v1/users/user-1")
    assert asked.status_code == 202
    receipt = asked.json()
    assert receipt["person"] == person("default", "user-1")
    assert "user-1" not in asked.text
    assert client.get(f"/v1/erasures/{receipt['id']}").json() == receipt
    assert client.delete("/v1/users/user-1").json()["id"] == receipt["id"]
    fresh.engine.settle()
    done = client.get(f"/v1/erasures/{receipt['id']}").json()
    assert done["state"] == "done"
    assert done["removed"]["hot"]["inferences"] == 1
    assert client.get("/v1/erasures").json()["items"] == [done]
    assert [one["user_id"] for one in client.get("/v1/inferences").json()["items"]] == ["user-2"]
    assert client.get("/v1/feedback").json()["items"] == []


def test_what_comes_of_them_later_is_refused_by_name(fresh: Live, client: httpx.Client) -> None:
    sent(client, inference())
    client.delete("/v1/users/user-1")
    told = sent(client, inference(1, user_id="user-2"), inference(), feedback(5, inference_id=inference(1)["id"]))
    assert (told["accepted"], told["duplicates"]) == (1, 0)
    assert [(one["index"], one["code"]) for one in told["rejected"]] == [(1, "erased"), (2, "erased")]
    for path, event in (("/v1/inferences", inference(7)), ("/v1/feedback", feedback(7))):
        one = client.post(path, content=json.dumps({key: event[key] for key in event if key != "type"}))
        assert (one.status_code, one.json()["error"]["code"]) == (410, "erased")
    facts = client.put("/v1/users/user-1", json={"plan": "pro"})
    assert (facts.status_code, facts.json()["error"]["code"]) == (410, "erased")
    assert "user-1" not in facts.text
    assert client.get("/v1/users/user-1").status_code == 404
    assert 'trimtab_ingest_rejected_total{code="erased"} 4.0' in client.get("/metrics").text


def test_an_address_is_erased_under_its_pseudonym_and_stands_in_no_log(fresh: Live, client: httpx.Client) -> None:
    sent(client, inference(user_id="jane@example.com"))
    with structlog.testing.capture_logs() as lines:
        receipt = client.delete("/v1/users/jane%40example.com").json()
        fresh.engine.settle()
    assert client.get(f"/v1/erasures/{receipt['id']}").json()["removed"]["hot"]["inferences"] == 1
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/v1/users/{user_id}"]
    assert "jane" not in str(lines)


def test_a_small_erasure_is_done_within_the_answer(tmp_path: Path) -> None:
    with live(tmp_path, stages=True) as server, server.client() as client:
        now = server.engine.clock.now().isoformat()
        sent(client, inference(created_at=now))
        answer = client.delete("/v1/users/user-1")
        assert answer.status_code in (200, 202)
        found = server.engine.erasing.wait("default", answer.json()["id"], 60)
        assert found is not None
        assert found.state == "done"
        assert client.delete("/v1/users/user-1").json()["id"] != found.id


def test_an_erasure_nobody_asked_for_is_not_found(client: httpx.Client) -> None:
    missing = client.get("/v1/erasures/00000000-0000-7000-8000-000000000000")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert client.delete(f"/v1/users/{'u' * 300}").status_code == 400
