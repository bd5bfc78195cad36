"""OpenAI's own client, wrapped: calls are what they were, and recorded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import trimtab
from tests.llm_endpoint import PIECES, LlmEndpoint
from tests.unit.client.conftest import Make
from tests.unit.client.wrap.conftest import Recorded

ASKED = [{"role": "user", "content": "How long?"}]
TOOL: list[dict[str, Any]] = [{"role": "user", "content": "call a tool"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "track", "arguments": '{"order": 7}'}}


@pytest.fixture
def api(endpoint: LlmEndpoint) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def aio(endpoint: LlmEndpoint) -> Any:
    return openai.AsyncOpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0)


def only(events: list[dict[str, Any]]) -> dict[str, Any]:
    (event,) = events
    return event


def told(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(name) for name in ("output", "model", "input_tokens", "output_tokens", "external_id"))


def test_a_completion_is_recorded_and_its_inference_can_be_named(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    assert client.wrap(api) is api
    with client.session("s-1", user="u-1"):
        answer = api.chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.content == "Two days."
    event = only(recorded(client))
    assert event["id"] == trimtab.inference_of(answer)
    assert event["input"] == ASKED
    assert told(event) == ("Two days.", "m-2026", 9, 3, "chatcmpl-7")
    assert (event["user_id"], event["session_id"], event["feature"]) == ("u-1", "s-1", "answer")
    assert event["latency_ms"] > 0
    assert trimtab.inference_of(answer.model_copy()) is None


def test_metadata_names_user_session_and_feature(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api, feature="search")
    api.chat.completions.create(model="m", messages=ASKED, user="u-0")
    metadata = {"user_id": "u-2", "session_id": "s-2", "feature": "chat"}
    with client.session(user="u-1"):
        api.responses.create(model="m", input="x", metadata=metadata)
    found = [(event["user_id"], event.get("session_id"), event["feature"]) for event in recorded(client)]
    assert found == [("u-0", None, "search"), ("u-2", "s-2", "chat")]


def test_a_stream_stays_a_stream_and_is_recorded_at_its_end(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    usage = {"include_usage": True}
    stream = api.chat.completions.create(model="m", messages=ASKED, stream=True, stream_options=usage)
    assert isinstance(stream, openai.Stream)
    assert stream.response.status_code == 200
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert pieces == [*PIECES, None]
    event = only(recorded(client))
    assert event["id"] == trimtab.inference_of(stream)
    assert told(event) == ("Two days.", "m-2026", 9, 3, "chatcmpl-7")


@pytest.mark.parametrize("leave", ["close", "with", "drop"])
def test_a_stream_left_early_is_recorded_as_far_as_it_came(
    make: Make, api: Any, recorded: Recorded, leave: str
) -> None:
    client = make(strict=True)
    client.wrap(api)
    stream = api.chat.completions.create(model="m", messages=ASKED, stream=True)
    assert next(stream).choices[0].delta.content == "Two"
    if leave == "close":
        stream.close()
    elif leave == "with":
        with stream:
            pass
    else:
        stream.response.close()
        del stream
        gc.collect()
    assert only(recorded(client))["output"] == "Two"


def test_tool_calls_are_the_output_plain_and_streamed(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    api.chat.completions.create(model="m", messages=TOOL)
    list(api.chat.completions.create(model="m", messages=TOOL, stream=True))
    api.responses.create(model="m", input=TOOL)
    plain, streamed, response = recorded(client)
    assert plain["output"] == streamed["output"] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert (response["output"][0]["name"], response["output"][0]["arguments"]) == ("track", '{"order": 7}')


def test_the_stream_helper_is_recorded_read_or_left(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with api.chat.completions.stream(model="m", messages=ASKED) as stream:
        assert [event.delta for event in stream if event.type == "content.delta"] == list(PIECES)
        assert stream.get_final_completion().choices[0].message.content == "Two days."
        first = trimtab.inference_of(stream)
    with api.chat.completions.stream(model="m", messages=ASKED) as stream:
        next(stream)
    with api.responses.stream(model="m", input="x") as stream:
        assert stream.get_final_response().output_text == "Two days."
    read, left, response = recorded(client)
    assert (read["output"], left["output"], read["id"]) == ("Two days.", "Two", first)
    assert told(response) == ("Two days.", "m-2026", 9, 3, "resp_7")


def test_responses_are_recorded_plain_and_streamed(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    answer = api.responses.create(model="m", input="How long?", instructions="Be brief.")
    events = list(api.responses.create(model="m", input=ASKED, stream=True))
    plain, streamed = recorded(client)
    assert plain["input"] == [{"role": "system", "content": "Be brief."}, *ASKED]
    assert told(plain) == told(streamed) == ("Two days.", "m-2026", 9, 3, "resp_7")
    assert (plain["id"], streamed["id"]) == (trimtab.inference_of(answer), trimtab.inference_of(events[-1]))


def test_the_library_s_errors_pass_and_are_recorded(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with pytest.raises(openai.BadRequestError):
        api.chat.completions.create(model="m", messages=[{"role": "user", "content": "fail"}])
    stream = api.chat.completions.create(model="m", messages=[{"role": "user", "content": "break"}], stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
    with pytest.raises(TypeError, match="Missing required"):
        api.chat.completions.create(model="m")
    failed, broken, wrong = recorded(client)
    assert failed["error"].startswith("BadRequestError")
    assert (broken["output"], broken["error"].partition(":")[0]) == ("Two days", "APIError")
    assert wrong["error"].startswith("TypeError")


def test_the_async_client_is_recorded_in_every_way(make: Make, endpoint: LlmEndpoint, recorded: Recorded) -> None:
    client = make(strict=True)

    async def talk() -> list[str | None]:
        ids = []
        async with client.wrap(aio(endpoint)) as api:
            with client.session(user="u-1"):
                answer = await api.chat.completions.create(model="m", messages=ASKED)
            ids.append(trimtab.inference_of(answer))
            stream = await api.chat.completions.create(model="m", messages=ASKED, stream=True)
            assert isinstance(stream, openai.AsyncStream)
            pieces = [chunk.choices[0].delta.content async for chunk in stream]
            assert pieces == [*PIECES, None]
            ids.append(trimtab.inference_of(stream))
            async with api.chat.completions.stream(model="m", messages=ASKED) as helper:
                await helper.get_final_completion()
                ids.append(trimtab.inference_of(helper))
            async with api.responses.stream(model="m", input="x") as helper:
                await helper.get_final_response()
            with pytest.raises(openai.BadRequestError):
                await api.responses.create(model="m", input="fail")
            raw = await api.chat.completions.with_raw_response.create(model="m", messages=ASKED)
            assert raw.parse().id == "chatcmpl-7"
        return ids

    ids = asyncio.run(talk())
    events = recorded(client)
    assert [event["id"] for event in events[:3]] == ids
    assert [event.get("output") for event in events] == [*["Two days."] * 4, None, "Two days."]
    assert events[0]["user_id"] == "u-1"
    assert events[4]["error"].startswith("BadRequestError")


def test_raw_responses_are_recorded_and_streamed_bodies_left_alone(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    assert api.chat.completions.with_raw_response  # made before, it must not keep the method of before
    client.wrap(api)
    raw = api.chat.completions.with_raw_response.create(model="m", messages=ASKED)
    assert raw.http_response.status_code == 200
    assert trimtab.inference_of(raw.parse()) is not None
    raw = api.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
    assert len(list(raw.parse())) == 4
    with api.chat.completions.with_streaming_response.create(model="m", messages=ASKED) as body:
        assert b"Two days." in body.read()
    assert [event["output"] for event in recorded(client)] == ["Two days.", "Two days."]


def test_copies_of_the_client_are_recorded_too(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api, feature="search")
    api.with_options(timeout=9).chat.completions.create(model="m", messages=ASKED)
    assert only(recorded(client))["feature"] == "search"


def test_wrapping_twice_records_once_and_unwrapping_restores(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    before = api.chat.completions.create
    client.wrap(client.wrap(api))
    assert api.chat.completions.create != before
    api.chat.completions.create(model="m", messages=ASKED)
    assert client.unwrap(api) is api
    assert api.chat.completions.create == before
    api.chat.completions.with_raw_response.create(model="m", messages=ASKED)
    api.with_options(timeout=9).responses.create(model="m", input="x")
    assert len(recorded(client)) == 1


def test_inside_an_inference_the_calls_are_part_of_it(make: Make, api: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    with client.inference(input="How long?") as handle:
        first = api.chat.completions.create(model="m", messages=TOOL)
        api.chat.completions.create(model="m", messages=ASKED)
        assert trimtab.inference_of(first) == handle.id
    with client.inference(input="And abroad?") as handle:
        handle.output = "Mine."
        list(api.chat.completions.create(model="m", messages=ASKED, stream=True))
    lent, own = recorded(client)
    assert (lent["input"], lent["output"], lent["model"]) == ("How long?", "Two days.", "m-2026")
    assert (lent["input_tokens"], lent["output_tokens"]) == (18, 6)
    assert (own["output"], own["model"]) == ("Mine.", "m-2026")


def test_a_broken_recording_changes_nothing_for_the_app(
    make: Make, api: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make()
    client.wrap(api)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("_chat_asks", "_chat_tells", "_chat_joins"):
        with monkeypatch.context() as patch:
            patch.setattr(f"trimtab.client.wrap.openai.{name}", broken)
            client.wrap(api)
            assert api.chat.completions.create(model="m", messages=ASKED).id == "chatcmpl-7"
            assert len(list(api.chat.completions.create(model="m", messages=ASKED, stream=True))) == 4
    monkeypatch.setattr(client, "_begin", broken)
    assert api.chat.completions.create(model="m", messages=ASKED).id == "chatcmpl-7"
    assert client.stats().lost["invalid"] > 0


def test_messages_that_can_be_read_once_reach_the_model_and_the_record(
    make: Make, api: Any, endpoint: LlmEndpoint, recorded: Recorded
) -> None:
    client = make(strict=True)
    client.wrap(api)
    api.chat.completions.create(model="m", messages=iter(ASKED))
    assert endpoint.bodies[-1]["messages"] == ASKED
    assert only(recorded(client))["input"] == ASKED


def test_bytes_of_images_are_left_out(make: Make, api: Any, endpoint: LlmEndpoint, recorded: Recorded) -> None:
    client = make(strict=True)
    client.wrap(api)
    url = f"data:image/png;base64,{'A' * 2_000_000}"
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    api.chat.completions.create(model="m", messages=image)
    assert endpoint.bodies[-1]["messages"] == image
    kept = only(recorded(client))["input"][0]["content"][0]["image_url"]["url"]
    assert kept.endswith("<2000022 characters>")


def test_what_is_no_client_is_returned_and_counted(make: Make) -> None:
    client = make()
    target = object()
    assert client.wrap(target) is target
    assert client.unwrap(target) is target
    assert client.stats().lost == {"invalid": 1}
