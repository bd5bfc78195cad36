"""An index is embedded anew beside the one that answers, judged by known questions, and taken over in one step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.types.json import Jsonb
from qdrant_client import QdrantClient
from qdrant_client.models import (
    CreateAlias,
    CreateAliasOperation,
    Distance,
    PointIdsList,
    PointStruct,
    VectorParams,
)

from tests.postgres import PostgresServer, postgres_server
from tests.unit.client.adapters.words import COARSE, coarse, fine, mute
from trimtab.client.adapters.pgvector import PgvectorShelf
from trimtab.client.adapters.qdrant import QdrantShelf
from trimtab.client.indexer import Patch
from trimtab.client.rebuild import Generation, Rebuild, Shelf

ROOT = Path(__file__).parents[4]
GOODS = ("bell", "bike", "chain", "fork", "helmet", "lamp", "lock", "pedal", "pump", "saddle", "tube", "wheel")
TEXTS = {number: f"The price of a {goods} is {10 + number} euros." for number, goods in enumerate(GOODS * 4)}
Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]


class Index(NamedTuple):
    """An app's index: its shelf, and how the app itself writes to it and asks it."""

    shelf: Shelf
    write: Callable[[int, str], None]
    remove: Callable[[int], None]
    ask: Callable[[Sequence[float]], list[str]]
    texts: Callable[[], dict[str, str]]

    def rebuild(self, embed: Embed = fine, *, questions: Any = (), lot: int = 8) -> Rebuild:
        return Rebuild(self.shelf, Generation("v1", coarse), Generation("v2", embed), questions=questions, lot=lot)


def in_qdrant(client: QdrantClient) -> Index:
    client.create_collection("v1", vectors_config=VectorParams(size=COARSE, distance=Distance.COSINE))
    alias = CreateAlias(collection_name="v1", alias_name="docs")
    client.update_collection_aliases([CreateAliasOperation(create_alias=alias)])

    def write(number: int, text: str) -> None:
        payload = {"text": text, "shop": "north"}
        client.upsert("docs", points=[PointStruct(id=number, vector=coarse([text])[0], payload=payload)])

    def remove(number: int) -> None:
        client.delete("docs", points_selector=PointIdsList(points=[number]))

    def texts() -> dict[str, str]:
        points, _ = client.scroll("docs", limit=1000, with_payload=True)
        assert all((point.payload or {})["shop"] == "north" for point in points if isinstance(point.id, int))
        return {str(point.id): str((point.payload or {})["text"]) for point in points}

    return Index(
        shelf=QdrantShelf(client, "docs"),
        write=write,
        remove=remove,
        ask=lambda vector: [str(each.id) for each in client.query_points("docs", query=list(vector), limit=3).points],
        texts=texts,
    )


def in_postgres(url: str) -> Index:
    def done(statement: Any, *values: Any) -> Any:
        with psycopg.connect(url) as connection:
            made = connection.execute(statement, values or None)
            return made.fetchall() if made.description else None

    done("CREATE EXTENSION IF NOT EXISTS vector")
    done(
        f"CREATE TABLE docs (id text PRIMARY KEY, content text NOT NULL, metadata jsonb, embedding vector({COARSE}), "
        "shop text DEFAULT 'north', letters int GENERATED ALWAYS AS (length(content)) STORED)"
    )
    done("CREATE INDEX docs_near ON docs USING hnsw (embedding vector_cosine_ops)")

    def write(number: int, text: str) -> None:
        done(
            "INSERT INTO docs (id, content, metadata, embedding) VALUES (%s, %s, %s, %s::vector) "
            "ON CONFLICT (id) DO UPDATE SET content = EXCLUDED.content, embedding = EXCLUDED.embedding",
            str(number), text, Jsonb({"number": number}), str(coarse([text])[0]),
        )  # fmt: skip

    def texts() -> dict[str, str]:
        rows = done("SELECT id, content, shop, letters FROM docs")
        assert all((shop, letters) == ("north", len(text)) for _, text, shop, letters in rows)
        return {name: text for name, text, _, _ in rows}

    near = "SELECT id FROM docs ORDER BY embedding <=> %s::vector LIMIT 3"
    return Index(
        shelf=PgvectorShelf(lambda: psycopg.connect(url), "docs"),
        write=write,
        remove=lambda number: done("DELETE FROM docs WHERE id = %s", str(number)),
        ask=lambda vector: [str(name) for (name,) in done(near, str(list(vector)))],
        texts=texts,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["qdrant", "postgres"])
def index(request: pytest.FixtureRequest) -> Index:
    if request.param == "qdrant":
        made = in_qdrant(QdrantClient(":memory:"))
    else:
        made = in_postgres(request.getfixturevalue("server").database())
    for number, text in TEXTS.items():
        made.write(number, text)
    return made


