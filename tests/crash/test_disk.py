"""The disk is full, or takes no writes, under a real server: it says so, loses nothing, and goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.disk import FAULTS, filled, small_disk
from tests.serving import ServerProcess
from trimtab.client import Client
from trimtab.clock import SystemClock
from trimtab.ids import derived_id
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.port import Span

FEATURE = "support"
NOW = datetime(2026, 3, 1, tzinfo=UTC).isoformat()
PATIENCE_S = 60.0
BATCH = 40
SETTINGS = {"TRIMTAB_LAKE__ENABLED": "true", "TRIMTAB_LAKE__COMMIT_SECONDS": "1"}


def batch(number: int) -> list[dict[str, Any]]:
    """Return the events of one request: answers of 5 KB, each with a vote on it."""
    made: list[dict[str, Any]] = []
    for place in range(BATCH):
        name = f"{number}-{place}"
        about = derived_id("inference", name)
        shared = {"created_at": NOW, "user_id": f"user-{place}"}
        served = {"type": "inference", "id": about, "feature": FEATURE, "input": name, "output": "x" * 5000}
        vote = {"type": "feedback", "id": derived_id("vote", name), "kind": "thumb", "value": 0.0}
        made += [{**shared, **served}, {**shared, **vote, "inference_id": about}]
    return made


class Sender:
    """Sends batches and keeps account of what was acknowledged and what was refused."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.number = 0
        self.acknowledged: set[str] = set()
        self.refused: list[list[dict[str, Any]]] = []

    def get(self, path: str, **query: Any) -> httpx.Response:
        return httpx.get(self.server.url + path, params=query, headers=self.server.headers("admin"), timeout=30)

    def send(self, events: list[dict[str, Any]] | None = None) -> httpx.Response:
        """Send a batch, a new one unless given."""
        if events is None:
            events, self.number = batch(self.number), self.number + 1
        answer = httpx.post(
            f"{self.server.url}/v1/events", json=events, headers=self.server.headers("ingest"), timeout=30
        )
        if answer.status_code == 200:
            told = answer.json()
            assert told["accepted"] + told["duplicates"] == len(events), told
            self.acknowledged |= {event["id"] for event in events}
        else:
            self.refused.append(events)
        return answer

    def stored(self) -> set[str]:
        """Return the ids of all events, read through the API; each must be there once."""
        found: list[str] = []
        for path in ("/v1/inferences", "/v1/feedback"):
            after: str | None = None
            while True:
                page = self.get(path, limit=1000, **({"after": after} if after else {}))
                assert page.status_code == 200, page.text
                found += [item["id"] for item in page.json()["items"]]
                after = page.json()["next"]
                if after is None:
                    break
        assert len(found) == len(set(found))
        return set(found)

    def require_refused(self, answer: httpx.Response) -> None:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        error = answer.json()["error"]
        assert error["code"] == "unavailable"
        assert any(word in error["message"] for word in ("disk", "file", "database")), error


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait for what another process does; nothing of it can be awaited from here."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def fill_up(sender: Sender) -> None:
    """Send until the disk has taken the last event it can."""
    for _ in range(1000):
        answer = sender.send()
        if answer.status_code != 200:
            sender.require_refused(answer)
            return
    raise AssertionError("the disk never refused anything")


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(tmp_path: Path, fault: str) -> Iterator[ServerProcess]:
    with ExitStack() as undo:
        room = undo.enter_context(small_disk(tmp_path / "disk")) if fault == "full" else tmp_path
        folder = room / "data"
        folder.mkdir()
        made = ServerProcess(folder, SETTINGS)
        undo.callback(made.stop)
        made.start()
        yield made


def test_a_disk_that_takes_nothing_loses_nothing_and_the_server_goes_on_by_itself(
    server: ServerProcess, fault: str
) -> None:
    sender = Sender(server)
    for _ in range(5):
        assert sender.send().status_code == 200
    pid = server.pid
    with FAULTS[fault](server):
        fill_up(sender)
        for _ in range(3):
            sender.require_refused(sender.send())
        # Reads go on, and show what was acknowledged: all of it, and nothing of what was refused.
        assert sender.stored() == sender.acknowledged
        assert sender.get("/v1/features").json()["items"][0]["name"] == FEATURE
        assert sender.get("/healthz").status_code == 200
        assert sender.get("/metrics").status_code == 200
        sender.require_refused(sender.get("/readyz"))
        sender.require_refused(httpx.put(f"{server.url}/v1/features/new", headers=server.headers(), timeout=30))
    until(lambda: sender.send(sender.refused[0]).status_code == 200, "events are taken again")
    for events in sender.refused:
        assert sender.send(events).status_code == 200
    until(lambda: sender.get("/readyz").json().get("status") == "ready", "every stage works again")
    assert sender.stored() == sender.acknowledged
    until(lambda: judged(sender) == len(sender.acknowledged) // 2, "every vote is judged")
    assert server.pid == pid
    until(lambda: shipped(server) == len(sender.acknowledged) // 2, "the lake has every answer")


def test_a_server_killed_on_a_full_disk_starts_on_it_again_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as room:
        folder = room / "data"
        folder.mkdir()
        server = ServerProcess(folder, SETTINGS)
        try:
            server.start()
            sender = Sender(server)
            for _ in range(5):
                assert sender.send().status_code == 200
            with filled(room):
                fill_up(sender)
                server.kill()
                server.start(until="/healthz")
                assert sender.stored() == sender.acknowledged
                sender.require_refused(sender.send(sender.refused[0]))
                sender.require_refused(sender.get("/readyz"))
            until(lambda: sender.send(sender.refused[0]).status_code == 200, "events are taken again")
            until(lambda: judged(sender) == len(sender.acknowledged) // 2, "every vote is judged")
            assert sender.stored() == sender.acknowledged
        finally:
            server.stop()


def test_a_server_whose_output_is_on_a_full_disk_starts_and_takes_events(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.writes_to = Path("/dev/full")
    try:
        server.start()
        assert Sender(server).send().status_code == 200
    finally:
        server.stop()


def test_the_sdk_spools_while_the_disk_takes_nothing_and_delivers_when_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    server = ServerProcess(folder)
    try:
        server.start()
        sender = Sender(server)
        with Client(server.url, server.keys["ingest"], spool_dir=tmp_path / "spool") as client:
            with FAULTS["no growth"](server):
                fill_up(sender)
                before = sender.stored()
                recorded = {
                    client.record(FEATURE, input=f"spooled {number}", output="x" * 5000) for number in range(50)
                }
                assert not client.flush(2)
                until(lambda: client.stats().spooled_bytes > 50 * 5000, "the events are in the spool")
                assert sender.stored() == before
            assert client.flush(PATIENCE_S)
            assert client.stats().lost == {}
            assert client.stats().spooled_bytes == 0
        assert sender.stored() == before | recorded
    finally:
        server.stop()


def judged(sender: Sender) -> int:
    """Return how many answers have an outcome."""
    found = sender.get("/v1/outcomes", feature=FEATURE, limit=1000).json()
    assert found["next"] is None, "more outcomes than one page holds"
    return len(found["items"])


def shipped(server: ServerProcess) -> int:
    lake = open_lake(server.folder / "lake", SystemClock())
    try:
        rows = [row.record.id for some in lake.read("inferences", Span()) for row in some]
    finally:
        lake.close()
    assert len(rows) == len(set(rows))
    return len(rows)
