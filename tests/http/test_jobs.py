"""Training jobs over HTTP: ordered, followed, called off."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.live import NOW, live
from trimtab.clock import SetClock
from trimtab.config import Finetune, Lake, Settings


def test_a_job_is_ordered_followed_and_called_off(tmp_path: Path) -> None:
    settings = Settings(lake=Lake(enabled=False), finetune=Finetune(command=f"{sys.executable} -c pass"))
    with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client() as client:
        assert client.post("/v1/features/nobody/finetune").status_code == 404
        client.put("/v1/features/support").raise_for_status()
        ordered = client.post("/v1/features/support/finetune")
        assert (ordered.status_code, ordered.json()["state"]) == (202, "waiting")
        path = f"/v1/jobs/{ordered.json()['id']}"
        assert client.post("/v1/features/support/finetune").status_code == 409
        assert client.get(path).json() == ordered.json()
        assert [job["id"] for job in client.get("/v1/jobs").json()["items"]] == [ordered.json()["id"]]
        assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert client.post(f"{path}/cancel").status_code == 409
        assert client.get("/v1/jobs", params={"feature": "other"}).json()["items"] == []


def test_a_feature_with_a_slash_in_its_name_is_trained_too(tmp_path: Path) -> None:
    settings = Settings(lake=Lake(enabled=False), finetune=Finetune(command=f"{sys.executable} -c pass"))
    with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client() as client:
        client.put("/v1/features/shop%2Fsupport").raise_for_status()
        ordered = client.post("/v1/features/shop%2Fsupport/finetune")
        assert (ordered.status_code, ordered.json()["feature"]) == (202, "shop/support")


def test_without_a_command_nothing_is_ordered(tmp_path: Path) -> None:
    with live(tmp_path, Settings(lake=Lake(enabled=False)), clock=SetClock(NOW)) as server, server.client() as client:
        client.put("/v1/features/support").raise_for_status()
        answer = client.post("/v1/features/support/finetune")
        assert (answer.status_code, "finetune.command" in answer.json()["error"]["message"]) == (409, True)
