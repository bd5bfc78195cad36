"""The endpoint's embedder against a fake server on loopback: what it sends, what it stands, what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.embedding_endpoint import EmbeddingEndpoint, Fault
from trimtab.config import Embedding
from trimtab.embed.choice import configured
from trimtab.embed.endpoint import EndpointEmbedder
from trimtab.errors import ConfigError, Unavailable

KEY = "sk-a-key-nobody-may-see"


class Waiting:
    """Time that passes only when someone pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def monotonic(self) -> float:
        return sum(self.pauses)


class Asking:
    """A fake server, and embedders that ask it."""

    def __init__(self, server: EmbeddingEndpoint) -> None:
        self.server = server
        self.waiting = Waiting()
        self.opened: list[EndpointEmbedder] = []

    def embedder(self, **settings: Any) -> EndpointEmbedder:
        told = Embedding(**{"base_url": self.server.url, "model": "small", "kind": "endpoint", **settings})
        self.opened.append(
            EndpointEmbedder(
                told, environ={"OPENAI_API_KEY": KEY}, pause=self.waiting.pause, monotonic=self.waiting.monotonic
            )
        )
        return self.opened[-1]


@pytest.fixture
def asking() -> Iterator[Asking]:
    with EmbeddingEndpoint() as server:
        ask = Asking(server)
        yield ask
        for embedder in ask.opened:
            embedder.close()


def test_sends_batches_and_brings_the_rows_back_in_order(asking: Asking) -> None:
    asking.server.faults = ["shuffled", "shuffled"]
    rows = asking.embedder(batch_texts=2).embed(["a", "b", " ", "c", "d", "e"])
    assert [body["input"] for body in asking.server.bodies] == [["a", "b"], ["c", "d"], ["e"]]
    for text, row in zip("abcde", rows[[0, 1, 3, 4, 5]], strict=True):
        expected = np.array(asking.server.vector("small", text, 16))
        assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-6)


def test_sends_model_and_key_and_dimensions_only_where_they_are_set(asking: Asking) -> None:
    asking.embedder().embed(["a"])
    assert asking.embedder(dimensions=8).embed(["a"]).shape == (1, 8)
    first, second = asking.server.bodies
    assert first == {"model": "small", "input": ["a"], "encoding_format": "float"}
    assert second["dimensions"] == 8
    assert asking.server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_without_a_key_none_is_sent(asking: Asking) -> None:
    embedder = EndpointEmbedder(Embedding(base_url=asking.server.url, model="small"), environ={})
    embedder.embed(["a"])
    embedder.close()
    assert "Authorization" not in asking.server.headers[0]


def test_long_texts_are_cut_and_blank_texts_are_not_sent(asking: Asking) -> None:
    rows = asking.embedder(text_chars=10).embed(["x" * 99, "", " " * 10 + "late"])
    assert asking.server.bodies[0]["input"] == ["x" * 10]
    assert rows.any(axis=1).tolist() == [True, False, False]


@pytest.mark.parametrize("fault", [429, 500, 503, "drop"])
def test_what_fails_for_now_is_sent_again_with_growing_pauses(asking: Asking, fault: Fault) -> None:
    asking.server.faults = [fault] * 3
    assert asking.embedder().embed(["a"]).any()
    assert asking.waiting.pauses == [0.5, 1, 2]
    assert len(asking.server.bodies) == 4


def test_a_server_that_names_a_pause_is_left_alone_for_so_long(asking: Asking) -> None:
    asking.server.retry_after = "7"
    asking.server.faults = [429]
    assert asking.embedder().embed(["a"]).any()
    assert asking.waiting.pauses == [7]


@pytest.mark.parametrize("said", ["nan", "inf", "soon", "-3"])
def test_a_pause_that_is_no_number_of_seconds_is_passed_over(asking: Asking, said: str) -> None:
    asking.server.retry_after = said
    asking.server.faults = [429]
    assert asking.embedder().embed(["a"]).any()
    assert asking.waiting.pauses == [0.5]


