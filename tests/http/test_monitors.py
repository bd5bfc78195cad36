"""Watches over HTTP: declared, heard, replayed, silenced, ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import body, inference
from tests.live import NOW, live
from trimtab.clock import SetClock

SLOW = {"metric": "latency", "limit": 1000, "reference_rate": 0.05, "min_users": 1, "group_by": ["version"]}


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def client(tmp_path: Path, clock: SetClock) -> Iterator[httpx.Client]:
    with live(tmp_path, clock=clock) as server, server.client("admin") as opened:
        yield opened


def answers(client: httpx.Client, clock: SetClock, name: str, count: int, latency_ms: float) -> None:
    events: list[dict[str, Any]] = []
    for place in range(count):
        at = (clock.now() - timedelta(seconds=count - place)).isoformat()
        events.append(inference(f"{name}-{place}", latency_ms=latency_ms, version_id="v1", created_at=at))
    client.post("/v1/events", content=body(*events)).raise_for_status()
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


def test_watch_is_declared_hears_and_opens_an_incident(client: httpx.Client, clock: SetClock) -> None:
    answers(client, clock, "before", 5, 100)
    shown = client.put("/v1/monitors/slow", json=SLOW).raise_for_status().json()
    assert (shown["declared"], shown["spec"]["limit"], shown["groups"]) == ("api", 1000, [])
    clock.advance(timedelta(minutes=1))
    client.post("/v1/tick")
    clock.advance(timedelta(minutes=1))
    answers(client, clock, "slow", 40, 5000)
    [group] = client.get("/v1/monitors/slow").json()["groups"]
    assert (group["state"], group["heard"], group["rate"]) == ("firing", 40, 1.0)
    [incident] = client.get("/v1/incidents").json()["items"]
    assert (incident["id"], incident["rule"], incident["metric"]) == (group["incident_id"], "slow", "latency")


def test_replay_says_what_would_have_been_found_and_declares_nothing(client: httpx.Client, clock: SetClock) -> None:
    answers(client, clock, "good", 200, 100)
    clock.advance(timedelta(hours=1))
    answers(client, clock, "slow", 60, 5000)
    found = client.post("/v1/monitors/replay", json={"spec": SLOW}).raise_for_status().json()
    assert (found["rows"], found["samples"], found["groups"], found["complete"]) == (260, 260, 1, True)
    assert [each["metric"] for each in found["incidents"]] == ["latency"]
    assert client.get("/v1/monitors").json()["items"] == []
    assert client.get("/v1/incidents").json()["items"] == []


def test_silence_is_listed_and_ended(client: httpx.Client, clock: SetClock) -> None:
    client.put("/v1/monitors/slow", json=SLOW).raise_for_status()
    silence = client.post(
        "/v1/monitors/slow/silence", json={"hours": 2, "reason": "known: ask jane.doe@example.com"}
    ).raise_for_status()
    assert silence.status_code == 201
    assert "jane.doe" not in silence.json()["reason"]
    assert client.get("/v1/monitors/slow").json()["silenced_until"] is not None
    [listed] = client.get("/v1/silences").json()["items"]
    client.delete(f"/v1/silences/{listed['id']}").raise_for_status()
    assert client.get("/v1/silences").json()["items"] == []


def test_ended_watch_is_gone(client: httpx.Client) -> None:
    client.put("/v1/monitors/slow", json=SLOW).raise_for_status()
    assert client.delete("/v1/monitors/slow").json()["items"] == []
    assert client.get("/v1/monitors/slow").status_code == 404


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"metric": "latency"}, "limit"),
        ({"metric": "mood"}, "metric"),
        ({"kind": "threshold"}, "above"),
        ({"metric": "error", "group_by": ["plan"]}, "group_by"),
        ({"reference_rate": 2}, "reference_rate"),
    ],
)
def test_watch_that_cannot_be_is_refused_with_what_could(client: httpx.Client, spec: dict[str, Any], word: str) -> None:
    answer = client.put("/v1/monitors/odd", json=spec)
    assert answer.status_code == 400
    assert word in answer.text


def test_names_of_the_built_in_watches_are_taken(client: httpx.Client) -> None:
    assert client.put("/v1/monitors/votes", json=SLOW).status_code == 400
