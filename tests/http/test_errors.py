"""One shape for every error, on every route and before any route."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.intake import body, feedback, inference
from tests.live import Live, live
from trimtab import errors
from trimtab.config import Server, Settings
from trimtab.server.app import ROUTES
from trimtab.server.contract import Contract
from trimtab.server.problems import CODES, Problem

DOC = Path(__file__).parents[2] / "docs" / "http-api.md"
SAMPLE = {
    "feature": "no-such",
    "key_id": "x",
    "incident_id": "x",
    "change_id": "x",
    "feedback_id": "x",
    "run_id": "x",
    "monitor": "no-such",
    "silence_id": "x",
    "delivery_id": "x",
    "item_id": "01920000-0000-7000-8000-000000000000",
    "job_id": "x",
    "link_id": "x",
    "rule_id": "x",
    "patch_id": "x",
    "topic_id": "x",
    "inference_id": "x",
    "user_id": "nobody",
    "session_id": "none",
    "dataset_id": "x",
    "name": "train.jsonl",
    "erasure_id": "x",
    "answer_id": "x",
    "case_id": "x",
}
ROUTE_METHODS = [(method, path) for route in ROUTES for path in route.paths for method in route.http_methods]


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+):str\}", lambda found: SAMPLE[found[1]], path)


def told(answer: httpx.Response, status: int, code: str) -> str:
    """Assert that the answer is an error of our one shape, and return its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    problem = msgspec.json.decode(answer.content, type=Problem, strict=True)
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "param", "doc"}
    assert problem.error.code == code
    assert problem.error.doc == f"docs/http-api.md#{code}"
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Traceback" not in answer.text
    assert "/src/" not in answer.text
    return problem.error.message


@pytest.mark.parametrize(("method", "path"), ROUTE_METHODS)
def test_every_route_answers_a_missing_key_in_one_shape(server: Live, method: str, path: str) -> None:
    promised = next(r.opt["contract"] for r in ROUTES if path in r.paths and method in r.http_methods)
    keyless = not promised.keys and not promised.guest
    with server.client(None) as client:
        answer = client.request(method, concrete(path))
    if keyless:
        assert answer.status_code == 200
    else:
        assert "Authorization: Bearer" in told(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", sorted({path for _, path in ROUTE_METHODS}))
def test_every_route_answers_a_wrong_method_in_one_shape(admin: httpx.Client, path: str) -> None:
    answer = admin.request("PATCH", concrete(path))
    assert "methods" in told(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pair
        for pair in ROUTE_METHODS
        # A person nobody has heard of is erased beforehand.
        if "{" in pair[1] and pair[0] in ("GET", "POST", "DELETE") and pair != ("DELETE", "/v1/users/{user_id:str}")
    ],
)
def test_every_route_answers_an_unknown_id_in_one_shape(admin: httpx.Client, method: str, path: str) -> None:
    sent = b'{"input": "a", "expected": "b"}' if path.endswith("cases") else b"{}"
    if path.endswith("/rules"):
        sent = b'{"text": "Name the price with it."}'
    if path.endswith("/links"):
        sent = b'{"reviewer": "a"}'
    elif "/review/" in path:
        sent = b'{"verdict": "good", "reviewer": "a"}'
    if path.endswith("/ruling"):
        sent = b'{"ruling": "good"}'
    asked = {"metric": "negative_rate"} if path.endswith("series") else {}
    told(admin.request(method, concrete(path), content=sent, params=asked), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (m, p)
        for m, p in ROUTE_METHODS
        for r in ROUTES
        if p in r.paths and m in r.http_methods and r.opt["contract"].body and r.opt["contract"].keys
    ],
)
@pytest.mark.parametrize("sent", [b"{", b"nope", b'{"a', b"\xff\xfe{}"])
def test_every_body_that_is_not_json_is_refused_in_one_shape(
    admin: httpx.Client, method: str, path: str, sent: bytes
) -> None:
    told(admin.request(method, concrete(path), content=sent), 400, "malformed_body")


