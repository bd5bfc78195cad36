from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.live import NOW, Live, live
from trimtab.clock import SetClock


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("server"), clock=SetClock(NOW)) as running:
        yield running


@pytest.fixture
def admin(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as client:
        yield client
