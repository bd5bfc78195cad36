"""Redaction settings over HTTP: set, explained, tried without a trace, followed by what comes in and what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.ids import new_id

MEMBER = {"name": "member", "pattern": r"MB-\d{6}"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as server:
        yield server


@pytest.fixture
def api(running: Live) -> Iterator[httpx.Client]:
    with running.client("admin") as client:
        yield client


def send(api: httpx.Client, text: str) -> str:
    event = {"type": "inference", "id": new_id(NOW), "feature": "answer", "created_at": NOW.isoformat(), "input": text}
    assert api.post("/v1/events", json=[event]).json()["accepted"] == 1
    return str(event["id"])


def inputs(api: httpx.Client) -> list[str]:
    return [item["input"] for item in reversed(api.get("/v1/inferences").json()["items"])]


def test_installations_policy_holds_until_settings_are_made(api: httpx.Client) -> None:
    told = api.get("/v1/settings/redaction").json()
    assert (told["settings"], told["mode"], told["problem"]) == (None, "strict", None)
    assert told["rules"] == told["stored_rules"]
    assert told["rules"].startswith("strict-")
    assert api.get("/v1/settings/redaction/revisions").json()["items"] == []


def test_settings_count_from_the_next_event_and_every_revision_stays(api: httpx.Client, running: Live) -> None:
    send(api, "MB-123456")
    answer = api.put("/v1/settings/redaction", json={"extra": [MEMBER], "disabled": ["IP"]})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["settings"]["revision"] == 1
    assert told["settings"]["updated_by"] is not None
    assert told["rules"].startswith("r1-")
    send(api, "MB-123456 at 203.0.113.7")
    assert inputs(api) == ["MB-123456", "<CUSTOM> at 203.0.113.7"]
    assert (
        api.put("/v1/settings/redaction", json={"extra": [MEMBER], "disabled": ["IP", "IP"]}).json()["settings"]
        == told["settings"]
    )
    assert api.put("/v1/settings/redaction", json={}).json()["settings"]["revision"] == 2
    revisions = api.get("/v1/settings/redaction/revisions").json()["items"]
    assert [(item["revision"], item.get("extra")) for item in revisions] == [(1, [MEMBER]), (2, None)]
    assert running.engine.redactor.of("default").policy.name == "r2"


def test_settings_decided_on_an_older_revision_are_refused(api: httpx.Client) -> None:
    assert api.put("/v1/settings/redaction", json={"mode": "lenient", "revision": 0}).status_code == 200
    answer = api.put("/v1/settings/redaction", json={"mode": "strict", "revision": 0})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert api.get("/v1/settings/redaction").json()["mode"] == "lenient"


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({"extra": [{"name": "bad", "pattern": "(a?){40}"}]}, "extra", "(a?){40}"),
        ({"allow": ["a+"]}, "allow", "bounded repeats"),
        ({"extra": [{"name": "bad", "pattern": "("}]}, "extra", "regular expression"),
        ({"disabled": ["SHOE_SIZE"]}, "disabled", "SHOE_SIZE"),
        ({"allow": ["x" * 201]}, "allow[0]", "200"),
        ({"extra": [{"name": "a", "pattern": f"x{place}"} for place in range(33)]}, "extra", "32"),
        ({"mode": "loose"}, "mode", "lenient"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name_and_change_nothing(
    api: httpx.Client, body: dict[str, Any], param: str, told: str
) -> None:
    for answer in (
        api.put("/v1/settings/redaction", json=body),
        api.post("/v1/settings/redaction/try", json={"text": "x", "policy": body}),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "invalid_field")
        assert error["param"].endswith(param)
        assert told in error["message"]
    assert api.get("/v1/settings/redaction").json()["settings"] is None


def test_stored_rows_follow_and_say_which_rules_they_went_through(api: httpx.Client, running: Live) -> None:
    for place in range(5):
        send(api, f"MB-12345{place}")
    api.put("/v1/settings/redaction", json={"extra": [MEMBER]})
    before = api.get("/v1/settings/redaction/rows").json()["items"]
    assert [(item["revision"], item["enough"], item["inferences"]) for item in before] == [(None, False, 5)]
    assert not api.get("/v1/settings/redaction").json()["rescan"][0]["done"]
    running.engine.settle()
    assert inputs(api) == ["<CUSTOM>"] * 5
    told = api.get("/v1/settings/redaction").json()
    after = api.get("/v1/settings/redaction/rows").json()["items"]
    assert after == [{"rules": told["rules"], "revision": 1, "enough": True, "inferences": 5, "feedback": 0}]
    assert told["rescan"][0] == {"kind": "inferences", "seq": 5, "last": 5, "rewritten": 5, "done": True}
    metrics = api.get("/metrics").text
    assert 'trimtab_rescan_rewritten_rows{kind="inferences"} 5.0' in metrics
    assert 'trimtab_rescan_lag_rows{kind="inferences"} 0.0' in metrics
    assert "trimtab_rescan_blocked 0.0" in metrics


def test_a_text_is_tried_by_the_projects_policy_or_another(api: httpx.Client) -> None:
    text = "MB-123456 of jane@example.com"
    told = api.post("/v1/settings/redaction/try", json={"text": text}).json()
    assert [(text[one["start"] : one["end"]], one["entity"]) for one in told["findings"]] == [
        ("jane@example.com", "EMAIL")
    ]
    assert told["redacted"].startswith("MB-123456 of <EMAIL:")
    assert told["milliseconds"] >= 0
    other = api.post("/v1/settings/redaction/try", json={"text": text, "policy": {"extra": [MEMBER]}}).json()
    assert other["redacted"].startswith("<CUSTOM> of <EMAIL:")
    assert other["rules"].startswith("r1-")
    assert api.get("/v1/settings/redaction").json()["settings"] is None
    saved = api.put("/v1/settings/redaction", json={"extra": [MEMBER]}).json()
    assert saved["rules"] == other["rules"]


def test_json_is_tried_leaf_by_leaf(api: httpx.Client) -> None:
    value = {"to": ["jane@example.com"], "password": "hunter2", "n": 3}
    told = api.post("/v1/settings/redaction/try", json={"value": value}).json()
    assert told["redacted"]["password"] == "<SECRET>"
    assert [(one["path"], one["entity"]) for one in told["findings"]] == [("/to/0", "EMAIL"), ("/password", "SECRET")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_field"),
        ({"text": "x", "value": {}}, 400, "invalid_field"),
        ({"text": "x" * 300_000}, 413, "body_too_large"),
    ],
)
def test_what_cannot_be_tried_is_refused(api: httpx.Client, body: dict[str, Any], status: int, code: str) -> None:
    answer = api.post("/v1/settings/redaction/try", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_nothing_of_what_is_tried_is_stored_or_logged(
    api: httpx.Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        for body in (
            {"text": "unmistakable zebra-4711, jane@example.com"},
            {"value": {"zebra-4711": ["zebra-4711"]}, "policy": {"extra": [{"name": "n", "pattern": "zebra-4711"}]}},
            {"text": 4711, "zebra-4711": 1},
            {"text": "zebra-4711", "policy": {"extra": [{"name": "n", "pattern": "zebra-4711("}]}},
        ):
            api.post("/v1/settings/redaction/try", json=body)
    assert "zebra" not in str(logs)
    assert "zebra" not in "".join(capfd.readouterr())
    assert "zebra" not in api.get("/metrics").text
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"zebra" not in file.read_bytes(), file


def test_settings_an_upgrade_no_longer_takes_keep_events_out_until_they_are_set_anew(
    api: httpx.Client, running: Live
) -> None:
    from trimtab.records import RedactionPattern, RedactionSettings  # noqa: PLC0415
    from trimtab.redact.wall import seal  # noqa: PLC0415
    from trimtab.store.ports import Writes  # noqa: PLC0415

    extra = [RedactionPattern(name="old", pattern="a+")]
    settings = RedactionSettings(revision=1, updated_at=NOW, extra=extra)
    sealed = seal(running.engine.redactor.of("default"), settings)
    running.engine.store.commit({"default": Writes(redactions=[sealed])})
    running.engine.redactor.forget("default")
    event = {"type": "inference", "id": new_id(NOW), "feature": "answer", "created_at": NOW.isoformat(), "input": "x"}
    refused = api.post("/v1/events", json=[event])
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert "'a+'" in refused.json()["error"]["message"]
    running.engine.tick()
    assert "trimtab_rescan_blocked 1.0" in api.get("/metrics").text
    assert api.put("/v1/settings/redaction", json={}).status_code == 200
    assert api.post("/v1/events", json=[event]).json()["accepted"] == 1
