"""Patches into a LangChain vector store, through its indexing API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.client.indexer import Patch

__all__ = ["langchain_handler"]

_SOURCE = "trimtab_id"


def langchain_handler(record_manager: Any, vector_store: Any) -> Callable[[Patch], list[str]]:
    """Return a handler that writes with `langchain_core.indexing.index`; both parts are the app's own.

    The record manager knows each document by its entry's id, so that writing it again replaces it, and returns the ids
    under which the vector store has it.
    """
    from langchain_core.documents import Document  # noqa: PLC0415  the app's library, not ours
    from langchain_core.indexing import index  # noqa: PLC0415

    def handle(patch: Patch) -> list[str]:
        if patch.kind == "delete":
            keys = record_manager.list_keys(group_ids=[patch.entry_id])
            if keys:
                vector_store.delete(keys)
                record_manager.delete_keys(keys)
            return []
        document = Document(page_content=patch.document, metadata=patch.metadata)
        index(
            [document],
            record_manager,
            vector_store,
            cleanup="incremental",
            source_id_key=_SOURCE,
            key_encoder="sha256",
        )
        return [str(key) for key in record_manager.list_keys(group_ids=[patch.entry_id])]

    return handle
