"""A redactor that raises costs an event its words, never its ids and ratings; raw words reach no file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.intake import feedback, inference
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.records import Profile
from trimtab.redact import FAILED, KnownValue, Redactor

RAW = "zanzibar-marmalade"
FIELDS: dict[str, dict[str, Any]] = {
    "text": {"error": RAW},
    "payload": {"input": {"asked": [RAW]}},
    "plain payload": {"output": RAW},
    "tags": {"tags": {"team": RAW}},
    "identifier": {"session_id": RAW},
    "chunk": {"context": [{"id": "c1", "text": RAW, "score": 0.5}]},
    "chunk's id": {"context": [{"id": RAW, "text": "fine"}]},
    "profile": {"profile": {"plan": "pro", "name": RAW}, "input": f"I am {RAW}"},
}


class Raising(Redactor):
    """A redactor whose every way in raises on one word, with that word in the error."""

    def _check(self, value: object) -> None:
        if RAW in json.dumps(value):
            raise RuntimeError(f"cannot clean {value!r}")

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        self._check(list(texts))
        return super().batch(texts, known)

    def value(self, value: object, known: Sequence[KnownValue] = ()) -> object:
        self._check(value)
        return super().value(value, known)

    def identifier(self, text: str) -> str:
        self._check(text)
        return super().identifier(text)


class Always:
    """The same redactor for every project."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def of(self, project_id: str) -> Redactor:
        return self._redactor


def break_redactor(server: Live) -> None:
    server.engine.intake._cleaners = Always(Raising(key=bytes(32)))


def raw_files(folder: Path) -> list[str]:
    """Return the files under a folder that hold the raw word."""
    return [path.name for path in folder.rglob("*") if path.is_file() and RAW.encode() in path.read_bytes()]


@pytest.mark.parametrize("fields", FIELDS.values(), ids=list(FIELDS))
def test_an_event_that_cannot_be_cleaned_is_kept_without_its_words(tmp_path: Path, fields: dict[str, Any]) -> None:
    sent = inference("bad", **{"latency_ms": 12.5, "model": "gpt-4o-mini", **fields})
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        break_redactor(server)
        answer = client.post("/v1/events", json=[inference("good"), sent, feedback("bad", value=0)])
        assert answer.json() == {"accepted": 3, "duplicates": 0, "rejected": []}
        stored = server.engine.store.inferences("default", [sent["id"], inference("good")["id"]])
        kept = stored[sent["id"]]
        assert (kept.id, kept.feature, kept.latency_ms, kept.model) == (sent["id"], "support", 12.5, "gpt-4o-mini")
        assert kept.user_id == "user-1"
        assert kept.input == FAILED
        assert RAW not in str(kept)
        assert stored[inference("good")["id"]].input == "Where is my order?"
        assert raw_files(tmp_path) == []
        with server.client("admin") as admin:
            assert "trimtab_redaction_failures_total 1.0" in admin.get("/metrics").text
    assert raw_files(tmp_path) == []


def test_a_comment_that_cannot_be_cleaned_still_counts(tmp_path: Path) -> None:
    comment = feedback("bad", kind="rating", value=2, best=5, text=RAW, label=RAW)
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        break_redactor(server)
        assert client.post("/v1/feedback", json=comment).json()["accepted"] == 1
        (row,) = server.engine.store.feedback_after(0, 10)
    kept = row.record
    assert (kept.kind, kept.value, kept.best, kept.inference_id) == ("rating", 2, 5, comment["inference_id"])
    assert (kept.text, kept.label) == (FAILED, FAILED)
    assert raw_files(tmp_path) == []


def test_an_event_is_refused_when_even_its_ids_cannot_be_judged(tmp_path: Path) -> None:
    class Dead(Raising):
        @property
        def version(self) -> str:
            raise RuntimeError(RAW)

        @version.setter
        def version(self, _value: str) -> None: ...

    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        server.engine.intake._cleaners = Always(Dead(key=bytes(32)))
        answer = client.post("/v1/events", json=[inference("bad", input=RAW)]).json()
        assert [one["code"] for one in answer["rejected"]] == ["redaction_failed"]
    assert raw_files(tmp_path) == []


def test_a_known_name_reaches_no_file(tmp_path: Path) -> None:
    profile = {"plan": "pro", "name": RAW, "email": f"{RAW}@example.com", "phone": "+49 30 12345678"}
    sent = inference("1", input=f"I am {RAW}, at 030 1234 5678", profile=profile)
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        assert client.post("/v1/events", json=[sent]).json()["accepted"] == 1
        kept = server.engine.store.inferences("default", [sent["id"]])[sent["id"]]
        assert kept.profile == Profile(plan="pro")
        assert str(kept.input).startswith("I am <NAME>, at <PHONE:")
    assert raw_files(tmp_path) == []


def test_a_large_batch_is_cleaned_like_a_small_one(tmp_path: Path) -> None:
    events = [inference(n, input=f"{n} I am jane.doe@example.com " + "word " * 40) for n in range(600)]
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client("ingest") as client:
        assert client.post("/v1/events", json=events).json()["accepted"] == 600
        small = inference("small", input=events[0]["input"])
        assert client.post("/v1/events", json=[small]).json()["accepted"] == 1
        stored = server.engine.store.inferences("default", [events[0]["id"], events[599]["id"], small["id"]])
    assert stored[events[0]["id"]].input == stored[small["id"]].input
    assert all("jane" not in str(one.input) for one in stored.values())
