"""Anthropic's own client, wrapped: calls are what they were, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

import trimtab
from tests.llm_endpoint import PIECES, LlmEndpoint
from tests.unit.client.conftest import Make
from tests.unit.client.wrap.conftest import Recorded

ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "How long?"}]}
TOOL = {**ASK, "messages": [{"role": "user", "content": "call a tool"}]}
FAIL = {**ASK, "messages": [{"role": "user", "content": "fail"}]}
BREAK = {**ASK, "messages": [{"role": "user", "content": "break"}]}
USED = [{"type": "tool_use", "id": "toolu_1", "name": "track", "input": {"order": 7}}]
WHOLE = ("Two days.", "m-2026", 9, 3, "msg_7")


@pytest.fixture
def api(endpoint: LlmEndpoint) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=endpoint.url, api_key="none", max_retries=0) as client:
        yield client


def told(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(name) for name in ("output", "model", "input_tokens", "output_tokens", "external_id"))


def test_a_message_is_recorded_and_its_inference_can_be_named(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with client.session("s-1"):
        answer = api.messages.create(**ASK, system="Be brief.", metadata={"user_id": "u-1"})
    (event,) = recorded(client)
    assert event["id"] == trimtab.inference_of(answer)
    assert event["input"] == [{"role": "system", "content": "Be brief."}, *ASK["messages"]]
    assert told(event) == WHOLE
    assert (event["user_id"], event["session_id"]) == ("u-1", "s-1")


def test_streams_are_recorded_at_their_end_or_where_they_were_left(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    stream = api.messages.create(**ASK, stream=True)
    assert isinstance(stream, anthropic.Stream)
    assert [event.delta.text for event in stream if event.type == "content_block_delta"] == list(PIECES)
    with api.messages.create(**ASK, stream=True) as left:
        for event in left:
            if event.type == "content_block_delta":
                break
    whole, part = recorded(client)
    assert told(whole) == WHOLE
    assert whole["id"] == trimtab.inference_of(stream)
    assert part["output"] == "Two"


def test_tool_use_is_the_output_plain_and_streamed(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    api.messages.create(**TOOL)
    list(api.messages.create(**TOOL, stream=True))
    with api.messages.stream(**TOOL) as stream:
        stream.until_done()
    assert [event["output"] for event in recorded(client)] == [USED] * 3


def test_the_stream_helper_is_recorded_read_or_left(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with api.messages.stream(**ASK) as stream:
        assert list(stream.text_stream) == list(PIECES)
        assert trimtab.inference_of(stream) is not None
    message = stream.get_final_message()
    with api.messages.stream(**ASK) as stream:
        next(stream.text_stream)
    with pytest.raises(KeyError), api.messages.stream(**ASK) as stream:
        raise KeyError("of the app")
    read, left, untouched = recorded(client)
    assert told(read) == WHOLE
    assert read["id"] == trimtab.inference_of(message)
    assert left["output"] == "Two"
    assert "error" not in untouched


def test_the_library_s_errors_pass_and_are_recorded(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with pytest.raises(anthropic.BadRequestError):
        api.messages.create(**FAIL)
    with pytest.raises(anthropic.BadRequestError), api.messages.stream(**FAIL):
        pass
    with pytest.raises(anthropic.APIStatusError):
        list(api.messages.create(**BREAK, stream=True))
    with pytest.raises(anthropic.APIStatusError), api.messages.stream(**BREAK) as stream:
        stream.until_done()
    assert all("as told" in event["error"] for event in recorded(client))
    assert len(recorded(client)) == 4


def test_the_async_client_is_recorded_in_every_way(make: Make, endpoint: LlmEndpoint, recorded: Recorded) -> None:
    client = make(strict=True)

    async def talk() -> list[str | None]:
        async with anthropic.AsyncAnthropic(base_url=endpoint.url, api_key="none", max_retries=0) as api:
            client.wrap(api)
            answer = await api.messages.create(**ASK)
            stream = await api.messages.create(**ASK, stream=True)
            assert isinstance(stream, anthropic.AsyncStream)
            assert len([event async for event in stream]) == 8
            async with api.messages.stream(**ASK) as helper:
                assert [text async for text in helper.text_stream] == list(PIECES)
            raw = await api.messages.with_raw_response.create(**ASK)
            parsed = raw.parse()
            assert (await parsed if hasattr(parsed, "__await__") else parsed).id == "msg_7"
            with pytest.raises(anthropic.BadRequestError):
                await api.messages.create(**FAIL)
            return [trimtab.inference_of(made) for made in (answer, stream, helper)]

    ids = asyncio.run(talk())
    events = recorded(client)
    assert [event["id"] for event in events[:3]] == ids
    assert [told(event) for event in events[:4]] == [WHOLE] * 4
    assert events[4]["error"].startswith("BadRequestError")


def test_copies_and_the_beta_interface_are_recorded(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    api.with_options(timeout=9).messages.create(**ASK)
    api.beta.messages.create(**ASK)
    raw = api.messages.with_raw_response.create(**ASK)
    assert raw.parse().id == "msg_7"
    assert [told(event) for event in recorded(client)] == [WHOLE] * 3


def test_wrapping_twice_records_once_and_unwrapping_restores(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(client.wrap(api))
    api.messages.create(**ASK)
    client.unwrap(api)
    api.messages.create(**ASK)
    with api.messages.stream(**ASK) as stream:
        stream.until_done()
    assert len(recorded(client)) == 1


def test_a_broken_recording_changes_nothing_for_the_app(
    make: Make, api: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("_asks", "_tells", "_joins"):
        with monkeypatch.context() as patch:
            patch.setattr(f"trimtab.client.wrap.anthropic.{name}", broken)
            client.wrap(api)
            assert api.messages.create(**ASK).id == "msg_7"
            assert len(list(api.messages.create(**ASK, stream=True))) == 8
            with api.messages.stream(**ASK) as stream:
                assert stream.get_final_text() == "Two days."
    assert client.stats().lost["invalid"] > 0
