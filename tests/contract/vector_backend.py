"""The backends of the vector store, each over an empty place of its own: a new one is one more line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.store.vectors.port import VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

Open = Callable[[], VectorStore]


@contextmanager
def sqlite(folder: Path) -> Iterator[Open]:
    yield lambda: open_sqlite_vectors(folder / "data" / "vectors.db")


BACKENDS = {"sqlite": sqlite}
