"""A model endpoint to talk to, and a look at what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.llm_endpoint import LlmEndpoint
from tests.wire_server import WireServer
from trimtab.client import Client

Recorded = Callable[[Client], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[LlmEndpoint]:
    with LlmEndpoint() as server:
        yield server


@pytest.fixture
def recorded(wire: WireServer) -> Recorded:
    """Return what the server has, in the order of recording."""

    def deliver(client: Client) -> list[dict[str, Any]]:
        assert client.flush()
        return [wire.events[name] for name in wire.arrivals]

    return deliver
