"""Who was erased: asked before every append, so that nobody comes back with a later batch.

A tombstone is a hash of project and user id; the id itself stands nowhere in the lake once its rows are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arro3.core import Array, DataType, Table
from arro3.core import Field as ArrowField
from arro3.core import Schema as ArrowSchema
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from trimtab.records import Feedback, Inference
from trimtab.store.erasing import person
from trimtab.store.lake.place import explained
from trimtab.store.lake.tables import Tables
from trimtab.store.ports import Stored

__all__ = ["PEOPLE", "Tombstones"]

_NAME = "tombstones"
_COLUMNS = ("kind", "hash")
_ARROW = ArrowSchema([ArrowField(name, DataType.string(), nullable=False) for name in _COLUMNS])
_DELTA = Schema([Field(name, PrimitiveType("string"), nullable=False) for name in _COLUMNS])

PEOPLE = ("user_id", "voter_id")
"""The fields of a record that name a person its row goes with."""


class Tombstones:
    """The hashes of erased people, of their inferences and of feedback, read again whenever somebody has added some."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._version = -1
        self._hashes: dict[str, frozenset[str]] = {}

    def bury(self, kind: str, hashes: Sequence[str]) -> None:
        """Add tombstones of a kind: user, inference or feedback. None is added twice. Hold the turn."""
        fresh = sorted(set(hashes) - self.known().get(kind, frozenset()))
        if not fresh:
            return
        handle = self._tables.exclusive(_NAME) or self._tables.make(_NAME, _DELTA)
        arrays = [Array([kind] * len(fresh), DataType.string()), Array(fresh, DataType.string())]
        self._tables.add(_NAME, handle, Table.from_arrays(arrays, schema=_ARROW))

    def known(self) -> dict[str, frozenset[str]]:
        """Return the hashes by kind."""
        handle = self._tables.current(_NAME)
        if handle is None:
            return {}
        if handle.version() != self._version:
            found: dict[str, set[str]] = {}
            with explained("read its tombstones"):
                for batch in handle.scan(columns=list(_COLUMNS)):
                    for kind, hash_ in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
                        found.setdefault(str(kind), set()).add(str(hash_))
            self._hashes = {kind: frozenset(hashes) for kind, hashes in found.items()}
            self._version = handle.version()
        return self._hashes

    def spared(self, rows: Sequence[Stored[Any]]) -> list[Stored[Any]]:
        """Return the rows that are of no erased person and about no inference of one."""
        known = self.known()
        if not known:
            return list(rows)
        none: frozenset[str] = frozenset()
        users, told, words = (known.get(kind, none) for kind in ("user", "inference", "feedback"))
        return [row for row in rows if not _buried(row, users, told, words)]


def _buried(row: Stored[Any], users: frozenset[str], told: frozenset[str], words: frozenset[str]) -> bool:
    named = (getattr(row.record, field, None) for field in PEOPLE)
    if any(name is not None and person(row.project_id, name) in users for name in named):
        return True
    if isinstance(row.record, Feedback) and person(row.project_id, row.record.id) in words:
        return True
    about = row.record.id if isinstance(row.record, Inference) else getattr(row.record, "inference_id", None)
    return about is not None and person(row.project_id, about) in told
