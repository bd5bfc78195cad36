"""Datasets over HTTP: ordered, waited for, downloaded, deleted."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest

from tests.intake import feedback, inference
from tests.live import Live


@pytest.fixture
def ordered(server: Live, admin: httpx.Client) -> dict[str, object]:
    """A finished set of one row."""
    told = [inference("corrected"), feedback("corrected", kind="correction", value=None, text="It is lost.")]
    assert admin.post("/v1/events", json=told).json()["rejected"] == []
    server.engine.settle()
    answer = admin.post("/v1/datasets", json={"kind": "sft", "validation_share": 0, "test_share": 0})
    assert answer.status_code == 202, answer.text
    made: dict[str, object] = answer.json()
    return made


def test_an_ordered_set_is_built_and_its_files_match_their_hashes(
    admin: httpx.Client, ordered: dict[str, object]
) -> None:
    made = admin.get(f"/v1/datasets/{ordered['id']}").json()
    assert (made["state"], made["rows"]) == ("done", {"train": 1})
    for file in made["files"]:
        answer = admin.get(f"/v1/datasets/{made['id']}/files/{file['name']}")
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        assert len(answer.content) == file["size_bytes"]
    rows = admin.get(f"/v1/datasets/{made['id']}/files/train.jsonl").text.splitlines()
    assert [json.loads(row)["completion"][0]["content"] for row in rows] == ["It is lost."]
    assert made["id"] in [item["id"] for item in admin.get("/v1/datasets").json()["items"]]


@pytest.mark.parametrize("name", ["..%2F..%2Ftrimtab.db", "%2Fetc%2Fpasswd", "other.jsonl", "."])
def test_no_other_file_is_handed_out(admin: httpx.Client, ordered: dict[str, object], name: str) -> None:
    answer = admin.get(f"/v1/datasets/{ordered['id']}/files/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_deleted_set_is_not_found(admin: httpx.Client, ordered: dict[str, object]) -> None:
    assert admin.delete(f"/v1/datasets/{ordered['id']}").json()["state"] == "deleted"
    assert admin.get(f"/v1/datasets/{ordered['id']}").status_code == 404
    assert admin.get(f"/v1/datasets/{ordered['id']}/files/train.jsonl").status_code == 404
    assert admin.delete(f"/v1/datasets/{ordered['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "ppo"}, "kind"),
        ({"kind": "kto", "format": "openai"}, "format"),
        ({"kind": "sft", "sources": ["judge"]}, "sources"),
        ({"kind": "sft", "test_share": 0.9}, "test_share"),
        ({"kind": "sft", "since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_field(admin: httpx.Client, body: dict[str, object], param: str) -> None:
    answer = admin.post("/v1/datasets", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
