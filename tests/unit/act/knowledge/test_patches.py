"""What an index is told follows what is served, and what is known of it is never more than was said."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.act.knowledge.index import open_retriever, open_webhook
from trimtab.act.knowledge.patches import SOURCE_CORRECTED, PatchDesk
from trimtab.act.knowledge.place import PatchPlace
from trimtab.act.knowledge.stage import KnowledgeStage
from trimtab.clock import SetClock
from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.errors import ConfigError, Conflict, NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import Chunk, Feature, Inference, Knowledge, KnowledgePatch, Project, Rollout, Version
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.store.erasing import Gone
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Query, Switch, Writes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
P, FEATURE = "default", "desk"
ENTRY = Knowledge(
    id="k_1",
    question="Until when can I return a bike?",
    text="Within 14 days of delivery.",
    source_id="doc-1",
    expires_at=NOW + timedelta(days=90),
)
REDACTOR = Redactor(key=bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    opened.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})
    opened.commit({P: Writes(features=[seal(REDACTOR, Feature(name=FEATURE, created_at=NOW))])})
    yield opened
    opened.close()


@pytest.fixture
def desk(store: HotStore) -> PatchDesk:
    return PatchDesk(store, REDACTOR, KnowledgeSettings())


def serve(store: HotStore, *entries: Knowledge) -> tuple[Rollout, Version]:
    """Serve a version with these entries to everyone."""
    sealed = seal(REDACTOR, Version(feature=FEATURE, created_at=NOW, knowledge=list(entries)))
    before = store.rollout(P, FEATURE)
    revision = before.revision if before else 0
    rollout = Rollout(
        feature=FEATURE,
        stable_version_id=sealed.record.id,
        updated_at=NOW,
        id=derived_id("r", str(revision)),
        revision=revision + 1,
    )
    store.commit({P: Writes(versions=[sealed], switches=[Switch(rollout, revision)])})
    return rollout, sealed.record


def told(store: HotStore) -> list[tuple[str, str, str]]:
    rows = store.patches(P, Query(newest=False)).rows
    return [(row.record.kind, row.record.entry_id, row.record.state) for row in rows]


def only(store: HotStore, *states: Any) -> KnowledgePatch:
    (row,) = store.patches(P, Query(), states).rows
    return row.record


def test_a_served_entry_becomes_one_patch_however_often_it_is_looked_at(store: HotStore, desk: PatchDesk) -> None:
    rollout, stable = serve(store, ENTRY)
    assert desk.follow(P, rollout, stable, NOW) == 1
    assert desk.follow(P, rollout, stable, NOW) == 0
    patch = only(store)
    assert (patch.question, patch.text, patch.source_id) == (ENTRY.question, ENTRY.text, "doc-1")


def test_what_is_served_no_more_is_taken_out_and_comes_back_with_its_version(store: HotStore, desk: PatchDesk) -> None:
    desk.follow(P, *serve(store, ENTRY), NOW)
    desk.acknowledge(P, only(store).id, ["c-1"], None, NOW)
    desk.follow(P, *serve(store), NOW)
    assert told(store) == [("upsert", "k_1", "withdrawn"), ("delete", "k_1", "waiting")]
    assert only(store, "withdrawn").text == ""
    assert [chunk.id for chunk in only(store, "waiting").chunks] == ["c-1"]
    desk.follow(P, *serve(store, ENTRY), NOW)
    assert told(store) == [("upsert", "k_1", "withdrawn"), ("delete", "k_1", "withdrawn"), ("upsert", "k_1", "waiting")]


def test_an_entry_that_expires_is_taken_out(store: HotStore, desk: PatchDesk) -> None:
    served = serve(store, ENTRY)
    desk.follow(P, *served, NOW)
    desk.follow(P, *served, NOW + timedelta(days=90))
    assert told(store) == [("upsert", "k_1", "withdrawn"), ("delete", "k_1", "waiting")]


def test_another_text_for_the_same_entry_takes_the_place_of_the_first(store: HotStore, desk: PatchDesk) -> None:
    desk.follow(P, *serve(store, ENTRY), NOW)
    desk.follow(P, *serve(store, msgspec.structs.replace(ENTRY, text="Within 21 days.")), NOW)
    assert told(store) == [("upsert", "k_1", "withdrawn"), ("upsert", "k_1", "waiting")]
    assert only(store, "waiting").text == "Within 21 days."


def test_an_erased_persons_words_leave_every_patch_and_a_look_from_before_brings_none_back(
    store: HotStore, desk: PatchDesk
) -> None:
    said = "018f0000-0000-7000-8000-000000000001"
    theirs = msgspec.structs.replace(ENTRY, id=content_id("k", said.encode()), source_feedback_id=said)
    before = serve(store, theirs, msgspec.structs.replace(ENTRY, id="k_other", question="And a lamp?"))
    desk.follow(P, *before, NOW)
    serve(store, msgspec.structs.replace(ENTRY, id="k_other", question="And a lamp?"))  # what forgetting leaves
    removed = PatchPlace(desk, SetClock(NOW)).erase(P, Gone(["u-1"], [], [said]))
    assert removed is not None
    assert removed.counts == {"patches": 1}
    assert desk.follow(P, *before, NOW) == 0
    found = {(row.record.entry_id, row.record.kind): row.record for row in store.patches(P, Query()).rows}
    assert found[theirs.id, "upsert"].state == "withdrawn"
    assert (found[theirs.id, "upsert"].question, found[theirs.id, "upsert"].text) == ("", "")
    assert found[theirs.id, "delete"].state == "waiting"
    assert found["k_other", "upsert"].text == ENTRY.text
    again = PatchPlace(desk, SetClock(NOW)).erase(P, Gone(["u-1"], [], [said]))
    assert again is not None
    assert again.counts == {}


def test_an_erased_persons_words_leave_the_oldest_patch_of_many(store: HotStore, desk: PatchDesk) -> None:
    said = "018f0000-0000-7000-8000-000000000001"
    theirs = msgspec.structs.replace(ENTRY, id=content_id("k", said.encode()), source_feedback_id=said)
    desk.follow(P, *serve(store, theirs), NOW)
    store.commit({P: Writes(patches=[seal(REDACTOR, carried_out(number)) for number in range(10_001)])})
    removed = PatchPlace(desk, SetClock(NOW)).erase(P, Gone(["u-1"], [], [said]))
    assert removed is not None
    assert removed.counts == {"patches": 1}
    assert not [row for row in store.patches(P, Query(), ("waiting",)).rows if row.record.text]


def test_what_needs_no_check_keeps_none_from_being_checked(store: HotStore) -> None:
    store.commit({P: Writes(patches=[seal(REDACTOR, carried_out(number)) for number in range(25)])})
    settings = KnowledgeSettings(retrieve="tests.unit.act.knowledge.test_patches:found_entry")
    desk = PatchDesk(store, REDACTOR, settings)
    stage = KnowledgeStage(store, desk, settings, retriever=open_retriever(settings, lambda: NOW), inline=True)
    desk.follow(P, *serve(store, ENTRY), NOW)
    desk.acknowledge(P, only(store, "waiting").id, [], None, NOW)
    stage.tick(NOW)
    assert only(store, "verified").entry_id == ENTRY.id


def carried_out(number: int) -> KnowledgePatch:
    """Return a delete that the app's worker has carried out."""
    return KnowledgePatch(
        id=derived_id("gone", str(number)),
        feature=FEATURE,
        kind="delete",
        state="delivered",
        created_at=NOW,
        next_at=NOW,
        entry_id=f"k_gone_{number}",
        version_id="v1",
    )


