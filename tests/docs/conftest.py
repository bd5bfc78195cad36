"""What a documentation page may ask for.

`running_server` is the environment of a real server on loopback; a page that says `<!-- server -->` at its top gets it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import live
from trimtab.clock import SystemClock


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with live(tmp_path_factory.mktemp("server"), clock=SystemClock()) as server:
        yield {"TRIMTAB_URL": server.url, "TRIMTAB_KEY": server.keys["admin"]}
