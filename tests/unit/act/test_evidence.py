"""What an action may build on, asked from several threads at once: each tick's, each run's, each request's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.act import evidence as module
from trimtab.act.evidence import Evidence
from trimtab.config import Settings
from trimtab.store.hot.sqlite import open_sqlite


class Meeting(dict[Any, Any]):
    """Who has found the oldest waits a moment for another who has found it, too."""

    def __init__(self) -> None:
        super().__init__()
        self._both = threading.Barrier(2)

    def __iter__(self) -> Iterator[Any]:
        found = list(super().__iter__())
        with contextlib.suppress(threading.BrokenBarrierError):
            self._both.wait(timeout=1)
        return iter(found)


def test_two_threads_that_forget_the_oldest_at_once_do_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 1)
    store = open_sqlite(tmp_path / "hot.db")
    evidence = Evidence(store, Settings())
    monkeypatch.setattr(evidence, "_agreements", Meeting())
    evidence.agreements("p", "first", a.NOW)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda feature: evidence.agreements("p", feature, a.NOW), ("second", "third"))
        assert list(found) == [[], []]
    store.close()
