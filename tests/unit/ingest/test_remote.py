"""What goes from an ingest worker to the writer, and what each side does when the other is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.intake import PROJECT, Desk, body, desk, feedback, inference
from trimtab.config import Ingest
from trimtab.errors import Unavailable
from trimtab.ingest.intake import Intake
from trimtab.ingest.remote import News, RemoteJournal, Rows, read_frame, serve_rows
from trimtab.store.ports import Packed

SECRET = "write to jane.roe@example.com"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as opened:
        yield opened


async def worker(front: Desk, line: socket.socket) -> tuple[Intake, asyncio.Task[None]]:
    reader, writer = await asyncio.open_unix_connection(sock=line)
    journal = RemoteJournal(reader, writer, in_flight_bytes=1 << 20)
    intake = Intake(front.intake.features, journal, front.redactor, front.clock, Ingest())
    return intake, asyncio.get_running_loop().create_task(journal.listen())


async def beside(front: Desk, calls: Callable[[Intake], Awaitable[Any]]) -> Any:
    """Run calls on a worker's intake, with the writer in the same loop."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    heard: list[News] = []
    serving = asyncio.create_task(serve_rows(reader, writer, front.intake.journal.append, heard.append))
    intake, listening = await worker(front, theirs)
    found = await calls(intake)
    assert isinstance(intake.journal, RemoteJournal)
    await intake.journal.drain()
    await intake.journal.close()
    await asyncio.gather(serving, listening)
    return found


def test_what_a_worker_answered_is_on_disk_and_a_repeat_is_a_duplicate(front: Desk) -> None:
    async def calls(intake: Intake) -> list[tuple[int, int]]:
        sent = [body(inference(1), feedback(1), inference(2)), body(inference(2), feedback(2))]
        told = [await intake.accept(PROJECT, one) for one in sent]
        return [(receipt.accepted, receipt.duplicates) for receipt in told]

    assert asyncio.run(beside(front, calls)) == [(3, 0), (1, 1)]
    assert front.stored() == {inference(n)["id"] for n in (1, 2)} | {feedback(n)["id"] for n in (1, 2)}


def test_only_cleaned_words_leave_a_worker(front: Desk) -> None:
    async def sent() -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        intake, listening = await worker(front, theirs)
        waiting = asyncio.create_task(intake.accept(PROJECT, body(inference(1, input=SECRET, tags={"note": SECRET}))))
        frame = await read_frame(reader)
        writer.close()
        with pytest.raises(Unavailable):
            await waiting
        await listening
        return frame or b""

    frame = asyncio.run(sent())
    assert b"write to <EMAIL:" in frame
    assert b"jane.roe" not in frame


def test_when_the_writer_goes_away_all_who_wait_are_told_to_send_again(front: Desk) -> None:
    async def calls() -> list[Any]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        intake, listening = await worker(front, theirs)
        waiting = [asyncio.create_task(intake.accept(PROJECT, body(inference(n)))) for n in range(3)]
        await read_frame(reader)
        writer.close()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        await listening
        assert intake.journal.in_flight_bytes == 0
        with pytest.raises(Unavailable):
            await intake.accept(PROJECT, body(inference(9)))
        return told

    assert [type(one) for one in asyncio.run(calls())] == [Unavailable] * 3


def test_a_full_disk_is_told_as_the_writer_tells_it(front: Desk) -> None:
    async def full(_: Packed) -> list[bool | None]:
        raise Unavailable("the disk is full; free space and send again")

    async def calls() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        serving = asyncio.create_task(serve_rows(reader, writer, full, lambda _: None))
        intake, listening = await worker(front, theirs)
        with pytest.raises(Unavailable, match="the disk is full"):
            await intake.accept(PROJECT, body(inference(1)))
        assert isinstance(intake.journal, RemoteJournal)
        await intake.journal.close()
        await asyncio.gather(serving, listening)

    asyncio.run(calls())


def test_a_line_that_broke_a_moment_ago_is_something_to_try_again(front: Desk) -> None:
    async def calls() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=theirs)
        journal = RemoteJournal(reader, writer, in_flight_bytes=1 << 20)
        intake = Intake(front.intake.features, journal, front.redactor, front.clock, Ingest())
        ours.close()
        journal.tell(News({}, 0, [], []))
        await asyncio.sleep(0)  # the write fails here, and nobody listens yet who would be told
        journal.tell(News({}, 0, [], []))
        with pytest.raises(Unavailable, match="gone away"):
            await intake.accept(PROJECT, body(inference(1)))

    uvloop.run(calls())  # what the server runs on: asyncio's own transport swallows such a write


def test_what_a_dying_worker_handed_over_is_stored_whole(front: Desk) -> None:
    async def calls() -> None:
        ours, theirs = socket.socketpair()
        intake, listening = await worker(front, theirs)
        waiting = asyncio.create_task(intake.accept(PROJECT, body(inference(1), inference(2))))
        taken = asyncio.Event()

        async def store(packed: Packed) -> list[bool | None]:
            taken.set()
            return await front.intake.journal.append(packed)

        reader, writer = await asyncio.open_unix_connection(sock=ours)
        serving = asyncio.create_task(serve_rows(reader, writer, store, lambda _: None))
        await taken.wait()
        assert isinstance(intake.journal, RemoteJournal)
        await intake.journal.close()
        await serving
        waiting.cancel()
        await listening

    asyncio.run(calls())
    assert front.stored() == {inference(1)["id"], inference(2)["id"]}


def test_rows_keep_every_value_on_their_way(front: Desk) -> None:
    async def calls(intake: Intake) -> None:
        await intake.accept(
            PROJECT, body(inference(1, latency_ms=1.5, tags={"language": "en"}, context=[{"id": "doc"}]))
        )

    asyncio.run(beside(front, calls))
    kept = front.store.inferences(PROJECT, [inference(1)["id"]])[inference(1)["id"]]
    assert (kept.latency_ms, kept.tags, kept.context[0].id) == (1.5, {"language": "en"}, "doc")
    assert Rows.__struct_config__.array_like
