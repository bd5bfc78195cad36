"""Rows that a stage went on without, over HTTP: named without their words, counted, and tried again when mended."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from tests.live import Live, live
from trimtab.ids import derived_id

WORDS = "my sister Annabel said so"


def damage(folder: Path, statement: str) -> None:
    """Do to the file what a bad sector, or a hand, does."""
    with closing(sqlite3.connect(folder / "trimtab.db", isolation_level=None)) as connection:
        connection.execute(statement)


def settle(running: Live) -> None:
    """Tick the stage alone that the test is about."""
    (enrich,) = [stage for stage in running.engine.stages if stage.name == "enrich"]
    while enrich.tick(running.engine.clock.now()):
        pass


def asides(client: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/set-aside").raise_for_status().json()["items"]
    return items


def test_a_damaged_row_is_named_counted_passed_and_tried_again_when_it_is_mended(tmp_path: Path) -> None:
    with live(tmp_path) as running, running.client() as client:
        when = running.engine.clock.now().isoformat()
        ids = [derived_id("inference", str(place)) for place in range(3)]
        answers = [
            {"type": "inference", "id": each, "feature": "support", "input": WORDS, "output": "x", "created_at": when}
            for each in ids
        ]
        votes = [
            {
                "type": "feedback",
                "id": derived_id("vote", each),
                "inference_id": each,
                "kind": "thumb",
                "value": 0.0,
                "user_id": "u",
                "created_at": when,
            }
            for each in (ids[0], ids[2])
        ]
        client.post("/v1/events", json=[*answers, *votes]).raise_for_status()
        damage(tmp_path, "UPDATE inferences SET output = '{' WHERE seq = 2")
        settle(running)
        (item,) = [each for each in asides(client) if each["stage"] == "enrich"]
        assert (item["kind"], item["id"], item["again"]) == ("inference", ids[1], False)
        assert WORDS not in client.get("/v1/set-aside").text
        assert {each["inference_id"] for each in client.get("/v1/outcomes").json()["items"]} == {ids[0], ids[2]}
        assert 'trimtab_set_aside_rows{kind="inference",stage="enrich"} 1.0' in client.get("/metrics").text
        damage(tmp_path, "UPDATE inferences SET output = '\"x\"' WHERE seq = 2")
        tried = client.post("/v1/set-aside/retry", json={"stage": "enrich"})
        assert tried.json() == {"rows": 1}
        settle(running)
        assert [each for each in asides(client) if each["stage"] == "enrich"] == []


def test_a_stage_that_fails_stops_no_other_and_is_named_while_events_are_taken(tmp_path: Path) -> None:
    with live(tmp_path, stages=True) as running, running.client() as client:
        (enrich,) = [stage for stage in running.engine.stages if stage.name == "enrich"]
        sound, failing = enrich.tick, [True]

        def tick(now: Any) -> int:
            if failing[0]:
                raise ZeroDivisionError(WORDS)
            return sound(now)

        setattr(enrich, "tick", tick)  # noqa: B010  a method is replaced
        until(lambda: client.get("/readyz").json()["status"] == "degraded")
        told = client.get("/readyz")
        assert told.status_code == 200
        assert [stage["stage"] for stage in told.json()["stages"]] == ["enrich"]
        assert WORDS not in told.text
        assert 'trimtab_stage_failing{stage="enrich"} 1.0' in client.get("/metrics").text
        assert 'trimtab_stage_failing{stage="detect"} 0.0' in client.get("/metrics").text
        assert client.post("/v1/events", json=[]).status_code == 200
        failing[0] = False
        until(lambda: client.get("/readyz").json() == {"status": "ready", "stages": []})


def until(ready: Any) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the stages run in a thread of their own, which tells nobody
