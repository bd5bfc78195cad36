"""A wire, and clients of it that are closed when the test ends and write nowhere but into its own directory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire_server import WireServer
from trimtab.client import Client, Limits

Make = Callable[..., Client]
QUICK = Limits(linger_s=0.01)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("trimtab"):
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} is left behind"


@pytest.fixture
def wire() -> Iterator[WireServer]:
    with WireServer() as server:
        yield server


@pytest.fixture
def make(wire: WireServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.delenv("TRIMTAB_URL", raising=False)
    monkeypatch.delenv("TRIMTAB_KEY", raising=False)
    made: list[Client] = []

    def build(**options: Any) -> Client:
        settings = {"url": wire.url, "key": "tt_ingest_secret", "feature": "answer", "limits": QUICK, **options}
        client = Client(**{"spool_dir": tmp_path / "spool", **settings})
        made.append(client)
        return client

    yield build
    wire.stop()
    for client in made:
        client._strict = False
        client.close(0.2)
