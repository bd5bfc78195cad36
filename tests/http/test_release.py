"""A bad release, end to end: a real server process, an app with the SDK, votes, and no person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sample_app import SampleApp
from tests.serving import ServerProcess

BAD_RATE = {"good": 0.1, "bad": 0.5, "as-good": 0.1}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[SampleApp]:
    settings = {"TRIMTAB_MONITORING__BASELINE_VOTES": "200"}
    (tmp_path / "data").mkdir()
    server = ServerProcess(tmp_path / "data", settings)
    server.start()
    try:
        with SampleApp(server.url, server.keys, "checkout-help", tmp_path / "spool", BAD_RATE, seed=3) as running:
            yield running
    finally:
        server.stop()


def test_bad_release_is_found_and_rolled_back_with_no_person(app: SampleApp) -> None:
    app.release("good")
    app.learn(250)
    bad = app.release("bad")
    found = app.follow(bad, "bad", votes=1500, per_second=100)
    assert found.served == "good"
    incident = app.incident(bad)
    assert incident is not None
    assert (incident["kind"], incident["metric"]) == ("rate", "vote")
    app.wait(lambda: [run["state"] for run in app.runs()] == ["done"])
    [run] = app.runs()
    assert run["playbook"] == "rollback"
    assert [step["name"] for step in run["steps"]] == ["gather", "restore"]
