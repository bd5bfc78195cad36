"""Every kind of function keeps its nature when it is recorded."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.unit.client.conftest import Make
from tests.wire_server import WireServer
from trimtab.client import Client


def only(client: Client, wire: WireServer) -> dict[str, Any]:
    """Return the one event that was recorded."""
    assert client.flush()
    (event,) = wire.events.values()
    return event


def test_a_function_is_recorded_with_its_argument_and_its_answer(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference(user="u-1")
    def answer(question: str) -> str:
        """Answer."""
        handle = client.current()
        assert handle is not None
        handle.model = "m"
        return question.upper()

    assert answer("hi") == "HI"
    assert (answer.__name__, answer.__doc__) == ("answer", "Answer.")
    assert client.current() is None
    event = only(client, wire)
    assert (event["input"], event["output"], event["user_id"], event["model"]) == ("hi", "HI", "u-1", "m")


def test_several_arguments_become_an_object_without_self(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    class Desk:
        @client.inference()
        def answer(self, question: str, *, tone: str = "calm") -> list[str]:
            return [question, tone]

    assert Desk().answer("hi", tone="warm") == ["hi", "warm"]
    event = only(client, wire)
    assert (event["input"], event["output"]) == ({"question": "hi", "tone": "warm"}, ["hi", "warm"])


def test_a_wrong_call_fails_as_it_would_without_us(make: Make, wire: WireServer) -> None:
    client = make()
    answer: Any = client.inference()(lambda question: question)
    with pytest.raises(TypeError, match="unexpected keyword"):
        answer(query="x")
    assert "unexpected keyword" in only(client, wire)["error"]


def test_a_coroutine_function_stays_one(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        handle = client.current()
        assert handle is not None
        handle.tags["seen"] = True
        return question + "!"

    assert inspect.iscoroutinefunction(answer)
    assert asyncio.run(answer("hi")) == "hi!"
    event = only(client, wire)
    assert (event["output"], event["tags"]) == ("hi!", {"seen": "True"})


def test_a_cancelled_task_is_recorded_as_cancelled(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    async def answer(question: str) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        task = asyncio.create_task(answer("hi"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert only(client, wire)["error"].startswith("CancelledError")


def test_concurrent_tasks_keep_their_own_inference_and_session(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    async def ask(number: int) -> None:
        with client.session(f"s-{number}", user=f"u-{number}"):
            async with client.inference(input=str(number)) as handle:
                await asyncio.sleep(0)
                assert client.current() is handle
                client.thumb(None, up=True)

    async def scene() -> None:
        await asyncio.gather(*(ask(number) for number in range(20)))

    asyncio.run(scene())
    client.flush()
    inferences = {event["id"]: event for event in wire.events.values() if event["type"] == "inference"}
    votes = [event for event in wire.events.values() if event["type"] == "feedback"]
    assert sorted(event["session_id"] for event in inferences.values()) == sorted(f"s-{n}" for n in range(20))
    assert all(inferences[vote["inference_id"]]["user_id"] == vote["user_id"] for vote in votes)


def test_a_generator_streams_and_is_recorded_when_it_ends(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    def answer(question: str) -> Iterator[str]:
        assert client.current() is not None
        yield "a"
        yield "b"

    assert inspect.isgeneratorfunction(answer)
    stream = answer("hi")
    assert next(stream) == "a"
    assert client.current() is None  # the consumer's own work between two items is not this inference
    assert list(stream) == ["b"]
    event = only(client, wire)
    assert (event["input"], event["output"]) == ("hi", "ab")


def test_a_generator_takes_what_is_sent_thrown_and_returned(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference(join=lambda items: {"items": items})
    def talk() -> Any:
        try:
            got = yield 1
        except ValueError:
            got = "thrown"
        yield got
        return "result"

    def relay(use: Any) -> Any:
        stream = talk()
        next(stream)
        second = use(stream)
        with pytest.raises(StopIteration) as end:
            next(stream)
        return second, end.value.value

    assert relay(lambda stream: stream.send("sent")) == ("sent", "result")
    assert relay(lambda stream: stream.throw(ValueError())) == ("thrown", "result")
    client.flush()
    assert [event["output"] for event in wire.events.values()] == [{"items": [1, "sent"]}, {"items": [1, "thrown"]}]


def test_a_stream_given_up_early_is_recorded_with_what_came(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    def answer() -> Iterator[str]:
        yield "a"
        yield "b"

    stream: Any = answer()
    next(stream)
    stream.close()
    event = only(client, wire)
    assert event["output"] == "a"
    assert "error" not in event


def test_a_generator_that_fails_is_recorded_with_its_error(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    def answer() -> Iterator[str]:
        yield "a"
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        list(answer())
    event = only(client, wire)
    assert (event["output"], event["error"]) == ("a", "OSError: cut")


def test_an_async_generator_streams_takes_and_ends_like_one(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    async def answer(question: str) -> Any:
        try:
            got = yield question
        except ValueError:
            got = "thrown"
        assert client.current() is not None
        yield got

    async def scene(use: Any) -> Any:
        stream = answer("q")
        first = await stream.__anext__()
        assert client.current() is None
        second = await use(stream)
        assert [item async for item in stream] == []
        return first, second

    assert inspect.isasyncgenfunction(answer)
    assert asyncio.run(scene(lambda stream: stream.asend("sent"))) == ("q", "sent")
    assert asyncio.run(scene(lambda stream: stream.athrow(ValueError()))) == ("q", "thrown")
    client.flush()
    assert [event["output"] for event in wire.events.values()] == ["qsent", "qthrown"]


def test_an_async_generator_closed_early_closes_the_one_inside(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    closed: list[bool] = []

    @client.inference()
    async def answer() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    async def scene() -> None:
        stream: Any = answer()
        await stream.__anext__()
        await stream.aclose()

    asyncio.run(scene())
    assert closed == [True]
    assert only(client, wire)["output"] == "a"


class VendorStream:
    """What model clients return: an iterator with a face of its own."""

    request_id = "r-1"

    def __init__(self) -> None:
        self.left = ["x", "y"]
        self.closed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)

    def close(self) -> None:
        self.closed = True


class VendorAsyncStream:
    request_id = "r-2"

    def __init__(self) -> None:
        self.left = ["x", "y"]

    def __aiter__(self) -> VendorAsyncStream:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)


def test_a_returned_stream_keeps_its_face_and_is_recorded_when_read(make: Make, wire: WireServer) -> None:
    client = make(strict=True)
    original = VendorStream()

    @client.inference()
    def answer() -> Any:
        return original

    stream = answer()
    assert stream.request_id == "r-1"
    assert not client.stats().recorded
    with stream:
        assert list(stream) == ["x", "y"]
    assert original.closed
    assert only(client, wire)["output"] == "xy"


def test_a_returned_async_stream_too(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    @client.inference()
    async def answer() -> Any:
        return VendorAsyncStream()

    async def scene() -> list[str]:
        stream = await answer()
        assert stream.request_id == "r-2"
        return [item async for item in stream]

    assert asyncio.run(scene()) == ["x", "y"]
    assert only(client, wire)["output"] == "xy"


def test_a_plain_function_that_returns_an_awaitable_is_recorded_when_awaited(make: Make, wire: WireServer) -> None:
    client = make(strict=True)

    async def inner() -> str:
        return "late"

    @client.inference()
    def answer() -> Any:
        return inner()

    async def scene() -> Any:
        return await answer()

    assert asyncio.run(scene()) == "late"
    assert only(client, wire)["output"] == "late"