@pytest.mark.parametrize("route", [r for r in ROUTES if r.opt["contract"].query], ids=lambda r: r.fn.__name__)
@pytest.mark.parametrize(
    "query",
    ["zap=1", "since=yesterday", "since=2026-01-01T00:00:00", "limit=0", "limit=-1", "limit=1001", "limit=x",
     "after=x", "order=random", "feature=two%20words", "since=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z"],
)  # fmt: skip
def test_every_list_refuses_a_query_it_does_not_understand(admin: httpx.Client, route: Any, query: str) -> None:
    (path,) = route.paths
    (method,) = route.http_methods
    answer = admin.request(method, f"{concrete(path)}?{query}")
    told(answer, 400, "invalid_field")
    assert answer.json()["error"]["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/events", "/v1/features/a/b/rollout", "/v1/events/..%2f", "/%00", "/\u00e9"]
)
def test_an_unknown_path_is_refused_in_one_shape(admin: httpx.Client, path: str) -> None:
    told(admin.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "sent", "param", "words"),
    [
        ("/v1/feedback", feedback(1, value=3), None, "expected value 1 or 0"),
        ("/v1/feedback", feedback(1, kind="wow"), "kind", "got 'wow'"),
        ("/v1/inferences", inference(1, inptu="x"), "inptu", "did you mean 'input'?"),
        ("/v1/inferences", inference(1, feature=7), "feature", "expected `str`, got `int`"),
        ("/v1/keys", {"kind": "root"}, "kind", "got 'root'"),
        ("/v1/keys", {"kind": "read", "colour": 1}, "colour", "known fields are kind, label"),
        ("/v1/clock", {"now": "soon"}, "now", "expected a time with its zone"),
        ("/v1/clock", {"now": "2001-01-01T00:00:00Z"}, "now", "expected a time at or after"),
        ("/v1/features/support/cases", {"input": 3, "expected": "x"}, "input", "got `int`"),
        ("/v1/features/support/cases", {"input": "a", "expected": "(", "check": "regex"}, "expected", "regular"),
        (
            "/v1/features/support/versions",
            {"messages": [{"role": "robot", "content": ""}]},
            "messages[0].role",
            "robot",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    admin: httpx.Client, path: str, sent: dict[str, Any], param: str | None, words: str
) -> None:
    admin.put("/v1/features/support").raise_for_status()
    answer = admin.request("PUT" if path == "/v1/clock" else "POST", path, json=sent)
    assert words in told(answer, 400, "invalid_field")
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (inference(1, created_at="2027-01-01T00:00:00Z"), "time_in_future"),
        (inference(1, created_at="2001-01-01T00:00:00Z"), "time_too_old"),
    ],
)
def test_a_time_that_makes_no_sense_has_its_own_code(admin: httpx.Client, sent: dict[str, Any], code: str) -> None:
    told(admin.post("/v1/inferences", json=sent), 400, code)


def test_a_public_key_brings_no_new_feature(server: Live) -> None:
    with server.client("public") as client:
        answer = client.post("/v1/feedback", json=feedback(1, feature="invented"))
    assert "PUT /v1/features/invented" in told(answer, 400, "unknown_feature")


def test_a_body_over_its_size_is_refused_however_it_is_sent(tmp_path: Path) -> None:
    settings = Settings(server=Server(body_bytes=2048))
    with live(tmp_path, settings) as small, small.client() as client:
        plain = body(*(inference(n) for n in range(20)))
        told(client.post("/v1/events", content=plain), 413, "body_too_large")
        told(client.post("/v1/events", content=iter([plain[:1000], plain[1000:]])), 413, "body_too_large")
        packed = gzip.compress(plain)
        assert len(packed) < 2048
        answer = client.post("/v1/events", content=packed, headers={"content-encoding": "gzip"})
        assert "at most 2048 bytes" in told(answer, 413, "body_too_large")
        told(client.put("/v1/features/support", content=plain), 413, "body_too_large")
        assert small.engine.store.inferences_after(0, 10) == []


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (b"not gzip", {"content-encoding": "gzip"}),
        (gzip.compress(body(inference(1)), mtime=0)[:-5], {"content-encoding": "gzip"}),
        (b"[]", {"content-encoding": "br"}),
        (b"<a/>", {"content-type": "application/xml"}),
    ],
)
def test_an_encoding_that_does_not_hold_is_refused(admin: httpx.Client, sent: bytes, headers: dict[str, str]) -> None:
    answer = admin.post("/v1/events", content=sent, headers=headers)
    told(answer, 400, "malformed_body")
    assert answer.json()["error"]["param"] == next(iter(headers))


def test_when_the_store_is_gone_clients_are_told_to_come_back(tmp_path: Path) -> None:
    with live(tmp_path) as running, running.client() as client:
        client.post("/v1/events", content=b"[]").raise_for_status()
        running.engine.store.close()
        when = running.engine.clock.now().isoformat()
        answer = client.post("/v1/events", content=body(inference(1, created_at=when)))
        told(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        told(client.get("/v1/features"), 503, "unavailable")
        told(client.get("/readyz"), 503, "unavailable")
        assert client.get("/healthz").status_code == 200


def test_an_unforeseen_error_shows_nothing_of_the_inside(
    server: Live, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret words of a user")

    monkeypatch.setattr(server.engine.store, "features", fail)
    answer = admin.get("/v1/features")
    assert "secret words" not in told(answer, 500, "internal")


def test_every_code_is_explained_in_the_docs() -> None:
    leaves = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TrimtabError)
    ]
    told_over_http = {kind.code for kind in leaves} - {"unreadable_file", "invalid_config", "missing_extra"}
    headings = set(re.findall(r"^### `(\w+)`", DOC.read_text("utf-8"), re.MULTILINE))
    assert headings == told_over_http | set(CODES.values())


def test_every_route_has_a_contract() -> None:
    assert all(isinstance(route.opt.get("contract"), Contract) for route in ROUTES)


def test_a_request_id_is_taken_over_only_when_it_is_harmless(admin: httpx.Client) -> None:
    assert admin.get("/healthz", headers={"x-request-id": "trace-7"}).headers["x-request-id"] == "trace-7"
    assert admin.get("/healthz", headers={"x-request-id": "a b<script>"}).headers["x-request-id"] != "a b<script>"


def test_a_rejected_event_is_named_by_its_index_with_code_and_field(admin: httpx.Client) -> None:
    answer = admin.post("/v1/events", content=json.dumps([inference("i"), {"type": "inference"}]))
    assert answer.status_code == 200
    (rejection,) = answer.json()["rejected"]
    assert (rejection["index"], rejection["code"], rejection["param"]) == (1, "invalid_field", "id")
