"""What the answer to an event promises, over a real connection."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import body, feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.store.hot.sqlite import open_sqlite

WIRE = Path(__file__).parents[1] / "contract" / "wire"
EXAMPLES: list[dict[str, Any]] = json.loads((WIRE / "ingest.json").read_text("utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_the_wire_examples_are_answered_as_written(tmp_path: Path, example: dict[str, Any]) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        for request, status, answer in zip(example["requests"], example["statuses"], example["answers"], strict=True):
            got = client.post(request["path"], json=request["body"])
            assert (got.status_code, got.json()) == (status, answer)


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        assert client.post("/v1/events", content=body(inference(1), feedback(1))).json()["accepted"] == 2
    store = open_sqlite(tmp_path / "trimtab.db")
    try:
        assert [row.record.id for row in store.inferences_after(0, 10)] == [inference(1)["id"]]
        assert [row.record.id for row in store.feedback_after(0, 10)] == [feedback(1)["id"]]
    finally:
        store.close()


def test_gzip_and_lines_are_taken(server: Live) -> None:
    lines = "\n".join(json.dumps(inference(f"line {n}")) for n in range(3)).encode()
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    with server.client("ingest") as client:
        assert client.post("/v1/events", content=gzip.compress(lines), headers=headers).json()["accepted"] == 3


def test_many_senders_at_once_each_hear_of_their_own_events(server: Live) -> None:
    def send(sender: int) -> list[int]:
        with server.client("ingest") as client:
            answers = [
                client.post("/v1/events", content=body(*(inference(f"{sender}-{n}-{k}") for k in range(7)))).json()
                for n in range(5)
            ]
        return [answer["accepted"] for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, range(8))) == [[7] * 5] * 8


def test_a_payload_is_stored_clean_and_never_logged(
    server: Live, admin: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "my address is jane.roe@example.com"
    admin.post("/v1/inferences", json=inference("clean", input=secret)).raise_for_status()
    admin.post("/v1/inferences", json=inference("bad", input=secret, surprise=secret))
    admin.get("/v1/inferences", params={"since": "2026-03-01T00:00:00Z"})
    stored = server.engine.store.inferences("default", [inference("clean")["id"]])[inference("clean")["id"]]
    assert "jane.roe" not in str(stored.input)
    shown = capsys.readouterr()
    log = shown.out + shown.err
    assert "/v1/inferences" in log
    assert "jane.roe" not in log
    assert server.keys["admin"] not in log
