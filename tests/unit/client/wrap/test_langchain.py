"""LangChain's own models and chains, with our handler: what runs is what ran, and recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI
from openai import BadRequestError

import trimtab
from tests.llm_endpoint import PIECES, LlmEndpoint
from tests.unit.client.conftest import Make
from tests.unit.client.wrap.conftest import Recorded
from trimtab.client.wrap.langchain import handler

CALL = {"name": "track", "args": {"order": 7}, "id": "call_1", "type": "tool_call"}


class Shelf(BaseRetriever):
    """A retriever of one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(id="doc-4", page_content="Two working days.", metadata={"score": 0.5})]


@pytest.fixture
def model(endpoint: LlmEndpoint) -> Any:
    return ChatOpenAI(model="m", base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0)  # type: ignore[arg-type]


def test_a_model_call_is_recorded_under_its_run_id(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    config = {"callbacks": [handler(client)], "metadata": {"user_id": "u-1", "session_id": "s-1"}}
    message = model.invoke([("system", "Be brief."), ("human", "How long?")], config=config)
    (event,) = recorded(client)
    assert event["id"] == trimtab.inference_of(message)
    assert event["external_id"] == message.id
    assert event["input"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How long?"}]
    assert (event["output"], event["model"]) == ("Two days.", "m-2026")
    assert (event["input_tokens"], event["output_tokens"]) == (9, 3)
    assert (event["user_id"], event["session_id"], event["feature"]) == ("u-1", "s-1", "answer")


def test_streams_are_recorded_whole_and_left(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    config = {"callbacks": [handler(client)]}
    with client.session(user="u-1"):
        chunks = list(model.stream("How long?", config=config))
    assert "".join(chunk.content for chunk in chunks) == "".join(PIECES)
    for chunk in model.stream("How long?", config=config):
        if chunk.content:
            break
    del chunk
    whole, left = recorded(client)
    assert (whole["output"], whole["model"], whole["user_id"]) == ("Two days.", "m-2026", "u-1")
    assert whole["id"] == trimtab.inference_of(chunks[0])
    assert left["output"] == "Two"
    assert "error" not in left


def test_retrieved_documents_are_the_context_of_the_call(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    prompt = ChatPromptTemplate.from_template("{context} {question}")
    chain = {"context": Shelf(), "question": RunnablePassthrough()} | prompt | model
    chain.invoke("How long?", config={"callbacks": [handler(client, feature="search")]})
    model.invoke("How long?", config={"callbacks": [handler(client)]})
    with_documents, without = recorded(client)
    assert with_documents["context"] == [{"id": "doc-4", "text": "Two working days.", "score": 0.5}]
    assert with_documents["feature"] == "search"
    assert "context" not in without


def test_tool_calls_are_the_output(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    config = {"callbacks": [handler(client)]}
    model.invoke("call a tool", config=config)
    list(model.stream("call a tool", config=config))
    for event in recorded(client):
        assert event["output"]["tool_calls"] == [CALL]


def test_errors_pass_and_are_recorded(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    with pytest.raises(BadRequestError) as raised:
        model.invoke("fail", config={"callbacks": [handler(client)]})
    (event,) = recorded(client)
    assert event["error"] == f"{type(raised.value).__name__}: {raised.value}"


def test_async_calls_and_streams_are_recorded(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    config = {"callbacks": [handler(client)]}

    async def talk() -> None:
        with client.session(user="u-1"):
            await model.ainvoke("How long?", config=config)
            assert [chunk async for chunk in model.astream("How long?", config=config)]

    asyncio.run(talk())
    assert [(event["output"], event["user_id"]) for event in recorded(client)] == [("Two days.", "u-1")] * 2


def test_inside_an_inference_calls_and_documents_are_part_of_it(make: Make, model: Any, recorded: Recorded) -> None:
    client = make(strict=True)
    config: Any = {"callbacks": [handler(client)]}
    with client.inference(input="How long?"):
        Shelf().invoke("How long?", config=config)
        model.invoke("How long?", config=config)
    (event,) = recorded(client)
    assert (event["input"], event["output"], event["input_tokens"]) == ("How long?", "Two days.", 9)
    assert [chunk["id"] for chunk in event["context"]] == ["doc-4"]


def test_a_broken_recording_changes_nothing_for_the_chain(
    make: Make, model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("_message", "_tells", "begin"):
        with monkeypatch.context() as patch:
            patch.setattr(f"trimtab.client.wrap.langchain.{name}", broken)
            assert model.invoke("How long?", config={"callbacks": [handler(client)]}).content == "Two days."
    assert client.stats().lost["invalid"] > 0
    assert "TrimtabHandler" not in caplog.text
