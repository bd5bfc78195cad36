"""The stream of switches over real HTTP: told at once, bounded, and never in the way of the server's end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from tests.live import Live, live
from trimtab.client import Client
from trimtab.config import Ingest, Server, Settings
from trimtab.server import stream

PATH = "/v1/rollouts/stream"


class Event(NamedTuple):
    name: str
    id: str
    told: dict[str, Any]


@contextmanager
def listening(server: Live, kind: str = "ingest", **headers: str) -> Iterator[Iterator[Event]]:
    with server.client(kind) as client, client.stream("GET", PATH, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and "data" in told:
            yield Event(told["event"], told["id"], json.loads(told["data"]))
        told = {**told, name: value} if line else {}


def declare(server: Live, feature: str) -> None:
    with server.client() as client:
        client.put(f"/v1/features/{feature}").raise_for_status()


def serve(server: Live, feature: str, text: str) -> dict[str, Any]:
    body = {"messages": [{"role": "system", "content": text}]}
    with server.client() as client:
        made = client.post(f"/v1/features/{feature}/versions", json=body)
        made.raise_for_status()
        found: dict[str, Any] = made.json()
        return found


def back(server: Live, feature: str) -> dict[str, Any]:
    with server.client() as client:
        done = client.post(f"/v1/features/{feature}/rollback")
        done.raise_for_status()
        found: dict[str, Any] = done.json()
        return found


def test_a_stream_says_hello_and_then_every_switch(server: Live) -> None:
    declare(server, "greet")
    first = serve(server, "greet", "one")["rollout"]["revision"]
    with listening(server) as told:
        hello = next(told)
        assert hello.name == "hello"
        assert hello.told["revisions"]["greet"] == first
        second = serve(server, "greet", "two")["rollout"]["revision"]
        assert next(told).told == {"feature": "greet", "revision": second, "etag": f'"{second}"'}
        third = back(server, "greet")["revision"]
        switched = next(told)
        assert switched.name == "rollout"
        assert switched.told["revision"] == third
        with server.client("ingest") as client:
            assert client.get("/v1/features/greet/rollout").headers["etag"] == switched.told["etag"]


def test_who_comes_back_hears_what_was_missed(server: Live) -> None:
    declare(server, "resume")
    serve(server, "resume", "one")
    with listening(server) as told:
        next(told)
        serve(server, "resume", "two")
        last = next(told).id
    missed = serve(server, "resume", "three")["rollout"]["revision"]
    with listening(server, **{"Last-Event-ID": last}) as told:
        assert next(told).name == "hello"
        again = next(told)
        assert (again.told["feature"], again.told["revision"]) == ("resume", missed)


@pytest.mark.parametrize("last", ["", "x", "-1", "9" * 40, "99999999999"])
def test_a_last_event_id_of_no_use_is_no_hindrance(server: Live, last: str) -> None:
    with listening(server, **{"Last-Event-ID": last}) as told:
        assert next(told).name == "hello"


def test_silence_is_broken_by_comments(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)
    with server.client("read") as client, client.stream("GET", PATH) as answer:
        lines = answer.iter_lines()
        assert sum(line == ": still here" for line, _ in zip(lines, range(20), strict=False)) > 2


def test_a_revoked_key_hears_no_more(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)
    with server.client() as admin:
        made = admin.post("/v1/keys", json={"kind": "read", "label": "short-lived"}).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        with httpx.stream("GET", server.url + PATH, headers=headers, timeout=30) as answer:
            told = events(answer.iter_lines())
            assert next(told).name == "hello"
            admin.delete(f"/v1/keys/{made['id']}").raise_for_status()
            assert list(told) == []


def test_a_revoked_key_hears_no_more_though_there_is_always_news(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 1.0)  # there is news many times a second
    declare(server, "busy")
    with server.client() as admin:
        made = admin.post("/v1/keys", json={"kind": "read", "label": "short-lived"}).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        with httpx.stream("GET", server.url + PATH, headers=headers, timeout=30) as answer:
            told = events(answer.iter_lines())
            assert next(told).name == "hello"
            admin.delete(f"/v1/keys/{made['id']}").raise_for_status()
            for place in range(1000):
                serve(server, "busy", str(place))
                if next(told, None) is None:
                    return
    pytest.fail("1,000 switches after its key was revoked the stream still tells")


def test_no_more_streams_are_open_than_may_be(tmp_path: Path) -> None:
    settings = Settings(server=msgspec.structs.replace(Server(), streams=2, streams_per_key=1))
    with live(tmp_path, settings) as server, listening(server, "ingest") as first, listening(server, "read") as second:
        assert next(first).name == next(second).name == "hello"
        for kind, limit in (("ingest", "server.streams"), ("admin", "server.streams")):
            with server.client(kind) as client:
                refused = client.get(PATH)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "rate_limited"
            assert limit in refused.json()["error"]["message"]
            assert int(refused.headers["retry-after"]) >= 1
        with server.client() as client:
            assert "trimtab_open_streams 2.0" in client.get("/metrics").text


def test_one_key_does_not_take_every_stream(tmp_path: Path) -> None:
    settings = Settings(server=msgspec.structs.replace(Server(), streams_per_key=1))
    with live(tmp_path, settings) as server, listening(server, "ingest") as told:
        next(told)
        with server.client("ingest") as client:
            assert "streams_per_key" in client.get(PATH).json()["error"]["message"]
        with listening(server, "read") as other:
            assert next(other).name == "hello"


def test_a_stream_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    ended = threading.Event()

    def listen(server: Live) -> None:
        with listening(server) as told:
            next(told)
            opened.set()
            assert list(told) == []  # a clean end, not a broken connection
        ended.set()

    opened = threading.Event()
    with live(tmp_path) as server:
        thread = threading.Thread(target=listen, args=(server,))
        thread.start()
        assert opened.wait(20)
    assert ended.wait(20)
    thread.join()


def test_the_sdk_serves_the_old_version_again_after_a_rollback(server: Live, tmp_path: Path) -> None:
    declare(server, "answer")
    old = serve(server, "answer", "Be kind.")["version"]["id"]
    new = serve(server, "answer", "Be rude.")["version"]["id"]
    heard = threading.Condition()
    with Client(
        server.url,
        server.keys["ingest"],
        feature="answer",
        refresh_s=3600,
        resolve_timeout_s=20,
        spool_dir=tmp_path,
    ) as client:
        first = client.resolve(user="u").version
        assert first is not None
        assert first.id == new
        rollouts = client._rollouts
        ask = rollouts._ask

        def asked(*told: Any) -> bool:
            answered = ask(*told)
            with heard:
                heard.notify_all()
            return answered

        rollouts._ask = asked  # type: ignore[method-assign, assignment]
        back(server, "answer")
        with heard:
            assert heard.wait_for(lambda: client.resolve(user="u").version.id == old, 20)  # type: ignore[union-attr]


def test_ingest_workers_hand_the_stream_on_and_let_go_of_it(tmp_path: Path) -> None:
    settings = Settings(ingest=Ingest(workers=1))
    with live(tmp_path, settings) as server:
        feed = server.engine.store.on_switched.__self__  # type: ignore[union-attr]
        declare(server, "greet")
        with listening(server) as told:
            assert next(told).name == "hello"
            revision = serve(server, "greet", "one")["rollout"]["revision"]
            assert next(told).told["revision"] == revision
            assert len(feed) == 1
        deadline = time.monotonic() + 20
        while len(feed):
            assert time.monotonic() < deadline
            time.sleep(0.01)
