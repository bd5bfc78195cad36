"""Patches into a LlamaIndex ingestion pipeline that has a vector store and a docstore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.client.indexer import Patch

__all__ = ["llamaindex_handler"]


def llamaindex_handler(pipeline: Any) -> Callable[[Patch], list[str]]:
    """Return a handler that runs the app's `IngestionPipeline`.

    A document is known by its entry's id: what was written under it before is taken out first. Raises ValueError for a
    pipeline without a vector store and a docstore: nothing could be taken out of it again.
    """
    from llama_index.core import Document  # noqa: PLC0415  the app's library, not ours

    if pipeline.vector_store is None or pipeline.docstore is None:
        raise ValueError("expected a pipeline with a vector_store and a docstore, got one without; give it both")

    def handle(patch: Patch) -> list[str]:
        pipeline.vector_store.delete(patch.entry_id)
        pipeline.docstore.delete_document(patch.entry_id, raise_error=False)
        pipeline.docstore.delete_ref_doc(patch.entry_id, raise_error=False)
        if patch.kind == "delete":
            return []
        nodes = pipeline.run(documents=[Document(id_=patch.entry_id, text=patch.document, metadata=patch.metadata)])
        return [str(node.node_id) for node in nodes]

    return handle
