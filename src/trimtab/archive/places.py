"""The places beside the hot store in which something of a person may be: the lake, the vectors, fitted spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trimtab.store.erasing import ERASED, Gone, Removed
from trimtab.store.lake.port import LakeStore, Told
from trimtab.store.ports import LoopStore
from trimtab.store.vectors.port import VectorStore

__all__ = ["LakePlace", "SpacePlace", "Spaces", "VectorPlace"]


class LakePlace:
    """The lake: rows deleted, files rewritten, old files gone."""

    name = "lake"

    def __init__(self, lake: LakeStore) -> None:
        self._lake = lake

    def told(self, project_id: str, user_ids: Sequence[str]) -> Told:
        """Return what of these people only the lake may still know of."""
        return self._lake.told(project_id, user_ids)

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Erase them, and the feedback on their inferences that only the hot store could join."""
        receipt = self._lake.erase(project_id, gone.users, feedback_ids=gone.feedback)
        counts = {table: rows for table, rows in receipt.rows.items() if rows}
        return Removed({**counts, "files": receipt.files})


class VectorPlace:
    """The vectors, in every space."""

    name = "vectors"

    def __init__(self, vectors: VectorStore) -> None:
        self._vectors = vectors

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Erase their vectors; the store remembers whom not to take in again."""
        ids = [*gone.inferences, *gone.feedback]
        return Removed({"items": self._vectors.erase(project_id, user_ids=gone.users, ids=ids)})


class Spaces(Protocol):
    """Who keeps the fitted spaces of projects."""

    def without(self, project_id: str, erased: int) -> bool:
        """Say whether the project's space was fitted after that many erasures; if not, have it fitted anew at once."""
        ...

    def drop_before(self, project_id: str) -> int:
        """Remove what was in use before the project's space; return how many files."""
        ...

    def in_use(self, project_id: str) -> str | None:
        """Return the name of the fitted space that the project's vectors are to be of, None where none is fitted."""
        ...


class SpacePlace:
    """Fitted spaces: their vocabulary may hold a person's words, so a new one is fitted on what is left.

    The one before serves searches until the new one is filled, then its file goes.
    """

    name = "spaces"

    def __init__(self, spaces: Spaces, vectors: VectorStore, store: LoopStore) -> None:
        self._spaces = spaces
        self._vectors = vectors
        self._store = store

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Have the space fitted anew, wait for the vectors to follow, drop the old file."""
        if not gone.inferences and not gone.feedback:
            return Removed({})
        if not self._spaces.without(project_id, self._store.cursor(ERASED)):
            return None
        serving, wanted = self._vectors.current(project_id), self._spaces.in_use(project_id)
        if serving is not None and wanted is not None and serving != wanted:
            return None
        return Removed({"files": self._spaces.drop_before(project_id)})
