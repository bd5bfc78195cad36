"""Hot and lake are one history: whatever is shipped, purged or compacted meanwhile, each row is read once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract import hot_store_sample as a
from trimtab.clock import SystemClock
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.history import history
from trimtab.store.lake.port import Span
from trimtab.store.ports import Due, HotStore, PurgedKind, Stored

ROWS = 40
ACTS = st.sampled_from(["nothing", "ship", "purge", "append", "compact"])


class Watched:
    """The hot store, and something happening before and after each page that is read."""

    def __init__(self, store: HotStore, meanwhile: Callable[[], None]) -> None:
        self._store = store
        self._meanwhile = meanwhile

    def inferences_after(self, seq: int, limit: int) -> list[Stored[Any]]:
        self._meanwhile()
        found = self._store.inferences_after(seq, limit)
        self._meanwhile()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class World(NamedTuple):
    hot: HotStore
    lake: DeltaLake

    def act(self, what: str, amount: int) -> None:
        cursor = self.lake.cursor("inferences")
        if what == "ship":
            rows = self.hot.inferences_after(cursor, amount)
            self.lake.append("inferences", rows, after=cursor)
        elif what == "purge":
            before: dict[PurgedKind, datetime] = {"inferences": a.NOW + timedelta(days=1)}
            due = Due(before=before, upto={"inferences": min(cursor, amount * 3)})
            self.hot.purge(self.hot.purgeable("inferences", due, after=0, limit=amount * 3))
        elif what == "append":
            self.hot.append([a.arrival(a.inference()) for _ in range(amount % 3)])
        elif what == "compact":
            self.lake.compact("inferences")


@settings(max_examples=40, deadline=None)
@given(
    before=st.lists(st.tuples(ACTS, st.integers(1, 15)), max_size=6),
    during=st.lists(st.tuples(ACTS, st.integers(1, 15)), max_size=12),
    page=st.integers(1, 20),
    after=st.integers(0, ROWS),
    upto=st.none() | st.integers(0, ROWS + 5),
)
def test_every_row_is_read_once_however_it_moves_meanwhile(
    before: list[tuple[str, int]], during: list[tuple[str, int]], page: int, after: int, upto: int | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_sqlite(folder / "hot.db")
        waiting: Iterator[tuple[str, int]] = iter(during)
        watched: Any = Watched(store, lambda: world.act(*next(waiting, ("nothing", 0))))
        world = World(store, open_lake(folder / "lake", SystemClock()))
        try:
            store.append([a.arrival(a.inference()) for _ in range(ROWS)])
            there = {row.seq for row in store.inferences_after(0, 1000)}
            for act in before:
                world.act(*act)
            found = [
                row.seq
                for batch in history(watched, world.lake, "inferences", Span(after=after, upto=upto), page_rows=page)
                for row in batch
            ]
        finally:
            store.close()
    asked = {seq for seq in there if seq > after and (upto is None or seq <= upto)}
    assert len(found) == len(set(found))
    assert asked <= set(found)  # rows that came in meanwhile may be there too
    assert all(seq > after and (upto is None or seq <= upto) for seq in found)


def test_a_row_that_moves_between_two_pages_is_read_in_one_of_them(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "hot.db")
    world = World(store, open_lake(tmp_path / "lake", SystemClock()))
    acts = iter([("ship", 9), ("purge", 3), ("nothing", 0), ("ship", 20), ("purge", 20)])
    watched: Any = Watched(store, lambda: world.act(*next(acts, ("nothing", 0))))
    store.append([a.arrival(a.inference()) for _ in range(ROWS)])
    lots = list(history(watched, world.lake, "inferences", Span(), page_rows=5))
    assert sorted(row.seq for lot in lots for row in lot) == list(range(1, ROWS + 1))
    assert len(store.inferences_after(0, 100)) < ROWS
    store.close()
