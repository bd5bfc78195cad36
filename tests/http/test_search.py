"""GET /v1/search over HTTP: what it takes, what it answers, what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.ids import new_id
from trimtab.measure.search import Search
from trimtab.records import Feedback, Inference
from trimtab.redact.wall import seal
from trimtab.store.ports import Arrival, Writes
from trimtab.store.vectors.port import Item

P = "default"
TEXTS = [
    "my card was charged two times",
    "billed double for one order",
    "the parcel never came",
    "write to anna.schmidt@example.com about my card",
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("search")
    with live(folder, clock=SetClock(NOW)) as running:
        engine = running.engine
        answer = Inference(id=new_id(NOW), feature="billing", created_at=NOW, input="why was I billed?", output="So.")
        words = [
            Feedback(
                id=new_id(NOW),
                kind="comment",
                text=text,
                created_at=NOW + timedelta(minutes=number),
                feature="support",
                session_id="s",
            )
            for number, text in enumerate(TEXTS)
        ]
        events: list[Inference | Feedback] = [answer, *words]
        engine.store.append([Arrival(P, seal(engine.redactor.of(P), event), NOW) for event in events])
        engine.store.commit({P: Writes()})
        space: LsaEmbedder = fit_lsa(TEXTS, dimensions=4)
        items = [Item(kind="feedback", id=each.id, created_at=each.created_at, feature="support") for each in words]
        engine.vectors.upsert(P, space.space, items, np.asarray(space.embed(TEXTS)))
        engine.vectors.switch(P, space.space)
        engine.search = Search(engine.store, engine.vectors, lambda _, name: space if name == space.space else None)
        yield running


@pytest.fixture
def reader(searched: Live) -> Iterator[httpx.Client]:
    with searched.client("read") as client:
        yield client


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["feedback"]["text"] for item in answer.json()["items"] if item["kind"] == "feedback"]


def test_hybrid_is_the_default_and_says_why(reader: httpx.Client) -> None:
    answer = reader.get("/v1/search", params={"q": "card charged"})
    best = answer.json()["items"][0]
    assert best["feedback"]["text"] == TEXTS[0]
    assert {reason["by"] for reason in best["why"]} == {"meaning", "words"}
    assert answer.json()["mode"] == "hybrid"
    assert answer.json()["space"].startswith("lsa_")


def test_each_mode_and_filter_reaches_the_search(reader: httpx.Client) -> None:
    assert texts(reader.get("/v1/search", params={"q": "parcel", "mode": "exact"})) == [TEXTS[2]]
    assert TEXTS[1] in texts(reader.get("/v1/search", params={"q": "billed", "mode": "semantic", "limit": 2}))
    later = {"q": "the", "mode": "exact", "since": (NOW + timedelta(minutes=2)).isoformat()}
    assert texts(reader.get("/v1/search", params=later)) == [TEXTS[2]]
    answers = reader.get("/v1/search", params={"q": "billed", "kind": "inference"}).json()["items"]
    assert [item["inference"]["feature"] for item in answers] == ["billing"]
    assert texts(reader.get("/v1/search", params={"q": "card", "feature": "other"})) == []
    assert texts(reader.get("/v1/search", params={"q": "card", "mode": "exact", "negative": "true"})) == []


def test_a_query_is_cleaned_like_the_texts_it_is_compared_with(reader: httpx.Client) -> None:
    (found,) = texts(reader.get("/v1/search", params={"q": "anna.schmidt@example.com", "mode": "exact"}))
    assert "anna.schmidt" not in found
    assert found.endswith("about my card")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "q"),
        ({"q": "!?"}, "q"),
        ({"q": "x" * 1001}, "q"),
        ({"q": "x", "mode": "fuzzy"}, "mode"),
        ({"q": "x", "kind": "topic"}, "kind"),
        ({"q": "x", "negative": "yes"}, "negative"),
        ({"q": "x", "limit": 101}, "limit"),
        ({"q": "x", "after": 3}, "after"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(reader: httpx.Client, params: dict[str, str], param: str) -> None:
    answer = reader.get("/v1/search", params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
