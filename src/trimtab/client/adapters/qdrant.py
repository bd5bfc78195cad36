"""Patches into a Qdrant collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.client.indexer import Patch

__all__ = ["qdrant_handler"]


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
