"""LlamaIndex's own instrumentation, listened to: what runs is what ran, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import instrument_tags

import trimtab
from tests.llm_endpoint import LlmEndpoint
from tests.unit.client.conftest import Make
from tests.unit.client.wrap.conftest import Recorded
from trimtab.client.wrap.llamaindex import listen


class Desk(CustomLLM):
    """A model of the fake endpoint, the way LlamaIndex has an app add its own."""

    url: str

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="m")

    def _ask(self, prompt: str, **options: Any) -> Any:
        with openai.OpenAI(base_url=self.url, api_key="none", max_retries=0) as api:
            messages: Any = [{"role": "user", "content": prompt}]
            answer = api.chat.completions.create(model="m", messages=messages, **options)
            return list(answer) if options else answer

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponse:
        answer = self._ask(prompt)
        return CompletionResponse(text=answer.choices[0].message.content, raw=answer)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponseGen:
        def pieces() -> CompletionResponseGen:
            text = ""
            for chunk in self._ask(prompt, stream=True):
                text += chunk.choices[0].delta.content or ""
                yield CompletionResponse(text=text, delta=chunk.choices[0].delta.content, raw=chunk)

        return pieces()


class Shelf(BaseRetriever):
    """A retriever of one node."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(id_="doc-4", text="Two working days."), score=0.5)]


@pytest.fixture
def model(endpoint: LlmEndpoint) -> Desk:
    return Desk(url=f"{endpoint.url}/v1")


@pytest.fixture(autouse=True)
def _no_listener_left() -> Iterator[None]:
    yield
    root = get_dispatcher()
    assert not [one for one in (*root.event_handlers, *root.span_handlers) if "Trimtab" in type(one).__name__]


ASKED = [ChatMessage(role="user", content="How long?")]


def test_completions_and_chats_are_recorded_once_each(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client, feature="search"), client.session("s-1", user="u-1"):
        completion = model.complete("How long?")
        chat = model.chat(ASKED)
    first, second = recorded(client)
    assert (first["id"], second["id"]) == (trimtab.inference_of(completion), trimtab.inference_of(chat))
    assert (first["input"], second["input"]) == ("How long?", [{"role": "user", "content": "How long?"}])
    for event in (first, second):
        assert (event["output"], event["model"], event["external_id"]) == ("Two days.", "m-2026", "chatcmpl-7")
        assert (event["input_tokens"], event["output_tokens"]) == (9, 3)
        assert (event["user_id"], event["session_id"], event["feature"]) == ("u-1", "s-1", "search")


def test_streams_are_recorded_whole_and_left(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client):
        pieces = list(model.stream_complete("How long?"))
        chat = model.stream_chat(ASKED)
        assert next(chat).message.content == "Two"
        chat.close()
    whole, left = recorded(client)
    assert (whole["output"], whole["id"]) == ("Two days.", trimtab.inference_of(pieces[-1]))
    assert (left["output"], left.get("error")) == ("Two", None)


def test_retrieved_nodes_are_the_context_of_the_call(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    engine = RetrieverQueryEngine(Shelf(), get_response_synthesizer(llm=model))
    with listen(client):
        assert str(engine.query("How long?")) == "Two days."
        model.complete("And abroad?")
    with_nodes, without = recorded(client)
    assert with_nodes["context"] == [{"id": "doc-4", "text": "Two working days.", "score": 0.5}]
    assert "context" not in without


def test_tags_name_user_session_and_feature(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client), instrument_tags({"user_id": "u-2", "session_id": "s-2", "feature": "chat"}):
        model.complete("How long?")
    (event,) = recorded(client)
    assert (event["user_id"], event["session_id"], event["feature"]) == ("u-2", "s-2", "chat")


class Caller(Desk):
    """The same model, which calls a tool."""

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **options: Any) -> ChatResponse:
        call = self._ask("call a tool").choices[0].message.tool_calls[0]
        block = ToolCallBlock(tool_call_id=call.id, tool_name=call.function.name, tool_kwargs=call.function.arguments)
        return ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))


def test_tool_calls_are_the_output(make: Make, endpoint: LlmEndpoint, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client):
        Caller(url=f"{endpoint.url}/v1").chat(ASKED)
    (event,) = recorded(client)
    (call,) = event["output"]["tool_calls"]
    assert (call["tool_name"], call["tool_kwargs"], event["output"]["content"]) == ("track", '{"order": 7}', None)


def test_errors_pass_and_are_recorded(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client):
        with pytest.raises(openai.BadRequestError):
            model.chat([ChatMessage(role="user", content="fail")])
        with pytest.raises(openai.APIError):
            list(model.stream_complete("break"))
    assert [event["error"].partition(":")[0] for event in recorded(client)] == ["BadRequestError", "APIError"]


def test_async_calls_and_streams_are_recorded(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)

    async def talk() -> None:
        with client.session(user="u-1"):
            await model.achat(ASKED)
            assert [piece async for piece in await model.astream_complete("How long?")]

    with listen(client):
        asyncio.run(talk())
    assert [(event["output"], event["user_id"]) for event in recorded(client)] == [("Two days.", "u-1")] * 2


def test_inside_an_inference_calls_and_nodes_are_part_of_it(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    with listen(client), client.inference(input="How long?"):
        Shelf().retrieve("How long?")
        model.complete("How long?")
    (event,) = recorded(client)
    assert (event["output"], event["input_tokens"]) == ("Two days.", 9)
    assert [chunk["id"] for chunk in event["context"]] == ["doc-4"]


def test_listening_twice_records_once_and_stopping_ends_it(make: Make, model: Desk, recorded: Recorded) -> None:
    client = make(strict=True)
    listen(client)
    listener = listen(client)
    model.complete("How long?")
    listener.stop()
    model.complete("How long?")
    assert len(recorded(client)) == 1


def test_a_broken_recording_changes_nothing_for_the_app(
    make: Make, model: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    with listen(client):
        for name in ("_message", "_tells", "begin"):
            with monkeypatch.context() as patch:
                patch.setattr(f"trimtab.client.wrap.llamaindex.{name}", broken)
                assert model.chat(ASKED).message.content == "Two days."
    assert client.stats().lost["invalid"] > 0