def found_entry(_query: str, _k: int) -> list[dict[str, Any]]:
    return [{"id": ENTRY.id}]


def test_verified_means_that_the_index_gives_it_among_the_first(store: HotStore, desk: PatchDesk) -> None:
    desk.follow(P, *serve(store, ENTRY), NOW)
    patch_id = only(store).id
    assert desk.acknowledge(P, patch_id, ["c-1"], None, NOW).state == "delivered"
    assert desk.acknowledge(P, patch_id, ["c-1"], ["a", "b", "c", "d", "e", "c-1"], NOW).state == "unverified"
    assert desk.acknowledge(P, patch_id, [], ["a", "c-1"], NOW).state == "verified"
    with pytest.raises(NotFound):
        desk.acknowledge(P, derived_id("no"), [], None, NOW)


def test_a_word_on_a_withdrawn_patch_is_refused_for_its_delete_follows(store: HotStore, desk: PatchDesk) -> None:
    desk.follow(P, *serve(store, ENTRY), NOW)
    patch_id = only(store).id
    desk.follow(P, *serve(store), NOW)
    with pytest.raises(Conflict, match="withdrawn"):
        desk.acknowledge(P, patch_id, ["c-1"], None, NOW)


def test_an_entry_dies_with_the_document_it_corrects(store: HotStore, desk: PatchDesk) -> None:
    stage = KnowledgeStage(store, desk, KnowledgeSettings(), inline=True)
    serve(store, ENTRY)
    stage.tick(NOW)
    for at, text in enumerate(["Returns within 30 days of delivery.", "Returns within 14 days of delivery."]):
        answer = Inference(
            id=derived_id("i", str(at)),
            feature=FEATURE,
            created_at=NOW + timedelta(minutes=at),
            input="?",
            output="!",
            context=[Chunk(id="doc-1", text=text)],
        )
        store.append([Arrival(P, seal(REDACTOR, answer), NOW)])
        stage.tick(NOW + timedelta(hours=1 + at))
        assert [state for _, _, state in told(store)] == (["waiting"] if at == 0 else ["withdrawn", "waiting"])
    assert only(store, "withdrawn").error == SOURCE_CORRECTED
    stage.tick(NOW + timedelta(hours=9))
    assert len(told(store)) == 2


