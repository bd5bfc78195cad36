"""What a documentation page may ask for.

`running_server` is the environment of a real server on loopback, as `{"TRIMTAB_URL": ..., "TRIMTAB_KEY": ...}`. A page
that says `<!-- server -->` at its top asks for it by this name; one that says `<!-- llm -->` for `running_llm`, where
the clients of model providers find a scripted endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import live
from tests.llm_endpoint import LlmEndpoint


@pytest.fixture(scope="module")  # no longer: a process has one engine with playbooks, and other tests want theirs
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with live(tmp_path_factory.mktemp("docs-server"), stages=True) as server:
        yield {"TRIMTAB_URL": server.url, "TRIMTAB_KEY": server.keys["admin"]}


@pytest.fixture(scope="session")
def running_llm() -> Iterator[dict[str, str]]:
    with LlmEndpoint() as endpoint:
        yield endpoint.environment
