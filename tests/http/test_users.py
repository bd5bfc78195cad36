"""What is known of people and conversations: users and their groups, sessions turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def client(fresh: Live) -> Iterator[httpx.Client]:
    with fresh.client() as opened:
        yield opened


def sent(server: Live, client: httpx.Client, *events: Any) -> None:
    client.post("/v1/events", content=body(*events)).raise_for_status()
    server.engine.settle()


def test_a_user_s_groups_reach_outcomes_old_and_new(fresh: Live, client: httpx.Client) -> None:
    told = {"plan": "pro", "properties": {"team": "blue"}}
    sent(fresh, client, inference(), feedback())
    shown = client.put("/v1/users/user-1", json=told)
    assert {key: shown.json()[key] for key in ("id", "plan", "properties")} == {"id": "user-1", **told}
    sent(fresh, client, inference(1), feedback(1), inference(2, profile={"plan": "free"}), feedback(2))
    found = client.get("/v1/outcomes").json()["items"]
    by_id = {outcome["inference_id"]: outcome.get("segments") for outcome in found}
    assert [by_id[inference(place)["id"]] for place in range(3)] == [{"plan": "pro"}, {"plan": "pro"}, {"plan": "free"}]
    groups = client.get("/v1/features/support/segments").json()["items"]
    assert groups == [{"key": "plan", "values": ["free", "pro"], "overflow": False}]
    assert client.get("/v1/users/user-1").json() == shown.json()


def test_a_user_is_known_by_a_pseudonym_where_the_id_is_an_address(client: httpx.Client) -> None:
    shown = client.put("/v1/users/jane%40example.com", json={"tenant": "acme", "properties": {"mail": "j@example.com"}})
    assert shown.json()["id"].startswith("<EMAIL:")
    assert "example.com" not in shown.text
    assert client.get("/v1/users/jane%40example.com").json() == shown.json()


def test_a_user_nobody_spoke_of_is_not_found_and_odd_facts_are_refused(client: httpx.Client) -> None:
    missing = client.get("/v1/users/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    for facts, param in (({"plan": ""}, "plan"), ({"age": 3}, "age"), ({"properties": {"a b": "c"}}, "properties")):
        refused = client.put("/v1/users/u", json=facts)
        assert refused.status_code == 400, refused.text
        assert param in refused.text
    assert client.put(f"/v1/users/{'u' * 257}", json={}).status_code == 400


def test_a_session_is_shown_turn_by_turn(fresh: Live, client: httpx.Client) -> None:
    talk = [inference(place, session_id="s 1", created_at=f"2026-03-01T11:0{place}:00Z") for place in range(3)]
    word = feedback(9, inference_id=None, session_id="s 1", created_at="2026-03-01T11:01:30Z")
    sent(fresh, client, talk[2], word, talk[0], talk[1])
    turns = client.get("/v1/sessions/s%201").json()["items"]
    assert [turn["inference"]["id"] for turn in turns] == [each["id"] for each in talk]
    assert [[said["id"] for said in turn["feedback"]] for turn in turns] == [[], [word["id"]], []]
    assert turns[1]["outcome"]["vote"] == 1.0
    assert client.get("/v1/sessions/other").status_code == 404
