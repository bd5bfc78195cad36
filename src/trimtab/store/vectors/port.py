"""What the engine asks of a vector store, as a protocol. One contract suite runs over every backend.

A *space* is the output of one embedder: only vectors of one space may be compared. A project may hold several side by
side and serves searches from one of them, its current space. Vectors have unit length, so their dot product is the
cosine; or length zero, when a text has nothing that its space knows: such an item is kept, but never found.
All verbs may be called from any thread and raise `Unavailable` when the database cannot be used now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = [
    "EVERYTHING",
    "KINDS",
    "MOST",
    "Hit",
    "Item",
    "ItemKind",
    "Space",
    "VectorStore",
    "Where",
    "checked",
    "checked_query",
    "item_mark",
    "user_mark",
]

ItemKind = Literal["feedback", "inference", "topic"]
KINDS: tuple[ItemKind, ...] = ("feedback", "inference", "topic")


class Item(Struct, frozen=True, kw_only=True):
    """What a vector stands for, with all it may be filtered by.

    `user_id` is whose words they are: `erase` finds them by it. `negative`: the answer was judged bad.
    """

    kind: ItemKind
    id: str
    created_at: datetime
    feature: str | None = None
    version_id: str | None = None
    user_id: str | None = None
    negative: bool = False


class Where(Struct, frozen=True, kw_only=True):
    """What a search is narrowed to; None leaves it open. `since` is inclusive, `until` exclusive."""

    kind: ItemKind | None = None
    feature: str | None = None
    version_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    negative: bool | None = None


EVERYTHING = Where()
MOST = 1000
"""The most hits one search returns."""
_SLACK = 1e-3


class Hit(NamedTuple):
    """One thing found, and the cosine between it and what was asked for."""

    kind: ItemKind
    id: str
    cosine: float


class Space(NamedTuple):
    """One space of a project; at most one is `current`.

    `mark` is its own: a space that was dropped and made again under the same name has another, so that nobody takes the
    new one for filled.
    """

    name: str
    dimensions: int
    current: bool
    mark: str


class VectorStore(Protocol):
    """Vectors by meaning. Every verb touches one project's rows only."""

    def upsert(self, project_id: str, space: str, items: Sequence[Item], vectors: NDArray[np.float32]) -> list[bool]:
        """Make the items with their vectors (n x d) durable in one transaction; say by position which were kept.

        An item is known by (kind, id): a second write takes the place of the first, vector and facts, so that writing
        the same twice leaves what once left; of one that repeats in a call the last counts. What was erased, or is of
        an erased user, is not kept (False) in any space ever again. The space is made by its first write, be it one of
        no items (0 x d). Raises ValueError for vectors of another width than the space has, of another length than 1
        or 0, or whose number is not that of the items.
        """
        ...

    def delete(self, project_id: str, kind: ItemKind, ids: Sequence[str]) -> int:
        """Remove these from every space of the project and return how many items went; they may be written again."""
        ...

    def erase(self, project_id: str, *, user_ids: Sequence[str] = (), ids: Sequence[str] = ()) -> int:
        """Remove these users' items and the items of any kind with these ids for good, from every space.

        Returns how many items went. That they were erased is kept, as hashes, and durable before this returns: a later
        or concurrent `upsert` does not bring them back. The embedded backend leaves no byte of what went in its files.
        """
        ...

    def nearest(
        self, project_id: str, space: str, vector: NDArray[np.float32], k: int, where: Where = EVERYTHING
    ) -> list[Hit]:
        """Return the `k` items nearest to `vector` (d) among those that match, nearest first; fewer if there are fewer.

        Empty for a space that does not exist and for a vector of zeros. Raises ValueError for a vector of another width
        than the space has and a `k` outside 1 to 1000. A backend may answer approximately, with recall@10 >= 0.95.
        """
        ...

    def get(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors of those that are there, by id; a backend may keep them in half precision."""
        ...

    def recent(
        self, project_id: str, space: str, limit: int, where: Where = EVERYTHING
    ) -> tuple[list[Item], NDArray[np.float32]]:
        """Return the latest `limit` items that match, newest `created_at` first, and their vectors (n x d).

        A `user_id` that comes back is the user's mark (`user_mark`), not the id itself.
        """
        ...

    def missing(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> list[str]:
        """Return which of the ids have no vector in the space, in their order; what was erased is not missed."""
        ...

    def count(self, project_id: str, space: str, where: Where = EVERYTHING) -> int:
        """Return how many items of the space match."""
        ...

    def spaces(self, project_id: str) -> list[Space]:
        """Return the project's spaces, oldest first."""
        ...

    def current(self, project_id: str) -> str | None:
        """Return the name of the space that searches are served from, None before the first `switch`."""
        ...

    def switch(self, project_id: str, space: str) -> None:
        """Serve searches from this space from now on, in one step: there is no moment without a current space.

        A backend with an index builds it first, so this may take minutes. Raises `NotFound` for an unknown space.
        """
        ...

    def drop(self, project_id: str, space: str) -> None:
        """Remove a whole space; one that does not exist is gone already. Raises `Conflict` for the current one."""
        ...

    def close(self) -> None:
        """Finish what is under way and close every connection. A second call does nothing."""
        ...


def user_mark(project_id: str, user_id: str) -> bytes:
    """Return what stands for a user in a vector store: 16 bytes of SHA-256, so that no id is written there."""
    return hashlib.sha256(f"vectors\x00user\x00{project_id}\x00{user_id}".encode()).digest()[:16]


def item_mark(project_id: str, item_id: str) -> bytes:
    """Return what stands for an erased item: 16 bytes of SHA-256."""
    return hashlib.sha256(f"vectors\x00item\x00{project_id}\x00{item_id}".encode()).digest()[:16]


def checked(items: Sequence[Item], vectors: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """Return the vectors as float32 rows. Raises ValueError when they fit neither the items nor the space."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(items):
        raise ValueError(f"expected one vector per item ({len(items)} x d), got the shape {rows.shape!r}")
    if dimensions is not None and rows.shape[1] != dimensions:
        raise ValueError(
            f"expected vectors of {dimensions} dimensions, as this space has, got {rows.shape[1]!r}; "
            "vectors of another embedder belong into a space of their own"
        )
    if not np.isfinite(rows).all():
        raise ValueError("expected finite vectors, got NaN or infinity")
    lengths = np.linalg.norm(rows, axis=1)
    if not ((lengths == 0) | (np.abs(lengths - 1) < _SLACK)).all():
        raise ValueError(
            f"expected vectors of length 1 or 0, got one of length {lengths[np.abs(lengths - 1).argmax()]}"
        )
    return rows


def checked_query(vector: NDArray[np.float32], dimensions: int, k: int) -> NDArray[np.float32]:
    """Return the vector as float32. Raises ValueError when it does not fit the space, or `k` is out of its range."""
    row = np.ascontiguousarray(vector, dtype=np.float32)
    if row.shape != (dimensions,) or not np.isfinite(row).all():
        raise ValueError(f"expected a finite vector of {dimensions} dimensions, as this space has, got {row.shape!r}")
    if not 1 <= k <= MOST:
        raise ValueError(f"expected k from 1 to {MOST}, got {k!r}")
    return row
