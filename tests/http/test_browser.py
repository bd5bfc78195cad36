"""What pages of other origins may do: load the script, send feedback with a public key, and leave."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.live import NOW, Live
from trimtab.ids import new_id
from trimtab.server.browser import BrowserDoor

PAGE = "https://app.example.com"


def feedback(**fields: Any) -> dict[str, Any]:
    told = {"inference_id": new_id(NOW), "kind": "accept", **fields}
    return {"type": "feedback", "id": new_id(NOW), "created_at": NOW.isoformat(), **told}


def inference() -> dict[str, Any]:
    return {"type": "inference", "id": new_id(NOW), "created_at": NOW.isoformat(), "feature": "f", "input": "i"}


def leave(server: Live, key: str, events: list[dict[str, Any]], path: str = "/v1/events") -> httpx.Response:
    """Send events as a closing page does."""
    headers = {"Content-Type": "text/plain", "Origin": PAGE}
    with server.client(None) as client:
        return client.post(path, params={"key": key}, content=json.dumps(events), headers=headers)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/feedback"])
def test_a_preflight_is_answered_without_a_key(server: Live, path: str) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    with server.client(None) as client:
        answer = client.options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "Origin"
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/v1/features", "/v1/keys", "/v1/inferences", "/v1/feedback/orphans"])
def test_no_other_route_is_opened_to_pages(server: Live, path: str) -> None:
    with server.client("admin") as client:
        asked = client.options(path, headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})
        read = client.get(path, headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in {*asked.headers, *read.headers}


def test_a_closing_page_leaves_its_feedback_under_its_public_key(server: Live) -> None:
    answer = leave(server, server.keys["public"], [feedback(), feedback()])
    assert answer.json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("kind", ["ingest", "read", "admin"])
def test_no_other_key_is_looked_for_in_an_address(server: Live, kind: str) -> None:
    answer = leave(server, server.keys[kind], [feedback()])
    assert answer.status_code == 401
    assert "access-control-allow-origin" in answer.headers


def test_a_key_in_the_address_opens_nothing_else(server: Live) -> None:
    with server.client(None) as client:
        assert client.get("/v1/features", params={"key": server.keys["public"]}).status_code == 401


def test_a_public_key_sends_feedback_alone(server: Live) -> None:
    receipt = leave(server, server.keys["public"], [inference(), feedback()]).json()
    assert receipt["accepted"] == 1
    assert [(one["index"], one["code"], one["param"]) for one in receipt["rejected"]] == [(0, "forbidden_key", "type")]


def test_a_public_key_brings_no_feature_with_it(server: Live, admin: httpx.Client) -> None:
    receipt = leave(server, server.keys["public"], [feedback(feature="made-up-by-a-page")]).json()
    assert receipt["rejected"][0]["code"] == "unknown_feature"
    assert "made-up-by-a-page" not in [one["name"] for one in admin.get("/v1/features").json()["items"]]


def test_a_person_whose_clock_is_ahead_is_heard_in_the_right_order(server: Live, admin: httpx.Client) -> None:
    answer = new_id(NOW)
    first, second = NOW + timedelta(minutes=59), NOW + timedelta(hours=1)
    votes = [
        feedback(inference_id=answer, kind="thumb", value=1, created_at=first.isoformat()),
        feedback(inference_id=answer, kind="thumb", value=0, created_at=second.isoformat()),
    ]
    assert leave(server, server.keys["public"], votes).json()["accepted"] == 2
    items = admin.get("/v1/feedback", params={"limit": 200}).json()["items"]
    when = {item["value"]: item["created_at"] for item in items if item["inference_id"] == answer}
    assert {value: datetime.fromisoformat(time) for value, time in when.items()} == {
        0: NOW,
        1: NOW - timedelta(minutes=1),
    }


async def served(script: bytes | None, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask a door with this script for it, without a server."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> Any:
        raise AssertionError("the application was asked")

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {"type": "http", "path": "/sdk.js", "method": method, "headers": named, "query_string": b""}
    await BrowserDoor(nothing, script, nothing)(scope, nothing, send)
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], got, sent[1]["body"]


@pytest.mark.anyio
async def test_the_script_is_served_to_every_origin_and_once_only() -> None:
    status, headers, body = await served(b"let x")
    assert (status, body) == (200, b"let x")
    assert headers["content-type"].startswith("text/javascript")
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    again, _, nothing = await served(b"let x", if_none_match=headers["etag"])
    assert (again, nothing) == (304, b"")
    assert (await served(b"let y"))[1]["etag"] != headers["etag"]


@pytest.mark.anyio
async def test_a_script_that_was_not_built_says_how_to_get_it() -> None:
    status, _, body = await served(None)
    assert status == 404
    assert b"Install Node.js" in body
