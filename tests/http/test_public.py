"""What an origin, a limit and a token allow, over a real connection."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.live import NOW, Live, live
from tests.serving import ServerProcess
from trimtab.client import Client
from trimtab.clock import SetClock
from trimtab.config import Limits, Settings
from trimtab.ids import derived_id, new_id

PAGE, ELSEWHERE = "https://app.example", "https://evil.example"
ANSWER, OTHER = derived_id("inference", "one"), derived_id("inference", "other")


def vote(**fields: Any) -> dict[str, Any]:
    told = {"inference_id": ANSWER, "kind": "thumb", "value": 0, **fields}
    return {"type": "feedback", "id": new_id(NOW), "created_at": NOW.isoformat(), **told}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Live]:
    """A server whose keys were made for no page."""
    with live(
        tmp_path, clock=SetClock(NOW), pages=lambda kind: ["https://nowhere.example"] if kind == "public" else []
    ) as server:
        yield server


def made(server: Live, kind: str, *origins: str) -> dict[str, Any]:
    with server.client("admin") as admin:
        answer = admin.post("/v1/keys", json={"kind": kind, "origins": list(origins)})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def send(server: Live, secret: str, *events: dict[str, Any], origin: str | None = PAGE, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}", **({"Origin": origin} if origin else {})}
    return httpx.post(f"{server.url}/v1/events", json=list(events), headers=headers, trust_env=False, **more)


def leave(server: Live, secret: str, *events: dict[str, Any], origin: str = PAGE) -> httpx.Response:
    """Send as a closing page does: plain text, the key in the address."""
    headers = {"Content-Type": "text/plain", "Origin": origin}
    address = f"{server.url}/v1/events"
    return httpx.post(address, params={"key": secret}, content=json.dumps(events), headers=headers, trust_env=False)


def preflight(server: Live, origin: str, path: str = "/v1/events") -> str | None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{server.url}{path}", headers=asked, trust_env=False)
    assert answer.status_code == 204
    allowed: str | None = answer.headers.get("access-control-allow-origin")
    return allowed


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# ---------------------------------------------------------------- origins


def test_a_public_key_works_on_its_own_pages_and_no_other(fresh: Live) -> None:
    key = made(fresh, "public", PAGE)["key"]
    answer = send(fresh, key, vote())
    assert answer.json()["accepted"] == 1
    assert answer.headers["access-control-allow-origin"] == PAGE
    for origin in (ELSEWHERE, "null", "http://app.example", "https://app.example:8443", "https://app.example.evil"):
        for refused in (send(fresh, key, vote(), origin=origin), leave(fresh, key, vote(), origin=origin)):
            assert code(refused) == (403, "forbidden_origin")
            assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("source", ["reviewer", "judge"])
def test_a_page_cannot_speak_as_a_reviewer(fresh: Live, source: str) -> None:
    key = made(fresh, "public", PAGE)["key"]
    told = send(fresh, key, vote(), vote(source=source)).json()
    assert (told["accepted"], [item["code"] for item in told["rejected"]]) == (1, ["forbidden_key"])


def test_what_is_no_browser_says_no_origin_and_is_let_in(fresh: Live) -> None:
    key = made(fresh, "public", PAGE)["key"]
    answer = send(fresh, key, vote(), origin=None)
    assert answer.json()["accepted"] == 1
    assert "access-control-allow-origin" not in answer.headers


def test_preflights_are_answered_for_the_origins_of_any_live_key(fresh: Live) -> None:
    assert preflight(fresh, PAGE) is None
    key = made(fresh, "public", PAGE)
    assert preflight(fresh, PAGE) == PAGE
    assert preflight(fresh, PAGE, "/v1/feedback") == PAGE
    assert preflight(fresh, ELSEWHERE) is None
    with fresh.client("admin") as admin:
        admin.delete(f"/v1/keys/{key['id']}").raise_for_status()
    assert preflight(fresh, PAGE) is None


def test_a_refusal_can_be_read_by_a_page_of_another_key(fresh: Live) -> None:
    key = made(fresh, "public", PAGE)["key"]
    made(fresh, "public", ELSEWHERE)
    answer = send(fresh, key, vote(), origin=ELSEWHERE)
    assert code(answer) == (403, "forbidden_origin")
    assert answer.headers["access-control-allow-origin"] == ELSEWHERE


def test_every_page_may_use_a_key_only_when_that_was_said(fresh: Live) -> None:
    with fresh.client("admin") as admin:
        answer = admin.post("/v1/keys", json={"kind": "public"})
    assert (code(answer), answer.json()["error"]["param"]) == ((400, "invalid_field"), "origins")
    key = made(fresh, "public", "*")["key"]
    assert send(fresh, key, vote(), origin=ELSEWHERE).json()["accepted"] == 1
    assert send(fresh, key, vote(), origin="null").json()["accepted"] == 1


def test_origins_are_kept_as_browsers_write_them(fresh: Live) -> None:
    key = made(fresh, "public", "HTTPS://App.Example:443/", "http://localhost:3000", "https://app.example")
    assert key["origins"] == [PAGE, "http://localhost:3000"]
    with fresh.client("admin") as admin:
        listed = admin.get("/v1/keys").json()["items"]
    assert [item["origins"] for item in listed if item["id"] == key["id"]] == [key["origins"]]


@pytest.mark.parametrize(
    "origin",
    ["app.example", "https://app.example/path", "https://*.app.example", "null", "", "https://u@app.example",
     "https://app.example:port", "https://", "https://app.example?x", "https://b\u00fccher.example"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(fresh: Live, origin: str) -> None:
    with fresh.client("admin") as admin:
        answer = admin.post("/v1/keys", json={"kind": "public", "origins": [origin]})
    assert (code(answer), answer.json()["error"]["param"]) == ((400, "invalid_field"), "origins")


# ---------------------------------------------------------------- limits


def limited(folder: Path, **limits: float) -> Any:
    told = msgspec.convert(limits, Limits)
    return live(folder, Settings(limits=told), clock=SetClock(NOW))


def test_a_sender_over_its_limit_is_told_when_to_come_back(tmp_path: Path) -> None:
    with limited(tmp_path, address_events_per_s=0.01, address_burst=3) as server:
        assert send(server, server.keys["public"], vote(), vote(), vote()).json()["accepted"] == 3
        answer = send(server, server.keys["public"], vote())
        assert code(answer) == (429, "rate_limited")
        assert 0 < int(answer.headers["retry-after"]) <= 100
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert send(server, server.keys["ingest"], vote()).json()["accepted"] == 1


def test_who_claims_another_address_is_counted_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    spoofed = ServerProcess(
        folder, {"TRIMTAB_LIMITS__ADDRESS_EVENTS_PER_S": "0.01", "TRIMTAB_LIMITS__ADDRESS_BURST": "2"}
    )
    spoofed.start()
    try:
        statuses = []
        for last in range(3):
            headers = {**spoofed.headers("public"), "X-Forwarded-For": f"203.0.113.{last}"}
            statuses.append(httpx.post(f"{spoofed.url}/v1/events", content=b"[]", headers=headers).status_code)
    finally:
        spoofed.stop()
    assert statuses == [200, 200, 429]


def test_an_ingest_key_has_a_quota_where_one_is_set(tmp_path: Path) -> None:
    with limited(tmp_path, ingest_events_per_s=0.01, ingest_burst=1) as server, server.client("ingest") as client:
        assert client.post("/v1/feedback", json=vote()).status_code == 200
        assert code(client.post("/v1/feedback", json=vote())) == (429, "rate_limited")
        spans = client.post("/v1/traces", json={"resourceSpans": []})
        assert (spans.status_code, spans.json()["error"]["code"]) == (429, "rate_limited")
        assert client.get("/v1/features").status_code == 200


# ---------------------------------------------------------------- tokens


def token(server: Live, secret: str, answer: str = ANSWER, *, at: datetime = NOW, **told: Any) -> str:
    with Client(server.url, secret, spool_bytes=0, strict=True, clock=lambda: at) as client:
        return client.feedback_token(answer, **told)


@pytest.fixture
def signer(fresh: Live) -> dict[str, Any]:
    return made(fresh, "ingest", PAGE)


def test_a_token_sends_feedback_on_its_answer_both_ways(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"])
    assert preflight(fresh, PAGE) == PAGE
    assert send(fresh, shown, vote()).json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert leave(fresh, shown, vote()).json()["accepted"] == 1
    headers = {"Authorization": f"Bearer {shown}", "Origin": PAGE}
    assert httpx.post(f"{fresh.url}/v1/feedback", json=vote(), headers=headers).json()["accepted"] == 1


def test_a_token_sends_nothing_else(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"])
    trace = {"inference_id": None, "trace_id": "a" * 32}
    events = [vote(inference_id=OTHER), vote(**trace), {"type": "inference", "id": ANSWER, "feature": "f",
              "created_at": NOW.isoformat(), "input": "i"}, vote(feature="made-up")]  # fmt: skip
    receipt = send(fresh, shown, *events).json()
    assert receipt["accepted"] == 0
    assert [(one["index"], one["code"], one["param"]) for one in receipt["rejected"]] == [
        (0, "forbidden_key", "inference_id"),
        (1, "forbidden_key", "inference_id"),
        (2, "forbidden_key", "type"),
        (3, "unknown_feature", "feature"),
    ]
    headers = {"Authorization": f"Bearer {shown}"}
    refused = httpx.post(f"{fresh.url}/v1/feedback", json=vote(inference_id=OTHER), headers=headers)
    assert code(refused) == (403, "forbidden_key")
    for path in ("/v1/features", "/v1/inferences", "/v1/keys"):
        assert code(httpx.get(f"{fresh.url}{path}", headers=headers)) == (403, "forbidden_key")


def test_a_token_says_who_speaks(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"], user="u-17")
    assert send(fresh, shown, vote(user_id="someone-else")).json()["accepted"] == 1
    (row,) = fresh.engine.store.feedback_after(0, 10)
    assert row.record.user_id == "u-17"


def test_a_token_is_bound_to_the_pages_of_its_key(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"])
    assert code(send(fresh, shown, vote(), origin=ELSEWHERE)) == (403, "forbidden_origin")
    assert send(fresh, shown, vote(), origin=None).json()["accepted"] == 1


def test_a_token_ends_when_it_said_it_would(fresh: Live, signer: dict[str, Any]) -> None:
    assert send(fresh, token(fresh, signer["key"], ttl_s=1), vote()).status_code == 200
    answer = send(fresh, token(fresh, signer["key"], ttl_s=0), vote())
    assert code(answer) == (401, "unauthorized")
    assert "expired" in answer.json()["error"]["message"]


def test_a_token_ends_with_its_key(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"])
    assert send(fresh, shown, vote()).status_code == 200
    with fresh.client("admin") as admin:
        admin.delete(f"/v1/keys/{signer['id']}").raise_for_status()
    assert code(send(fresh, shown, vote())) == (401, "unauthorized")


@pytest.mark.parametrize("kind", ["read", "public"])
def test_only_a_key_that_may_send_for_the_app_signs(fresh: Live, kind: str) -> None:
    assert code(send(fresh, token(fresh, fresh.keys[kind]), vote(), origin=None)) == (401, "unauthorized")


def forged(shown: str, **changes: Any) -> str:
    """Return the token with other claims under the signature it had."""
    body, _, signature = shown.removeprefix("tt_token_").partition(".")
    claims = {**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), **changes}
    changed = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"tt_token_{changed}.{signature}"


def test_a_forged_or_damaged_token_opens_nothing(fresh: Live, signer: dict[str, Any]) -> None:
    shown = token(fresh, signer["key"])
    assert forged(shown) == shown
    other = token(fresh, made(fresh, "ingest", PAGE)["key"])
    body, _, signature = shown.partition(".")
    wrong = [
        forged(shown, i=OTHER), forged(shown, e=4_000_000_000), forged(shown, u="u-1"), forged(shown, k="A" * 12),
        forged(shown, k=None), body, f"{body}.", f"{body}.{other.partition('.')[2]}", f"tt_token_.{signature}",
        "tt_token_", shown + "A", f"tt_token_{'A' * 3000}", f"{body}.\u00e9",
    ]  # fmt: skip
    wrong += [shown[:length] for length in range(10, len(shown), 7)]
    with httpx.Client(base_url=fresh.url, trust_env=False) as client:
        for each in wrong:
            headers = {b"Authorization": f"Bearer {each}".encode()}
            answer = client.post("/v1/events", json=[vote(inference_id=OTHER)], headers=headers)
            assert code(answer) == (401, "unauthorized"), each
    assert fresh.engine.store.feedback_after(0, 10) == []


def test_a_token_counts_against_the_limits_of_pages(tmp_path: Path) -> None:
    with limited(tmp_path, address_events_per_s=0.01, address_burst=1) as server:
        shown = token(server, server.keys["ingest"])
        assert send(server, shown, vote()).status_code == 200
        assert code(send(server, shown, vote())) == (429, "rate_limited")


def test_a_client_that_cannot_sign_says_so_and_goes_on(fresh: Live) -> None:
    with Client("http://127.0.0.1:9", "", spool_bytes=0) as client:
        assert client.feedback_token(ANSWER) == ""
    with pytest.raises(ValueError, match="a UUID"):
        token(fresh, fresh.keys["ingest"], "answer-7")