def test_retries_end_when_their_time_is_up(asking: Asking) -> None:
    asking.server.faults = [503] * 50
    with pytest.raises(Unavailable, match=r"answered 503 for 10 s \(embedding.retry_s\)"):
        asking.embedder(retry_s=10).embed(["a"])
    assert sum(asking.waiting.pauses) <= 10
    assert len(asking.server.bodies) == 5


def test_a_server_that_is_down_is_named(asking: Asking) -> None:
    embedder = asking.embedder(base_url="http://127.0.0.1:9/v1", retry_s=0)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/v1/embeddings could not be reached \(ConnectError\)"):
        embedder.embed(["a"])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (400, r"answered 400 \(as_told\); lower embedding.text_chars or embedding.batch_texts"),
        (401, r"answered 401 \(as_told\); put a valid key into the environment variable 'OPENAI_API_KEY'"),
        (403, "embedding.api_key_env"),
        (404, "check embedding.base_url .* and embedding.model 'small'"),
        (418, "see the endpoint's log"),
        ("redirect", "answered 307; redirects are not followed; set embedding.base_url"),
        ("html", "sent no embeddings .* end in /v1"),
        ("lacking", "sent 1 rows for 2 texts"),
        ("short", r"vectors of \[15, 16\] numbers, expected 15; set embedding.dimensions"),
        ("empty", r"vectors of \[0\] numbers"),
        ("endless", "sent n"),
    ],
)
def test_a_final_failure_says_what_to_do_and_keeps_texts_and_key_to_itself(
    asking: Asking, fault: Fault, said: str
) -> None:
    asking.server.faults = [fault]
    with pytest.raises(Unavailable, match=said) as caught:
        asking.embedder().embed(["my own words", "b"])
    assert KEY not in caught.value.message
    assert "my own words" not in caught.value.message
    assert len(asking.server.bodies) == 1
    assert asking.waiting.pauses == []


def test_vectors_of_another_length_than_before_are_refused(asking: Asking) -> None:
    embedder = asking.embedder()
    embedder.embed(["a"])
    asking.server.dimensions = 8
    with pytest.raises(Unavailable, match=r"vectors of \[8\] numbers, expected 16"):
        embedder.embed(["a"])


def test_a_server_that_ignores_the_dimensions_asked_for_is_found(asking: Asking) -> None:
    asking.server.faults = ["short"]
    with pytest.raises(Unavailable, match=r"vectors of \[7\] numbers, expected 8"):
        asking.embedder(dimensions=8).embed(["a"])


def test_space_is_of_address_model_and_dimensions(asking: Asking) -> None:
    ways: list[dict[str, Any]] = [{}, {"model": "large"}, {"dimensions": 8}, {"base_url": "http://127.0.0.1:9/v1"}]
    assert len({asking.embedder(**way).space for way in ways}) == 4
    assert asking.embedder().space == asking.embedder(base_url=asking.server.url + "/", timeout_s=5).space


@pytest.mark.parametrize(
    "base_url", ["", "localhost:8080/v1", "file:///etc/passwd", "ftp://127.0.0.1", "http://", "/v1"]
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigError, match=r"embedding.base_url: expected an address such as"):
        EndpointEmbedder(Embedding(base_url=base_url, model="m"), environ={})


def test_an_address_with_a_password_in_it_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointEmbedder(Embedding(base_url="http://me:secret@127.0.0.1/v1", model="m"), environ={})
    assert "secret" not in caught.value.message


def test_without_a_model_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"embedding\.model is empty"):
        configured(Embedding(kind="endpoint", base_url="http://127.0.0.1/v1"))


def test_settings_choose_the_embedder() -> None:
    assert configured(Embedding()) is None
    chosen = configured(Embedding(kind="endpoint", base_url="http://127.0.0.1/v1", model="m"))
    assert isinstance(chosen, EndpointEmbedder)
    chosen.close()
