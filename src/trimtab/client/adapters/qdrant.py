"""Patches into a Qdrant collection, and a collection embedded anew behind an alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from trimtab.client.rebuild import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trimtab.client.indexer import Handler, Patch
    from trimtab.client.rebuild import Generation

__all__ = ["QdrantShelf", "qdrant_handler"]


def qdrant_handler(
    client: Any, collection: str, embed: Callable[[str], Sequence[float]], *, text_key: str = "text"
) -> Callable[[Patch], list[str]]:
    """Return a handler that upserts one point a patch; `embed` is the app's own, as for its other points.

    Qdrant takes UUIDs and numbers as ids: a point's is made from its entry's id, which stands in the payload too.
    """
    from qdrant_client.models import PointIdsList, PointStruct  # noqa: PLC0415  the app's library, not ours

    def handle(patch: Patch) -> list[str]:
        point = str(uuid5(NAMESPACE_URL, f"trimtab:{patch.entry_id}"))
        if patch.kind == "delete":
            client.delete(collection, points_selector=PointIdsList(points=[point]), wait=True)
            return []
        payload = {**patch.metadata, text_key: patch.document}
        vector = [float(value) for value in embed(patch.document)]
        client.upsert(collection, points=[PointStruct(id=point, vector=vector, payload=payload)], wait=True)
        return [point]

    return handle


class QdrantShelf:
    """Generations as collections, one of which the app asks by an alias (`Rebuild`).

    Collections with one unnamed vector. Qdrant has no lock: whoever else writes to the index rests between the last
    look and the switch, or writes to both. Raises ValueError where `alias` names no collection of the two.
    """

    def __init__(self, client: Any, alias: str, *, text_key: str = "text") -> None:
        self._client = client
        self._alias = alias
        self._text_key = text_key

    def serving(self, old: str, new: str) -> str:
        """Return which of both the alias names."""
        aliases = self._client.get_aliases().aliases
        named = next((each.collection_name for each in aliases if each.alias_name == self._alias), None)
        if named not in (old, new):
            raise ValueError(
                f"expected the alias {self._alias!r} to name {old!r} or {new!r}, got {named!r}; "
                "create the alias, and let the app ask by it"
            )
        return str(named)

    def exists(self, name: str) -> bool:
        """Say whether there is such a collection."""
        return bool(self._client.collection_exists(name))

    def prepare(self, source: str, target: str, size: int) -> None:
        """Create the collection with the source's distance."""
        if self.exists(target):
            return
        told = self._client.get_collection(source).config.params.vectors
        self._client.create_collection(target, vectors_config=told.model_copy(update={"size": size}))

    def behind(self, source: str, target: str, lot: int) -> Iterator[list[Document]]:
        """Yield what the target lacks or has with another payload."""
        for points in self._scrolled(source, lot):
            known = self._client.retrieve(target, [point.id for point in points], with_payload=True)
            held = {point.id: point.payload for point in known}
            found = [
                Document(point.id, str((point.payload or {}).get(self._text_key, "")), point.payload)
                for point in points
                if point.id not in held or held[point.id] != point.payload
            ]
            if found:
                yield found

    def surplus(self, source: str, target: str) -> list[Any]:
        """Return what the target alone has."""
        gone: list[Any] = []
        for points in self._scrolled(target, 1000):
            ids = [point.id for point in points]
            there = {point.id for point in self._client.retrieve(source, ids, with_payload=False)}
            gone += [each for each in ids if each not in there]
        return gone

    def write(
        self,
        source: str,  # noqa: ARG002  its payloads came with the documents
        target: str,
        documents: Sequence[Document],
        vectors: Sequence[Sequence[float]],
    ) -> None:
        """Upsert the points."""
        from qdrant_client.models import PointStruct  # noqa: PLC0415  the app's library, not ours

        points = [
            PointStruct(id=document.id, vector=[float(value) for value in vector], payload=document.rest)
            for document, vector in zip(documents, vectors, strict=True)
        ]
        self._client.upsert(target, points=points, wait=True)

    def remove(self, name: str, ids: Sequence[Any]) -> None:
        """Delete the points."""
        from qdrant_client.models import PointIdsList  # noqa: PLC0415

        if ids:
            self._client.delete(name, points_selector=PointIdsList(points=list(ids)), wait=True)

    def search(self, name: str, vector: Sequence[float], k: int) -> list[str]:
        """Return the ids of the nearest points."""
        query = [float(value) for value in vector]
        return [str(point.id) for point in self._client.query_points(name, query=query, limit=k).points]

    def switch(self, source: str, target: str) -> bool:
        """Point the alias at the target, unless it has fallen behind."""
        from qdrant_client.models import (  # noqa: PLC0415
            CreateAlias,
            CreateAliasOperation,
            DeleteAlias,
            DeleteAliasOperation,
        )

        if any(True for _ in self.behind(source, target, 1000)) or self.surplus(source, target):
            return False
        self._client.update_collection_aliases(
            [
                DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=self._alias)),
                CreateAliasOperation(create_alias=CreateAlias(collection_name=target, alias_name=self._alias)),
            ]
        )
        return True

    def handler(self, generation: Generation) -> Handler:
        """Return what brings patches into one collection."""
        one = generation.embed
        return qdrant_handler(self._client, generation.name, lambda text: one([text])[0], text_key=self._text_key)

    def drop(self, name: str) -> None:
        """Delete the collection."""
        self._client.delete_collection(name)

    def _scrolled(self, name: str, lot: int) -> Iterator[list[Any]]:
        place: Any = None
        while True:
            points, place = self._client.scroll(name, limit=lot, offset=place, with_payload=True)
            if points:
                yield points
            if place is None:
                return
