"""Topics over HTTP, from the first event in to the topic out, through the engine that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.live import NOW, Live, live
from tests.topic_world import sentences
from trimtab.clock import SetClock
from trimtab.config import Settings, Topics
from trimtab.ids import new_id

WORDS = {"card": 30, "parcel": 20, "login": 40}


def events() -> list[dict[str, Any]]:
    """Return comments on answers of feature shop (login: said lately alone), and answers that were corrected."""
    found: list[dict[str, Any]] = []
    for subject, count in WORDS.items():
        for place, text in enumerate(sentences(subject, count, 1)):
            at = NOW - timedelta(days=place % (5 if subject == "login" else 27), minutes=1)
            answer = new_id(at)
            mine = {"created_at": at.isoformat(), "user_id": f"{subject}-{place}"}
            found.append({"type": "inference", "id": answer, "feature": "shop", "input": "hm?", "output": "so", **mine})
            said = {"type": "feedback", "id": new_id(at), "kind": "comment", "inference_id": answer, "text": text}
            found.append({**said, **mine})
    return found


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("topics")
    with live(folder, Settings(topics=Topics(every_hours=0)), clock=SetClock(NOW)) as running:
        with running.client("ingest") as client:
            sent = events()
            assert client.post("/v1/events", json=sent).json()["accepted"] == len(sent)
        running.engine.settle()
        yield running


@pytest.fixture(scope="module")
def found(serving: Live) -> dict[str, Any]:
    """Return the run that was asked for over HTTP, once it is done."""
    with serving.client("admin") as admin:
        asked = admin.post("/v1/topics/runs")
        assert asked.status_code == 202, asked.text
        assert asked.json()["state"] == "asked"
        assert admin.post("/v1/topics/runs", json={}).json()["id"] == asked.json()["id"]
        serving.engine.settle()
        run: dict[str, Any] = admin.get(f"/v1/topics/runs/{asked.json()['id']}").json()
        return run


@pytest.fixture
def reader(serving: Live, found: dict[str, Any]) -> Iterator[httpx.Client]:
    assert found["state"] == "done", found
    with serving.client("read") as client:
        yield client


def test_topics_come_with_what_was_left_out(reader: httpx.Client, found: dict[str, Any]) -> None:
    answer = reader.get("/v1/topics", params={"feature": "shop"}).json()
    assert [topic["size"] for topic in answer["items"]] == sorted(WORDS.values(), reverse=True)
    assert {topic["feature"] for topic in answer["items"]} == {"shop"}
    assert answer["survey"] in found["surveys"]
    assert answer["survey"]["outliers"] + sum(WORDS.values()) == answer["survey"]["texts"]
    assert answer["found_at"] == found["started_at"]
    whole = reader.get("/v1/topics").json()
    assert [topic["size"] for topic in whole["items"]] == sorted(WORDS.values(), reverse=True)
    assert not {topic["id"] for topic in whole["items"]} & {topic["id"] for topic in answer["items"]}
    assert reader.get("/v1/topics", params={"feature": "other"}).json() == {
        "items": [],
        "found_at": None,
        "survey": None,
    }


def test_what_more_people_began_to_say_is_emerging(reader: httpx.Client) -> None:
    (news,) = reader.get("/v1/topics", params={"emerging": "true"}).json()["items"]
    assert {"password login"} & set(news["words"])
    assert news["p_adjusted"] < 0.05
    assert len(news["days"]) == 5
    rest = reader.get("/v1/topics", params={"emerging": "false"}).json()["items"]
    assert len(rest) == 2
    assert reader.get("/v1/topics", params={"since": NOW.isoformat()}).json()["items"] == []
    assert reader.get("/v1/topics", params={"state": "gone"}).json()["items"] == []


def test_a_topic_shows_its_texts_and_the_answers_they_are_about(reader: httpx.Client) -> None:
    largest = reader.get("/v1/topics").json()["items"][0]
    shown = reader.get(f"/v1/topics/{largest['id']}").json()
    assert shown["topic"] == largest
    assert [each["feedback"]["id"] for each in shown["examples"]] == largest["examples"]
    assert all("password login" in each["feedback"]["text"] for each in shown["examples"])
    assert {each["inference"]["output"] for each in shown["examples"]} == {"so"}


def test_all_texts_of_a_topic_come_page_by_page(reader: httpx.Client) -> None:
    largest = reader.get("/v1/topics").json()["items"][0]
    path, ids, after = f"/v1/topics/{largest['id']}/feedback", [], None
    while True:
        page = reader.get(path, params={"limit": 15, **({"after": after} if after else {})}).json()
        ids += [each["feedback"]["id"] for each in page["items"]]
        after = page.get("next")
        if after is None:
            break
    assert len(ids) == len(set(ids)) == largest["size"]
    times = [msgspec.convert(each, str) for each in ids]
    assert times == sorted(times, reverse=True)  # ids rise with time
    assert reader.get(path, params={"kind": "inference"}).json()["items"] == []


def test_runs_are_listed(reader: httpx.Client, found: dict[str, Any]) -> None:
    assert reader.get("/v1/topics/runs").json()["items"] == [found]
    assert reader.get("/v1/topics/runs", params={"state": "failed"}).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("/v1/topics", {"state": "new"}, "state"),
        ("/v1/topics", {"emerging": "yes"}, "emerging"),
        ("/v1/topics", {"limit": "3"}, "limit"),
        ("/v1/topics/runs", {"state": "live"}, "state"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    reader: httpx.Client, path: str, params: dict[str, str], param: str
) -> None:
    answer = reader.get(path, params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_what_is_not_there_is_not_found(serving: Live, reader: httpx.Client) -> None:
    nobody = new_id(NOW)
    for path in (f"/v1/topics/{nobody}", f"/v1/topics/{nobody}/feedback", f"/v1/topics/runs/{nobody}", "/v1/topics/x"):
        assert reader.get(path).status_code == 404
    with serving.client("admin") as admin:
        assert admin.post("/v1/topics/runs", json={"feature": "nowhere"}).status_code == 404