def questions() -> list[tuple[str, set[str]]]:
    return [
        (f"What is the price of a {goods}?", {str(at) for at in range(at, 48, 12)}) for at, goods in enumerate(GOODS)
    ]


def test_a_whole_index_moves_to_another_embedder_in_one_step(index: Index) -> None:
    rebuild = index.rebuild(questions=questions())
    assert rebuild.serving.name == "v1"
    report = rebuild.run()
    assert (report.state, report.embedded, report.asked, report.lost) == ("switched", len(TEXTS), 12, ())
    assert report.found >= report.found_before
    assert rebuild.serving.name == "v2"
    assert index.texts() == {str(number): text for number, text in TEXTS.items()}
    found = index.ask(fine(["The price of a saddle"])[0])
    assert set(found) <= {"9", "21", "33", "45"}
    assert rebuild.retrieve("The price of a saddle", 3) == found
    assert rebuild.run().state == "switched"  # once more changes nothing


def test_an_embedder_that_finds_less_is_refused_and_the_old_one_goes_on(index: Index) -> None:
    report = index.rebuild(mute, questions=questions()).run()
    assert report.state == "refused"
    assert 0 < report.found_before - report.found <= len(report.lost)
    assert index.rebuild(mute).serving.name == "v1"
    assert index.ask(coarse(["What is the price of a saddle?"])[0])


def test_what_was_embedded_before_a_failure_is_not_embedded_again(index: Index) -> None:
    embedded: list[str] = []

    def failing(texts: Sequence[str]) -> list[list[float]]:
        if len(embedded) >= 24:
            raise TimeoutError("the endpoint is away")
        embedded.extend(text for text in texts if text != "size")
        return fine(texts)

    with pytest.raises(TimeoutError):
        index.rebuild(failing).run()
    assert index.rebuild().serving.name == "v1"
    report = index.rebuild().run()
    assert (report.state, report.embedded) == ("switched", len(TEXTS) - 24)


def test_what_the_app_writes_meanwhile_is_brought_over(index: Index) -> None:
    seen: list[int] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        seen.append(len(texts))
        if len(seen) == 4:
            index.write(0, "The price of a bell is 99 euros.")
            index.write(99, "The price of a basket is 30 euros.")
            index.remove(1)
        return fine(texts)

    assert index.rebuild(embed).run().state == "switched"
    texts = index.texts()
    assert texts["0"] == "The price of a bell is 99 euros."
    assert "1" not in texts
    assert "99" in texts
    assert index.ask(fine(["The price of a basket is 30 euros."])[0])[0] == "99"


def test_a_patch_goes_into_both_and_the_way_back_loses_nothing(index: Index) -> None:
    rebuild = index.rebuild()
    assert rebuild.run().state == "switched"
    patch = Patch("p", "desk", "upsert", "k_1", "Until when can I return it?", "Within 14 days.", None, None, ())
    (written,) = rebuild.handler(patch)
    assert rebuild.retrieve("Until when can I return it?", 1) == [written]
    report = rebuild.revert()
    assert (report.state, report.embedded) == ("switched", 0)
    assert rebuild.serving.name == "v1"
    assert rebuild.retrieve("Until when can I return it?", 1) == [written]
    assert rebuild.run().state == "switched"
    rebuild.handler(patch._replace(kind="delete"))
    rebuild.drop_old()
    assert rebuild.serving.name == "v2"
    assert written not in index.texts()
    assert rebuild.handler(patch) == [written]  # into the one that is left
    with pytest.raises(ValueError, match="answer"):
        Rebuild(index.shelf, Generation("v2", fine), Generation("v3", fine)).drop_old()


def test_a_rebuild_that_was_killed_goes_on_where_it_was(server: PostgresServer) -> None:
    url = server.database()
    index = in_postgres(url)
    for number, text in TEXTS.items():
        index.write(number, text)
    command = [sys.executable, "-m", "tests.unit.client.adapters.rebuild_worker", url]
    told = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    ends = [
        subprocess.run([*command, most], cwd=ROOT, env=told, capture_output=True, text=True, timeout=120, check=False)
        for most in ("16", "8", "0")
    ]
    assert [end.returncode for end in ends] == [-9, -9, 0], ends[-1].stderr
    assert ends[-1].stdout == "switched 24"
    assert index.texts() == {str(number): text for number, text in TEXTS.items()}


def test_an_index_without_an_alias_is_told_what_it_needs() -> None:
    client = QdrantClient(":memory:")
    client.create_collection("docs", vectors_config=VectorParams(size=COARSE, distance=Distance.COSINE))
    with pytest.raises(ValueError, match="create the alias"):
        Rebuild(QdrantShelf(client, "docs"), Generation("v1", coarse), Generation("v2", fine)).run()
