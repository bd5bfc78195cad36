"""The embedded vector store: one SQLite file of its own, scanned exactly by sqlite-vec, every commit synced.

Only apsw opens this file. Two SQLite libraries in one process would drop each other's POSIX locks on a shared file, so
it is never the hot store's. A space has a virtual table of its own; names are kept there as numbers, which sqlite-vec
compares five times faster than text (docs/decisions/0013-vectors-are-scanned-exactly.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from trimtab.clock import from_micros, to_micros
from trimtab.errors import Conflict, NotFound
from trimtab.store.codec import id_bytes, id_text, known_ids
from trimtab.store.vectors.file import VectorFile, first
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

__all__ = ["SqliteVectors", "open_sqlite_vectors"]

_LOT = 500


def open_sqlite_vectors(path: Path) -> VectorStore:
    """Open the vector store in the file `path`; make the file, its directory and its tables when there are none.

    Raises `ConfigError` for a file that a newer Trimtab or another program wrote, `Unavailable` when it cannot be
    opened.
    """
    return SqliteVectors(path)


class SqliteVectors:
    """The verbs of `VectorStore` over one file. Searches are exact; their time grows with the vectors of the space."""

    def __init__(self, path: Path) -> None:
        self._file = VectorFile(path)

    # ---------------------------------------------------------------- writing

    def upsert(self, project_id: str, space: str, items: Sequence[Item], vectors: NDArray[np.float32]) -> list[bool]:
        """Keep items with their vectors."""
        with self._file.transaction() as write:
            number, dimensions = self._space(write, project_id, space) or (0, None)
            rows = checked(items, vectors, dimensions)
            if number == 0:
                number = self._make_space(write, project_id, space, rows.shape[1])
            gone = self._tombstones(write, project_id, items)
            last = {(item.kind, item.id): place for place, item in enumerate(items)}
            kept = [not self._is_gone(project_id, item, gone) for item in items]
            table = f"vectors_{number}"
            before: int = first(write, "SELECT coalesce(max(row), 0) FROM items") or 0
            for place in last.values():
                if kept[place]:
                    self._put(write, number, table, project_id, items[place], rows[place], before)
            return kept

    def _put(
        self,
        write: apsw.Connection,
        number: int,
        table: str,
        project_id: str,
        item: Item,
        vector: NDArray[np.float32],
        before: int,
    ) -> None:
        facts = (
            KINDS.index(item.kind) + 1,
            self._word(write, item.feature),
            self._word(write, item.version_id),
            to_micros(item.created_at),
            int(item.negative),
        )
        kind, feature, version, at, negative = facts
        user = None if item.user_id is None else user_mark(project_id, item.user_id)
        row: int = first(
            write,
            "INSERT INTO items (space, kind, id, at, feature, version, negative, user) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (space, kind, id) DO UPDATE SET at = excluded.at, feature = excluded.feature, "
            "version = excluded.version, negative = excluded.negative, user = excluded.user RETURNING row",
            (number, kind, id_bytes(item.id), at, feature, version, negative, user),
        )
        if row <= before and first(write, f"SELECT 1 FROM {table} WHERE rowid = ?", (row,)):
            if vector.any():
                write.execute(
                    f"UPDATE {table} SET vector = ?, kind = ?, feature = ?, version = ?, at = ?, negative = ? "
                    "WHERE rowid = ?",
                    (vector.tobytes(), *facts, row),
                )
            else:
                write.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
        elif vector.any():
            write.execute(
                f"INSERT INTO {table} (rowid, vector, kind, feature, version, at, negative) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row, vector.tobytes(), *facts),
            )

    def delete(self, project_id: str, kind: ItemKind, ids: Sequence[str]) -> int:
        """Remove items from every space."""
        with self._file.transaction() as write:
            return self._remove(write, self._rows_of(write, project_id, ids, KINDS.index(kind) + 1))

    def erase(self, project_id: str, *, user_ids: Sequence[str] = (), ids: Sequence[str] = ()) -> int:
        """Remove users and items for good."""
        users = [user_mark(project_id, user_id) for user_id in user_ids]
        with self._file.transaction() as write:
            marks = [*users, *(item_mark(project_id, item_id) for item_id in ids)]
            write.executemany("INSERT OR IGNORE INTO tombstones (mark) VALUES (?)", [(mark,) for mark in marks])
            rows = self._rows_of(write, project_id, ids, None)
            for mark in users:
                rows.update(write.execute("SELECT row, space FROM items WHERE user = ?", (mark,)))
            removed = self._remove(write, rows)
        self._file.empty_log()
        return removed

    def switch(self, project_id: str, space: str) -> None:
        """Serve searches from this space."""
        with self._file.transaction() as write:
            if self._space(write, project_id, space) is None:
                raise NotFound(f"no vector space {space!r} in project {project_id!r}; fill it first", param="space")
            write.execute("UPDATE spaces SET current = (name = ?) WHERE project_id = ?", (space, project_id))

    def drop(self, project_id: str, space: str) -> None:
        """Remove a whole space."""
        with self._file.transaction() as write:
            found = self._space(write, project_id, space)
            if found is None:
                return
            if first(write, "SELECT current FROM spaces WHERE id = ?", (found[0],)):
                raise Conflict(f"{space!r} is the space that searches are served from; switch to another one first")
            write.execute(f"DROP TABLE vectors_{found[0]}")
            write.execute("DELETE FROM items WHERE space = ?", (found[0],))
            write.execute("DELETE FROM spaces WHERE id = ?", (found[0],))

    # ---------------------------------------------------------------- reading

    def nearest(
        self, project_id: str, space: str, vector: NDArray[np.float32], k: int, where: Where = EVERYTHING
    ) -> list[Hit]:
        """Return the nearest items, exactly."""
        with self._file.snapshot() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return []
            row = checked_query(vector, found[1], k)
            told = self._conditions(view, where)
            if told is None or not row.any():
                return []
            text, values = told
            near = view.execute(
                f"SELECT items.kind, items.id, near.distance FROM (SELECT rowid, distance FROM vectors_{found[0]} "
                f"WHERE vector MATCH ? AND k = ?{text}) AS near JOIN items ON items.row = near.rowid "
                "ORDER BY near.distance, items.id",
                (row.tobytes(), k, *values),
            )
            # Of unit vectors: |a - b|^2 = 2 - 2 cos. sqlite-vec has vector instructions for L2 only.
            return [Hit(KINDS[kind - 1], id_text(key), 1 - distance * distance / 2) for kind, key, distance in near]

    def get(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return vectors by id."""
        with self._file.snapshot() as view:
            found = self._space(view, project_id, space)
            if found is None:
                return {}
            number, dimensions = found
            kept: dict[str, NDArray[np.float32]] = {}
            for lot in _lots(known_ids(ids)):
                rows = view.execute(
                    f"SELECT items.id, near.vector FROM items LEFT JOIN vectors_{number} AS near "
                    f"ON near.rowid = items.row WHERE space = ? AND items.kind = ? AND items.id IN ({_holes(lot)})",
                    (number, KINDS.index(kind) + 1, *lot),
                )
                kept.update({id_text(key): _vector(raw, dimensions) for key, raw in rows})
            return kept

    def recent(
        self, project_id: str, space: str, limit: int, where: Where = EVERYTHING
    ) -> tuple[list[Item], NDArray[np.float32]]:
        """Return the latest items and their vectors."""
        with self._file.snapshot() as view:
            found = self._space(view, project_id, space)
            told = self._conditions(view, where)
            if found is None or told is None:
                return [], np.zeros((0, found[1] if found else 0), dtype=np.float32)
            number, dimensions = found
            text, values = told
            rows = _rows(
                view,
                "SELECT chosen.kind, chosen.id, at, (SELECT text FROM words WHERE words.id = chosen.feature), "
                "(SELECT text FROM words WHERE words.id = chosen.version), negative, user, "
                f"(SELECT vector FROM vectors_{number} WHERE rowid = chosen.row) "
                f"FROM (SELECT * FROM items WHERE space = ?{text} ORDER BY at DESC, id DESC LIMIT ?) AS chosen",
                (number, *values, limit),
            )
        items = [
            Item(
                kind=KINDS[kind - 1],
                id=id_text(key),
                created_at=from_micros(at),
                feature=feature,
                version_id=version,
                user_id=None if user is None else user.hex(),
                negative=bool(negative),
            )
            for kind, key, at, feature, version, negative, user, _ in rows
        ]
        vectors = np.zeros((len(rows), dimensions), dtype=np.float32)
        for place, row in enumerate(rows):
            vectors[place] = _vector(row[-1], dimensions)
        return items, vectors

    def missing(self, project_id: str, space: str, kind: ItemKind, ids: Sequence[str]) -> list[str]:
        """Return which ids have no vector."""
        with self._file.snapshot() as view:
            number, _ = self._space(view, project_id, space) or (0, 0)
            there: set[bytes] = set()
            for lot in _lots(known_ids(ids)):
                rows = view.execute(
                    f"SELECT id FROM items WHERE space = ? AND kind = ? AND id IN ({_holes(lot)})",
                    (number, KINDS.index(kind) + 1, *lot),
                )
                there.update(key for (key,) in rows)
            marks = {item_mark(project_id, item_id): item_id for item_id in ids}
            erased = {marks[mark] for mark in self._found_marks(view, list(marks))}
        known = {id_text(key) for key in there} | erased
        return [item_id for item_id in ids if item_id not in known]

    def count(self, project_id: str, space: str, where: Where = EVERYTHING) -> int:
        """Return how many items match."""
        with self._file.snapshot() as view:
            found = self._space(view, project_id, space)
            told = self._conditions(view, where)
            if found is None or told is None:
                return 0
            text, values = told
            return int(first(view, f"SELECT count(*) FROM items WHERE space = ?{text}", (found[0], *values)) or 0)

    def spaces(self, project_id: str) -> list[Space]:
        """Return the project's spaces."""
        with self._file.snapshot() as view:
            rows = view.execute(
                "SELECT name, dimensions, current, mark FROM spaces WHERE project_id = ? ORDER BY id", (project_id,)
            )
            return [Space(name, dimensions, bool(current), mark) for name, dimensions, current, mark in rows]

    def current(self, project_id: str) -> str | None:
        """Return the current space's name."""
        with self._file.snapshot() as view:
            name: str | None = first(view, "SELECT name FROM spaces WHERE project_id = ? AND current", (project_id,))
            return name

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # ---------------------------------------------------------------- parts

    @staticmethod
    def _space(view: apsw.Connection, project_id: str, space: str) -> tuple[int, int] | None:
        rows = _rows(view, "SELECT id, dimensions FROM spaces WHERE project_id = ? AND name = ?", (project_id, space))
        return (rows[0][0], rows[0][1]) if rows else None

    @staticmethod
    def _make_space(write: apsw.Connection, project_id: str, space: str, dimensions: int) -> int:
        write.execute(
            "INSERT INTO spaces (project_id, name, dimensions, mark) VALUES (?, ?, ?, lower(hex(randomblob(8))))",
            (project_id, space, dimensions),
        )
        number = int(write.last_insert_rowid())
        write.execute(
            f"CREATE VIRTUAL TABLE vectors_{number} USING vec0 (vector float[{dimensions}] distance_metric=L2, "
            "kind integer, feature integer, version integer, at integer, negative integer)"
        )
        return number

    @staticmethod
    def _word(write: apsw.Connection, text: str | None) -> int:
        if text is None:
            return 0
        known = first(write, "SELECT id FROM words WHERE text = ?", (text,))
        if known is None:
            write.execute("INSERT INTO words (text) VALUES (?)", (text,))
            return int(write.last_insert_rowid())
        return int(known)

    def _tombstones(self, view: apsw.Connection, project_id: str, items: Sequence[Item]) -> set[bytes]:
        if first(view, "SELECT 1 FROM tombstones LIMIT 1") is None:
            return set()
        marks = {item_mark(project_id, item.id) for item in items}
        marks |= {user_mark(project_id, item.user_id) for item in items if item.user_id is not None}
        return self._found_marks(view, sorted(marks))

    @staticmethod
    def _found_marks(view: apsw.Connection, marks: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for lot in _lots(marks):
            rows = view.execute(f"SELECT mark FROM tombstones WHERE mark IN ({_holes(lot)})", tuple(lot))
            found.update(mark for (mark,) in rows)
        return found

    @staticmethod
    def _is_gone(project_id: str, item: Item, gone: set[bytes]) -> bool:
        if not gone:
            return False
        by_user = item.user_id is not None and user_mark(project_id, item.user_id) in gone
        return by_user or item_mark(project_id, item.id) in gone

    @staticmethod
    def _rows_of(view: apsw.Connection, project_id: str, ids: Sequence[str], kind: int | None) -> dict[int, int]:
        spaces = view.execute("SELECT id FROM spaces WHERE project_id = ?", (project_id,)).fetchall()
        rows: dict[int, int] = {}
        for lot in _lots(known_ids(ids)):
            for (space,) in spaces:
                rows.update(
                    view.execute(
                        "SELECT row, space FROM items WHERE space = ? AND kind BETWEEN ? AND ? "
                        f"AND id IN ({_holes(lot)})",
                        (space, kind or 0, kind or len(KINDS), *lot),
                    )
                )
        return rows

    @staticmethod
    def _remove(write: apsw.Connection, rows: dict[int, int]) -> int:
        if not rows:
            return 0
        ids = set()
        for row, space in rows.items():
            ids.add(first(write, "DELETE FROM items WHERE row = ? RETURNING hex(id) || kind", (row,)))
            write.execute(f"DELETE FROM vectors_{space} WHERE rowid = ?", (row,))
        return len(ids)

    @staticmethod
    def _conditions(view: apsw.Connection, where: Where) -> tuple[str, list[int]] | None:
        """Return the words of SQL that narrow a search and their values; None when nothing can match."""
        told: list[tuple[str, int | None]] = []
        if where.kind is not None:
            told.append(("kind =", KINDS.index(where.kind) + 1))
        for column, name in (("feature", where.feature), ("version", where.version_id)):
            if name is not None:
                told.append((f"{column} =", first(view, "SELECT id FROM words WHERE text = ?", (name,))))
        if where.since is not None:
            told.append(("at >=", to_micros(where.since)))
        if where.until is not None:
            told.append(("at <", to_micros(where.until)))
        if where.negative is not None:
            told.append(("negative =", int(where.negative)))
        values = [value for _, value in told if value is not None]
        if len(values) < len(told):
            return None  # a name that no item has
        return "".join(f" AND {condition} ?" for condition, _ in told), values


def _rows(view: apsw.Connection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return view.execute(text, tuple(values)).fetchall()


def _vector(raw: bytes | None, dimensions: int) -> NDArray[np.float32]:
    if raw is None:
        return np.zeros(dimensions, dtype=np.float32)
    return np.frombuffer(raw, dtype=np.float32).copy()


def _lots(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(values), _LOT):
        yield values[start : start + _LOT]


def _holes(values: Sequence[bytes]) -> str:
    return ", ".join("?" * len(values))
