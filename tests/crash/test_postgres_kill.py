"""On PostgreSQL, too, what was acknowledged is stored, whatever moment the process or the server dies at."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.crash.test_store_kill import CHILD, DAY, SOURCE, run_and_kill
from tests.postgres import PostgresServer, postgres_server
from trimtab.store.hot.postgres import open_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(durable=True) as running:
        yield running


def require_all(url: str, acknowledged: list[str]) -> None:
    store = open_postgres(url)
    try:
        served, said = store.inferences_after(0, 1_000_000), store.feedback_after(0, 1_000_000)
        exposed = store.exposures("p", "answer", DAY, DAY + timedelta(minutes=1))
        store.check()
    finally:
        store.close()
    stored = Counter([row.record.id for row in served] + [row.record.id for row in said])
    assert set(acknowledged) <= set(stored)
    assert set(stored.values()) == {1}
    assert sum(count.inferences for count in exposed) == len(served)


@pytest.mark.parametrize("seed", range(2))
def test_acknowledged_event_survives_kill(server: PostgresServer, seed: int) -> None:
    dice = random.Random(seed)
    url = server.database()
    acknowledged: list[str] = []
    for life in range(3):
        # Each life begins with numbers that the one before may have stored unacknowledged.
        first = max(0, len(acknowledged) - 40)
        told = run_and_kill(url, first, dice.choice([1, 7, 50]), dice.randrange(1, 300))
        acknowledged.extend(told)
        assert told, life
    require_all(url, acknowledged)


def test_acknowledged_event_survives_the_crash_of_the_server(server: PostgresServer) -> None:
    url = server.database()
    acknowledged: list[str] = []
    for life in range(2):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), url, str(len(acknowledged)), "20"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PYTHONPATH": str(SOURCE)},
        )
        assert child.stdout is not None
        with child.stdout as told:
            acknowledged.extend(told.readline().strip() for _ in range(200))
            server.stop(how="immediate")
            acknowledged.extend(line.strip() for line in told.readlines())
        assert child.wait(timeout=60) == 1, life  # it ended with the error that the server is gone
        server.start()
    require_all(url, acknowledged)
