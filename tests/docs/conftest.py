"""What a documentation page may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.live import live


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a real server on loopback; a page that says `<!-- server -->` at its top is given it."""
    with live(tmp_path_factory.mktemp("docs-server")) as server:
        yield {"TRIMTAB_URL": server.url, "TRIMTAB_KEY": server.keys["ingest"]}
