"""The backends of the hot store: a new one is one more line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore

BACKENDS: dict[str, Callable[[Path], HotStore]] = {"sqlite": lambda folder: open_sqlite(folder / "data" / "hot.db")}


@pytest.fixture(params=sorted(BACKENDS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], HotStore]]:
    opened: list[HotStore] = []

    def again() -> HotStore:
        for store in opened:
            store.close()
        opened.append(BACKENDS[request.param](tmp_path))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], HotStore]) -> HotStore:
    return reopen()
