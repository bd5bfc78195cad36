"""Writes numbered vectors into one space and re-embeds them into the next until it is killed.

Run as `python vector_writer.py FILE FIRST LOT`. Prints `upsert SPACE NUMBER` for each vector and `erased NUMBER`,
`switched SPACE`, `dropped SPACE` once the store has answered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimtab.ids import derived_id
from trimtab.store.vectors.port import Item, VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BEHIND = 300
"""So many of the latest vectors are embedded again into the next space."""


def item(number: int) -> Item:
    return Item(kind="feedback", id=derived_id("crash", str(number)), created_at=NOW, user_id=f"user-{number}")


def vector(number: int, space: str) -> NDArray[np.float32]:
    seed = [number, int(space.rpartition("-")[2])]
    row = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    row /= np.linalg.norm(row)
    return row


def tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def write(store: VectorStore, space: str, numbers: Sequence[int]) -> None:
    kept = store.upsert("p", space, [item(number) for number in numbers], np.stack([vector(n, space) for n in numbers]))
    tell(*(f"upsert {space} {number}" for number, was_kept in zip(numbers, kept, strict=True) if was_kept))


def run(path: Path, first: int, lot: int) -> None:
    store = open_sqlite_vectors(path)
    for start in count(first, lot):
        serving = store.current("p") or "space-0"
        numbers = range(start, start + lot)
        write(store, serving, numbers)
        if store.current("p") is None:
            store.switch("p", serving)
            tell(f"switched {serving}")
        if start // lot % 5 == 1:
            store.erase("p", user_ids=[f"user-{start}"])
            tell(f"erased {start}")
        if start // lot % 7 == 3:
            following = f"space-{int(serving.rpartition('-')[2]) + 1}"
            ids = {item(number).id: number for number in range(max(0, start - BEHIND), start + lot)}
            missing = store.missing("p", following, "feedback", list(ids))
            for chunk in range(0, len(missing), lot):
                write(store, following, [ids[each] for each in missing[chunk : chunk + lot]])
            store.switch("p", following)
            tell(f"switched {following}")
            store.drop("p", serving)
            tell(f"dropped {serving}")


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
