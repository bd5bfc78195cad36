"""What only the vector store in PostgreSQL promises: about its server, its index and other processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest

from tests.contract.vector_backend import pgvector, postgres_url
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.store.vectors.port import Item, VectorStore, Where

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ITEMS = [
    Item(kind="feedback", id=derived_id("pg", str(n)), created_at=NOW, feature="common" if n % 50 else "rare")
    for n in range(3000)
]
ROWS = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[VectorStore]]:
    with pgvector(tmp_path) as opener:
        opened = [opener(), opener()]
        yield opened
        for store in opened:
            store.close()


def test_a_lost_connection_is_said_and_the_next_call_works(stores: list[VectorStore]) -> None:
    store = stores[0]
    store.upsert("p", "a", ITEMS[:10], ROWS[:10])
    with psycopg.connect(postgres_url(), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    with pytest.raises(Unavailable, match="PostgreSQL cannot be used now"):
        store.count("p", "a")
    assert store.count("p", "a") == 10


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    from trimtab.store.vectors.pgvector import open_pgvector  # noqa: PLC0415  needs the extra

    with pytest.raises(Unavailable, match="check that it runs"):
        open_pgvector(f"postgresql://nobody@/nothing?host={tmp_path}")


def test_a_filter_that_leaves_little_and_one_that_leaves_much_both_find_the_nearest(stores: list[VectorStore]) -> None:
    store = stores[0]
    store.upsert("p", "a", ITEMS, ROWS)
    store.switch("p", "a")
    for feature in ("rare", "common"):
        places = [place for place, item in enumerate(ITEMS) if item.feature == feature]
        recalls = []
        for asked in ROWS[:20]:
            exact = {ITEMS[places[each]].id for each in np.argsort(-(ROWS[places] @ asked))[:10]}
            hits = store.nearest("p", "a", asked, 10, Where(feature=feature))
            recalls.append(len(exact & {hit.id for hit in hits}) / 10)
        assert np.mean(recalls) >= 0.95, feature


def test_two_processes_make_and_switch_one_space(stores: list[VectorStore]) -> None:
    failed: list[BaseException] = []
    ready = threading.Barrier(2)

    def work(store: VectorStore, part: int) -> None:
        try:
            ready.wait()
            store.upsert("p", "a", ITEMS[part::2][:200], ROWS[part::2][:200])
            store.switch("p", "a")
        except BaseException as error:  # noqa: BLE001 handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store, part)) for part, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [space.name for space in stores[0].spaces("p")] == ["a"]
    assert stores[1].count("p", "a") == 400
