"""What a stream does with a reader that does not read, or leaves without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import RateLimited
from trimtab.server import stream
from trimtab.server.caller import Caller
from trimtab.server.feed import Feed, Reader
from trimtab.server.stream import EventStream
from trimtab.store.hot.sqlite import open_sqlite

CALLER = Caller("018f0000-0000-7000-8000-000000000001", "default", "ingest")


async def always() -> bool:
    return True


async def never(*_: Any) -> Any:
    await asyncio.Event().wait()


def test_a_reader_that_takes_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SLOW_S", 0.01)
    store = open_sqlite(tmp_path / "hot.db")

    async def run() -> None:
        feed = Feed(store, most=1, most_per_key=1)
        reader = await feed.open(CALLER, None)
        with pytest.raises(RateLimited):
            await feed.open(CALLER, None)
        taken: list[str] = []

        async def full(message: Any) -> None:
            taken.append(message["type"])
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        await EventStream(feed, reader, always)._serve({}, never, full)  # type: ignore[arg-type]
        assert taken == ["http.response.start", "http.response.body"]
        assert len(feed) == 0
        feed.leave(await feed.open(CALLER, None))  # its place is free again

    try:
        asyncio.run(run())
    finally:
        store.close()


def test_a_reader_that_left_gives_its_place_up(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "hot.db")

    async def run() -> None:
        feed = Feed(store, most=1, most_per_key=1)
        reader = await feed.open(CALLER, None)

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        async def into_nothing(_: Any) -> None:
            """As the server does with what is sent to nobody."""

        await EventStream(feed, reader, always)._serve({}, gone, into_nothing)  # type: ignore[arg-type]
        assert len(feed) == 0

    try:
        asyncio.run(run())
    finally:
        store.close()


def test_a_slow_reader_is_told_the_newest_word_of_each_feature_alone() -> None:
    async def run() -> bytes:
        reader = Reader(CALLER)
        for number in range(10_000):
            reader.put(f"f-{number % 3}", b"%d " % number)
        return await reader.take(1.0)

    assert asyncio.run(run()) == b"9997 9998 9999 "
