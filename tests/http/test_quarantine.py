"""Corrections that were set aside, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.intake import body, inference
from tests.live import NOW, live
from trimtab.clock import SetClock
from trimtab.ids import derived_id

LONG = "Refunds are never granted, whatever the reason and whoever asks for one"


def words(count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for place in range(count):
        asked = inference(f"asked-{place}", feature="desk", user_id=f"bot-{place % 2}")
        told = {
            "id": derived_id("told", str(place)), "type": "feedback", "kind": "correction", "text": LONG,
            "created_at": asked["created_at"], "inference_id": asked["id"], "user_id": f"bot-{place % 2}",
        }  # fmt: skip
        events += [asked, told]
    return events


def test_what_is_set_aside_is_listed_and_released_as_a_whole(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("admin") as client:
        client.post("/v1/events", content=body(*words(6))).raise_for_status()
        while client.post("/v1/tick").raise_for_status().json()["rows"]:
            pass
        [held] = client.get("/v1/quarantine", params={"feature": "desk"}).raise_for_status().json()["items"]
        assert (held["rule"], held["people"], len(held["corrections"])) == ("few", 2, 6)
        assert client.get("/v1/quarantine", params={"feature": "other"}).json()["items"] == []
        unknown = client.post(f"/v1/quarantine/{derived_id('x')}/release")
        assert unknown.status_code == 404
        done = client.post(f"/v1/quarantine/{held['corrections'][2]}/release").raise_for_status().json()
        assert done["corrections"] == held["corrections"]
        assert client.get("/v1/quarantine").json()["items"] == []
