"""The contract of the `Embedder` port, sentence by sentence, over every backend.

`endpoint` asks a fake server on loopback, `sentence` wraps a fake encoder: what is tested there is the adapter, not a
model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.embedding_endpoint import EmbeddingEndpoint
from trimtab.config import Embedding
from trimtab.embed.endpoint import EndpointEmbedder
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.embed.lsa import fit_lsa
from trimtab.embed.port import Embedder
from trimtab.embed.saved import load_lsa, save_lsa
from trimtab.embed.sentence import SentenceEmbedder

TEXTS = [
    "how do i reset my password",
    "i forgot my password, please help",
    "where is my parcel",
    "has my parcel been shipped yet",
    "can i get a refund for my last order",
]
WORLD = ["Straße und Übergröße", "パスワードを忘れました", "не приходит посылка", "e\u0301te\u0301"]
ODD = ["🙂 🙂", "a\x00b", "\ud800 half", "\ufeff", "ﷺ", "\u200b"]


class FakeEncoder:
    """Stands in for a sentence-transformers model: rows made of hashes, not of length 1."""

    def __init__(self, model: str) -> None:
        self.model = model

    def encode(self, sentences: list[str], **_: Any) -> Any:
        digests = [hashlib.sha256(f"{self.model}{text}".encode()).digest() for text in sentences]
        return np.array([[byte - 127.5 for byte in digest] for digest in digests], dtype=np.float32)


Open = Callable[[str, Path, ExitStack], Embedder]


def lsa(model: str, _: Path, __: ExitStack) -> Embedder:
    return fit_lsa([*TEXTS, model])


def saved(model: str, folder: Path, __: ExitStack) -> Embedder:
    file = folder / f"{model}.space"
    save_lsa(fit_lsa([*TEXTS, model]), file)
    return load_lsa(file)


def endpoint(model: str, folder: Path, opened: ExitStack) -> Embedder:
    # One address for the whole test: the space is that of (address, model).
    server = SERVERS.get(folder)
    if server is None:
        server = SERVERS[folder] = opened.enter_context(EmbeddingEndpoint())
        opened.callback(SERVERS.pop, folder)
    embedder = EndpointEmbedder(Embedding(base_url=server.url, model=model, batch_texts=3), environ={})
    opened.callback(embedder.close)
    return embedder


SERVERS: dict[Path, EmbeddingEndpoint] = {}
BACKENDS: dict[str, Open] = {
    "endpoint": endpoint,
    "lexical": lambda *_: LexicalEmbedder(),
    "lsa": lsa,
    "saved": saved,
    "sentence": lambda model, *_: SentenceEmbedder(FakeEncoder(model), model),
}
Make = Callable[[str], Embedder]


@pytest.fixture(params=sorted(BACKENDS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as opened:
        yield lambda model: BACKENDS[request.param](model, tmp_path, opened)


@pytest.fixture
def embedder(make: Make) -> Embedder:
    return make("first")


def test_rows_are_float32_and_of_length_one(embedder: Embedder) -> None:
    rows = embedder.embed(TEXTS)
    assert rows.dtype == np.float32
    assert rows.shape[0] == len(TEXTS)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_same_text_has_the_same_row_every_time(embedder: Embedder, make: Make) -> None:
    rows = embedder.embed(TEXTS)
    assert np.array_equal(rows, embedder.embed(TEXTS))
    assert np.array_equal(rows, make("first").embed(TEXTS))


def test_rows_keep_the_order_of_the_texts(embedder: Embedder) -> None:
    rows = embedder.embed(TEXTS)
    assert np.allclose(embedder.embed(TEXTS[::-1]), rows[::-1], atol=1e-6)
    assert not np.allclose(rows[0], rows[2], atol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    alone = np.vstack([embedder.embed([text]) for text in TEXTS])
    assert np.allclose(alone, embedder.embed([*TEXTS, "something else", ""])[: len(TEXTS)], atol=1e-6)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape[0] == 0
    length = embedder.embed(TEXTS).shape[1]
    assert embedder.embed([]).shape == (0, length)
    assert embedder.embed([]).dtype == np.float32


def test_texts_without_a_letter_or_digit_are_zero_rows(embedder: Embedder) -> None:
    blank = embedder.embed(["", "   ", "\n\t", "!?"])
    assert not blank.any()
    mixed = embedder.embed([TEXTS[0], "", TEXTS[1]])
    assert blank.shape == (4, mixed.shape[1])
    assert mixed[0].any()
    assert not mixed[1].any()
    assert np.allclose(mixed[[0, 2]], embedder.embed(TEXTS[:2]), atol=1e-6)


def test_a_very_long_text_is_embedded(embedder: Embedder) -> None:
    row = embedder.embed(["where is my parcel? " * 20_000])[0]
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_any_text_has_a_row_of_length_one_or_zero(embedder: Embedder) -> None:
    lengths = np.linalg.norm(embedder.embed([*WORLD, *ODD]), axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))


def test_threads_get_the_rows_one_thread_gets(embedder: Embedder) -> None:
    expected = embedder.embed(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for rows in pool.map(lambda _: embedder.embed(TEXTS), range(40)):
            assert np.array_equal(rows, expected)


def test_a_space_has_one_id_and_another_model_another(
    make: Make, embedder: Embedder, request: pytest.FixtureRequest
) -> None:
    before = embedder.space
    embedder.embed(TEXTS)
    assert embedder.space == before == make("first").space
    assert before.isascii()
    if "lexical" not in request.node.name:  # it has no model; its one space is told from all others by its name
        assert make("second").space != before


def test_spaces_of_different_backends_differ(tmp_path: Path) -> None:
    with ExitStack() as opened:
        kinds = {name: open_("first", tmp_path, opened).space for name, open_ in BACKENDS.items()}
    assert kinds.pop("saved") == kinds["lsa"]
    assert len(set(kinds.values())) == len(kinds)
