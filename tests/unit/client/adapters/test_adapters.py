"""Each ready-made handler writes a document, replaces it, is not troubled by a second time, and takes it out again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import MockEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from tests.postgres import postgres_server
from trimtab.client.adapters.langchain import langchain_handler
from trimtab.client.adapters.llamaindex import llamaindex_handler
from trimtab.client.adapters.pgvector import pgvector_handler
from trimtab.client.adapters.qdrant import qdrant_handler
from trimtab.client.indexer import Patch

_SIZE = 16


def embed(text: str) -> list[float]:
    """Count words by their hash: like texts are near."""
    vector = [0.01] * _SIZE
    for word in text.casefold().split():
        vector[hashlib.sha256(word.strip(".?").encode()).digest()[0] % _SIZE] += 1
    return vector


class Words(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return embed(text)


def patch(text: str = "Within 14 days.", kind: str = "upsert") -> Patch:
    return Patch("p", "desk", kind, "k_1", "Until when can I return a bike?", text, "doc-1", None, ())


Made = tuple[Callable[[Patch], list[str]], Callable[[], list[tuple[str, str]]]]


def langchain() -> Made:
    store = InMemoryVectorStore(Words())
    records = InMemoryRecordManager("desk")
    records.create_schema()
    return langchain_handler(records, store), lambda: [
        (str(found.id), found.page_content) for found in store.similarity_search("return a bike", k=9)
    ]


def llamaindex() -> Made:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), MockEmbedding(embed_dim=_SIZE)],
        vector_store=SimpleVectorStore(),
        docstore=SimpleDocumentStore(),
    )

    def held() -> list[tuple[str, str]]:
        store: Any = pipeline.vector_store
        return [(name, "") for name in store.data.embedding_dict]

    return llamaindex_handler(pipeline), held


def qdrant() -> Made:
    client = QdrantClient(":memory:")
    client.create_collection("desk", vectors_config=VectorParams(size=_SIZE, distance=Distance.COSINE))

    def held() -> list[tuple[str, str]]:
        points = client.query_points("desk", query=embed("return a bike"), limit=9).points
        return [(str(point.id), str((point.payload or {})["text"])) for point in points]

    return qdrant_handler(client, "desk", embed), held


@pytest.fixture
def database() -> Iterator[str]:
    with postgres_server() as server:
        url = server.database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                "CREATE TABLE docs (id text PRIMARY KEY, content text, metadata jsonb, embedding vector(16))"
            )
        yield url


def used(handle: Callable[[Patch], list[str]], held: Callable[[], list[tuple[str, str]]]) -> None:
    first = handle(patch())
    assert [name for name, _ in held()] == first
    assert handle(patch()) == first or [name for name, _ in held()] != first  # a new id is fine, a second copy is not
    assert len(held()) == 1
    again = handle(patch("Within 21 days."))
    ((name, text),) = held()
    assert [name] == again
    assert text in ("", "Until when can I return a bike?\nWithin 21 days.")
    assert handle(patch("", "delete")) == []
    assert held() == []
    assert handle(patch("", "delete")) == []


@pytest.mark.parametrize("make", [langchain, llamaindex, qdrant])
def test_a_document_is_written_replaced_and_taken_out(make: Callable[[], Made]) -> None:
    used(*make())


def test_a_row_is_written_replaced_and_taken_out(database: str) -> None:
    def held() -> list[tuple[str, str]]:
        with psycopg.connect(database) as connection:
            near = "SELECT id, content FROM docs ORDER BY embedding <=> %s::vector LIMIT 9"
            return list(connection.execute(near, (str(embed("return a bike")),)))

    used(pgvector_handler(lambda: psycopg.connect(database), "public.docs", embed), held)


def test_a_pipeline_that_forgets_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="docstore"):
        llamaindex_handler(IngestionPipeline(transformations=[]))
