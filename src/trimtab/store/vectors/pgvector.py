"""Vectors in PostgreSQL: pgvector's HNSW index, one table for each space, half precision.

A filtered search walks the graph until enough items match (iterative scan, pgvector 0.8); where a filter leaves few
rows, PostgreSQL's planner reads those by an ordinary index and compares them all. A space is searched exactly until
`switch` builds its index: loading first and building once is many times faster than inserting into a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

from trimtab.clock import from_micros, to_micros
from trimtab.errors import Conflict, NotFound, Unavailable
from trimtab.ids import is_uuid
from trimtab.store.vectors.port import (
    EVERYTHING,
    KINDS,
    Hit,
    Item,
    ItemKind,
    Space,
    VectorStore,
    Where,
    checked,
    checked_query,
    item_mark,
    user_mark,
)
from trimtab.store.vectors.postgres import SCHEMA, Connection, PostgresLink

__all__ = ["PgVectors", "open_pgvector"]

_EF_SEARCH = 200
_COMPARED_ALL = 6000
_SCANNED = 40_000
_INLINE_DIMENSIONS = 1536  # two rows a page; wider vectors go where PostgreSQL puts long values
_BUILD = "m = 16, ef_construction = 128"


def open_pgvector(url: str, *, index_memory_mb: int = 1024, idle_connections: int = 8) -> VectorStore:
    """Open the vector store in the database at `url`; make its schema `trimtab_vectors` when there is none.

    `index_memory_mb` is what building a space's index may take: a million vectors of 256 dimensions fit in 1 GB. Raises
    `ConfigError` without the extension pgvector, `Unavailable` when the server cannot be reached.
    """
    return PgVectors(PostgresLink(url, idle=idle_connections), index_memory_mb=index_memory_mb)


class PgVectors:
    """The verbs of `VectorStore` over one database, which several processes may share."""

    def __init__(self, link: PostgresLink, *, index_memory_mb: int) -> None:
        self._link = link
        self._index_memory_mb = index_memory_mb

    # ---------------------------------------------------------------- writing

    def upsert(self, project_id: str, space: str, items: Sequence[Item], vectors: NDArray[np.float32]) -> list[bool]:
        """Keep items with their vectors."""
        with self._link.transaction() as view:
            found = self._space(view, project_id, space)
        rows = checked(items, vectors, found[1] if found else None)
        if found is None:
            self._make_space(project_id, space, rows.shape[1])
        if not items:
            return []
        with self._link.locked(project_id, alone=False) as write:
            found = self._space(write, project_id, space)
            if found is None:
                raise Unavailable(f"the vector space {space!r} was dropped while it was written; try again")
            checked(items, vectors, found[1])
            gone = self._tombstones(write, project_id, items)
            kept = [_marks(project_id, item).isdisjoint(gone) for item in items]
            last = {(item.kind, item.id): place for place, item in enumerate(items)}
            # In one order for all writers, so that no two wait for each other.
            places = sorted((place for place in last.values() if kept[place]), key=lambda place: items[place].id)
            with write.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {_table(found[0])} (kind, id, at, feature, version, negative, user_mark, vector) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, "
                    "feature = excluded.feature, version = excluded.version, negative = excluded.negative, "
                    "user_mark = excluded.user_mark, vector = excluded.vector",
                    [_row(project_id, items[place], rows[place]) for place in places],
                )
        return kept

    def delete(self, project_id: str, kind: ItemKind, ids: Sequence[str]) -> int:
        """Remove items from every space."""
        gone: set[UUID] = set()
        with self._link.locked(project_id, alone=False) as write:
            for number in self._numbers(write, project_id):
                rows = write.execute(
                    f"DELETE FROM {_table(number)} WHERE kind = %s AND id = ANY(%s) RETURNING id",
                    (KINDS.index(kind), _uuids(ids)),
                )
                gone.update(row[0] for row in rows)
        return len(gone)

    def erase(self, project_id: str, *, user_ids: Sequence[str] = (), ids: Sequence[str] = ()) -> int:
        """Remove users and items for good."""
        users = [user_mark(project_id, user_id) for user_id in user_ids]
        marks = [*users, *(item_mark(project_id, item_id) for item_id in ids)]
        gone: set[tuple[int, UUID]] = set()
        with self._link.locked(project_id, alone=True) as write:
            write.execute(
                f"INSERT INTO {SCHEMA}.tombstones (mark) SELECT unnest(%s::bytea[]) ON CONFLICT DO NOTHING", (marks,)
            )
            for number in self._numbers(write, project_id):
                rows = write.execute(
                    f"DELETE FROM {_table(number)} WHERE id = ANY(%s) OR user_mark = ANY(%s) RETURNING kind, id",
                    (_uuids(ids), users),
                )
                gone.update((kind, key) for kind, key in rows)
        return len(gone)

    def switch(self, project_id: str, space: str) -> None:
        """Build the space's index, then serve searches from it."""
        with self._link.transaction() as write:
            found = self._space(write, project_id, space)
            if found is not None:
                number = found[0]
                # Under a lock of its own: two switches must not build the same index at once.
                write.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
                write.execute(f"SET LOCAL maintenance_work_mem = '{int(self._index_memory_mb)}MB'")
                write.execute(
                    f"CREATE INDEX IF NOT EXISTS vectors_{number}_near ON {_table(number)} "
                    f"USING hnsw (vector halfvec_ip_ops) WITH ({_BUILD})"
                )
                write.execute(f"ANALYZE {_table(number)}")
        with self._link.locked(project_id, alone=True) as write:
            if self._space(write, project_id, space) is None:
                raise NotFound(f"no vector space {space!r} in project {project_id!r}; fill it first", param="space")
            write.execute(
                f"UPDATE {SCHEMA}.spaces SET is_current = (name = %s) WHERE project_id = %s", (space, project_id)
            )

    def drop(self, project_id: str, space: str) -> None:
        """Remove a whole space."""
        with self._link.locked(project_id, alone=True) as write:
            row = write.execute(
                f"DELETE FROM {SCHEMA}.spaces WHERE project_id = %s AND name = %s RETURNING id, is_current",
                (project_id, space),
            ).fetchone()
            if row is None:
                return
            if row[1]:
                raise Conflict(f"{space!r} is the space that searches are served from; switch to another one first")
            write.execute(f"DROP TABLE {_table(row[0])}")

    # ---------------------------------------------------------------- reading

    def nearest(
        self, project_id: str, space: str, vector: NDArray[np.float32], k: int, where: Where = EVERYTHING
    ) -> list[Hit]:
        """Return the nearest items."""
        with self._link.transaction() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return []
            row = checked_query(vector, found[1], k)
            if not row.any():
                return []
            text, values = _conditions(where)
            table = _table(found[0])
            if text and _expected(view, table, text, values) <= _COMPARED_ALL:
                # Walking the graph for a handful of its rows visits far more than reading them by an ordinary index.
                source = f"(SELECT kind, id, vector FROM {table} WHERE vector IS NOT NULL{text} OFFSET 0) AS matching"
                text, values, before = "", [], values
            else:
                source, before = table, []
                view.execute(
                    f"SET LOCAL hnsw.ef_search = {max(_EF_SEARCH, min(2 * k, 1000))}; "
                    f"SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.max_scan_tuples = {_SCANNED}"
                )
            # An iterative scan may give them slightly out of order: they are sorted once more.
            near = view.execute(
                f"WITH near AS MATERIALIZED (SELECT kind, id, vector <#> %s AS away FROM {source} "
                f"WHERE vector IS NOT NULL{text} ORDER BY away LIMIT %s) "
                "SELECT kind, id, -away FROM near ORDER BY away, id",
                (HalfVector(row), *before, *values, k),
            ).fetchall()
        return [Hit(KINDS[kind], str(key), float(cosine)) for kind, key, cosine in near]

    def get(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return vectors by id."""
        with self._link.transaction() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return {}
            rows = view.execute(
                f"SELECT id, vector FROM {_table(found[0])} WHERE kind = %s AND id = ANY(%s)",
                (KINDS.index(kind), _uuids(ids)),
            ).fetchall()
        return {str(key): _vector(value, found[1]) for key, value in rows}

    def recent(
        self, project_id: str, space: str, limit: int, where: Where = EVERYTHING
    ) -> tuple[list[Item], NDArray[np.float32]]:
        """Return the latest items and their vectors."""
        with self._link.transaction() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return [], np.zeros((0, 0), dtype=np.float32)
            text, values = _conditions(where)
            rows = view.execute(
                f"SELECT kind, id, at, feature, version, user_mark, negative, vector FROM {_table(found[0])} "
                f"WHERE true{text} ORDER BY at DESC, id DESC LIMIT %s",
                (*values, limit),
            ).fetchall()
        vectors = np.zeros((len(rows), found[1]), dtype=np.float32)
        for place, row in enumerate(rows):
            vectors[place] = _vector(row[-1], found[1])
        return [_item(row) for row in rows], vectors

    def missing(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> list[str]:
        """Return which ids have no vector."""
        marks = {item_mark(project_id, item_id): item_id for item_id in ids}
        with self._link.transaction() as view:
            erased = view.execute(f"SELECT mark FROM {SCHEMA}.tombstones WHERE mark = ANY(%s)", (list(marks),))
            known = {marks[mark] for (mark,) in erased}
            found = self._space(view, project_id, space)
            if found is not None:
                there = view.execute(
                    f"SELECT id FROM {_table(found[0])} WHERE kind = %s AND id = ANY(%s)",
                    (KINDS.index(kind), _uuids(ids)),
                )
                known |= {str(key) for (key,) in there}
        return [item_id for item_id in ids if item_id not in known]

    def count(self, project_id: str, space: str, where: Where = EVERYTHING) -> int:
        """Return how many items match."""
        with self._link.transaction() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return 0
            text, values = _conditions(where)
            row = view.execute(f"SELECT count(*) FROM {_table(found[0])} WHERE true{text}", values).fetchone()
        return int(row[0]) if row else 0

    def spaces(self, project_id: str) -> list[Space]:
        """Return the project's spaces."""
        with self._link.transaction() as view:
            rows = view.execute(
                f"SELECT name, dimensions, is_current, mark FROM {SCHEMA}.spaces WHERE project_id = %s ORDER BY id",
                (project_id,),
            ).fetchall()
        return [Space(*row) for row in rows]

    def current(self, project_id: str) -> str | None:
        """Return the current space's name."""
        return next((space.name for space in self.spaces(project_id) if space.current), None)

    def close(self) -> None:
        """Close every connection."""
        self._link.close()

    # ---------------------------------------------------------------- parts

    @staticmethod
    def _space(view: Connection, project_id: str, space: str) -> tuple[int, int] | None:
        row = view.execute(
            f"SELECT id, dimensions FROM {SCHEMA}.spaces WHERE project_id = %s AND name = %s", (project_id, space)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    @staticmethod
    def _numbers(view: Connection, project_id: str) -> list[int]:
        return [row[0] for row in view.execute(f"SELECT id FROM {SCHEMA}.spaces WHERE project_id = %s", (project_id,))]

    def _make_space(self, project_id: str, space: str, dimensions: int) -> None:
        with self._link.locked(project_id, alone=True) as write:
            row = write.execute(
                f"INSERT INTO {SCHEMA}.spaces (project_id, name, dimensions) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING RETURNING id",
                (project_id, space, dimensions),
            ).fetchone()
            if row is None:
                return  # another process made it meanwhile
            table = _table(row[0])
            write.execute(
                f"CREATE TABLE {table} (kind smallint NOT NULL, id uuid NOT NULL, at bigint NOT NULL, feature text, "
                f"version text, negative boolean NOT NULL, user_mark bytea, vector halfvec({int(dimensions)}), "
                "PRIMARY KEY (kind, id))"
            )
            if dimensions <= _INLINE_DIMENSIONS:
                write.execute(f"ALTER TABLE {table} ALTER COLUMN vector SET STORAGE PLAIN")
            write.execute(f"CREATE INDEX ON {table} (at)")
            write.execute(f"CREATE INDEX ON {table} (feature, kind, negative, at, version)")
            write.execute(f"CREATE INDEX ON {table} (user_mark) WHERE user_mark IS NOT NULL")
            write.execute(f"CREATE INDEX ON {table} (id)")

    @staticmethod
    def _tombstones(view: Connection, project_id: str, items: Sequence[Item]) -> set[bytes]:
        marks = set().union(*(_marks(project_id, item) for item in items))
        rows = view.execute(f"SELECT mark FROM {SCHEMA}.tombstones WHERE mark = ANY(%s)", (list(marks),))
        return {row[0] for row in rows}


def _table(number: int) -> str:
    return f"{SCHEMA}.vectors_{int(number)}"


def _marks(project_id: str, item: Item) -> set[bytes]:
    own = {item_mark(project_id, item.id)}
    return own if item.user_id is None else own | {user_mark(project_id, item.user_id)}


def _uuids(ids: Iterable[str]) -> list[UUID]:
    return [UUID(item_id) for item_id in ids if is_uuid(item_id)]


def _row(project_id: str, item: Item, vector: NDArray[np.float32]) -> tuple[Any, ...]:
    return (
        KINDS.index(item.kind),
        UUID(item.id),
        to_micros(item.created_at),
        item.feature,
        item.version_id,
        item.negative,
        None if item.user_id is None else user_mark(project_id, item.user_id),
        HalfVector(vector) if vector.any() else None,  # no index holds a null, so it is never found
    )


def _item(row: tuple[Any, ...]) -> Item:
    kind, key, at, feature, version, mark, negative, _ = row
    return Item(
        kind=KINDS[kind],
        id=str(key),
        created_at=from_micros(at),
        feature=feature,
        version_id=version,
        user_id=None if mark is None else mark.hex(),
        negative=negative,
    )


def _expected(view: Connection, table: str, text: str, values: Sequence[Any]) -> float:
    """Return how many rows PostgreSQL expects to match, from its statistics alone."""
    row = view.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE true{text}", values).fetchone()
    return float(row[0][0]["Plan"]["Plan Rows"]) if row else 0.0


def _vector(value: HalfVector | None, dimensions: int) -> NDArray[np.float32]:
    if value is None:
        return np.zeros(dimensions, dtype=np.float32)
    return value.to_numpy().astype(np.float32)


def _conditions(where: Where) -> tuple[str, list[Any]]:
    told: list[tuple[str, Any]] = []
    if where.kind is not None:
        told.append(("kind =", KINDS.index(where.kind)))
    for column, value in (
        ("feature =", where.feature),
        ("version =", where.version_id),
        ("negative =", where.negative),
    ):
        if value is not None:
            told.append((column, value))
    bounds: tuple[tuple[str, datetime | None], ...] = (("at >=", where.since), ("at <", where.until))
    told.extend((column, to_micros(bound)) for column, bound in bounds if bound is not None)
    return "".join(f" AND {condition} %s" for condition, _ in told), [value for _, value in told]