class Door:
    """The app's side of the webhooks: checks the signature, answers as told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.found: list[str] = []
        door = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seconds, _, given = self.headers["Trimtab-Signature"].removeprefix("t=").partition(",v1=")
                right = hmac.new(b"s3cret", seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
                told = json.loads(body)
                door.bodies.append(told)
                answer = (
                    {"chunks": [{"id": name, "text": "x"} for name in door.found]}
                    if told["type"] == "knowledge.retrieve"
                    else {"chunk_ids": [f"c-{told['entry_id']}"]}
                )
                data = json.dumps(answer).encode()
                self.send_response(door.status if given == right else 401)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


def test_a_signed_webhook_gets_the_patch_again_until_it_takes_it_and_the_index_is_asked(
    store: HotStore, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_KNOWLEDGE_SECRET", "s3cret")
    settings = KnowledgeSettings(webhook_url=door.url, retrieve_url=door.url, retry_s=60, allow_private=True)
    desk = PatchDesk(store, REDACTOR, settings)
    stage = KnowledgeStage(
        store,
        desk,
        settings,
        webhook=open_webhook(settings),
        retriever=open_retriever(settings, lambda: NOW),
        inline=True,
    )
    serve(store, ENTRY)
    door.status = 503
    stage.tick(NOW)
    assert (only(store).state, only(store).attempts, only(store).error) == (
        "waiting",
        1,
        "the app's index answered 503",
    )
    stage.tick(NOW + timedelta(seconds=30))
    assert len(door.bodies) == 1  # it rests
    door.status = 200
    stage.tick(NOW + timedelta(seconds=60))
    assert only(store).state == "unverified"
    assert door.bodies[1]["id"] == door.bodies[0]["id"]
    door.found = ["other", "c-k_1"]
    stage.tick(NOW + timedelta(hours=1))
    assert only(store).state == "verified"
    assert [chunk.id for chunk in only(store).retrieved] == ["other", "c-k_1"]
    serve(store)
    stage.tick(NOW + timedelta(hours=2))
    assert told(store) == [("upsert", "k_1", "withdrawn"), ("delete", "k_1", "delivered")]
    assert "text" in door.bodies[-1]
    assert door.bodies[-1]["text"] == ""
    stage.close()


def test_a_webhook_without_a_secret_is_a_mistake_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIMTAB_KNOWLEDGE_SECRET", raising=False)
    with pytest.raises(ConfigError, match="TRIMTAB_KNOWLEDGE_SECRET"):
        open_webhook(KnowledgeSettings(webhook_url="http://127.0.0.1:1/"))
    with pytest.raises(ConfigError, match="module:function"):
        open_retriever(KnowledgeSettings(retrieve="no_such_module:f"), lambda: NOW)


def found_by_name(query: str, k: int) -> list[dict[str, Any]]:
    return [{"id": f"doc-{place}", "text": query, "score": 1.0} for place in range(3)][:k]


def test_a_function_of_the_app_can_be_the_index() -> None:
    retriever = open_retriever(KnowledgeSettings(retrieve=f"{__name__}:found_by_name"), lambda: NOW)
    assert retriever is not None
    assert [chunk.id for chunk in retriever.retrieve(FEATURE, "q", 2)] == ["doc-0", "doc-1"]
