"""Over HTTP every count agrees, with what a sender counted and with what ingest workers refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake import feedback, inference
from tests.live import NOW, live
from trimtab.clock import SetClock
from trimtab.config import Ingest, Lake, Settings
from trimtab.ids import derived_id

EVENTS = [
    *(inference(number) for number in range(20)),
    *(feedback(number) for number in range(10)),
    feedback("nowhere", inference_id=derived_id("nowhere")),
    inference("late", created_at=(NOW + timedelta(days=1)).isoformat()),
    feedback("odd", kind="shrug"),
]


def told(found: dict[str, Any], name: str) -> dict[str, Any]:
    pair: dict[str, Any] = next(each for each in found["pairs"] if each["name"] == name)
    return pair


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_sender_counts_agrees_with_every_later_count(tmp_path: Path, workers: int) -> None:
    settings = Settings(ingest=Ingest(workers=workers), lake=Lake(commit_seconds=1.0))
    clock = SetClock(NOW)
    with live(tmp_path, settings, clock=clock) as server:
        with server.client("ingest") as app:
            first = app.post("/v1/events", json=EVENTS).json()
            again = app.post("/v1/events", json=EVENTS[:5]).json()
        assert (first["accepted"], len(first["rejected"]), again["duplicates"]) == (31, 2, 5)
        sent = {"accepted": first["accepted"], "duplicates": again["duplicates"], "rejected": 2}
        with server.client("admin") as admin:
            found = settled(server.engine, admin, sent)
        assert found["whole"], found
        assert found["received"] == {
            "stored": 31,
            "duplicates": 5,
            "refused: invalid_field": 1,
            "refused: time_in_future": 1,
        }
        assert {each["difference"] for each in found["pairs"]} == {0}
        assert told(found, "feedback held")["found"]["waits for its answer"] == 1
        assert told(found, "inferences shipped to the lake")["count"] == 20
        assert set(found["behind"].values()) == {0}


def settled(engine: Any, admin: httpx.Client, sent: dict[str, int]) -> dict[str, Any]:
    """Let the stages do everything, and reconcile once workers, which tell once a second, have told their counts."""
    while True:
        for _ in range(3):
            engine.settle()
            engine.clock.advance(timedelta(seconds=30))
        found: dict[str, Any] = admin.post("/v1/reconcile", json=sent).json()
        if told(found, "events refused by the sender's count")["difference"] == 0:
            return found


def test_a_row_that_is_gone_is_told_over_http(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("admin") as admin:
        admin.post("/v1/events", json=EVENTS[:5])
        found = admin.post("/v1/reconcile", json={"accepted": 6}).json()
        assert (found["whole"], found["lost"]) == (False, 1)
        assert admin.post("/v1/reconcile").json()["whole"]
        wrong = admin.post("/v1/reconcile", json={"accepted": "many"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_field")
