"""One span per convention, written after its documentation, and what it must become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.otlp import event, found, request, span, the_one
from trimtab.records import Chunk

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is it?"}]
TOOL_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c1", "name": "find", "arguments": {"order": 7}}],
}


def parts(role: str, *words: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": word} for word in words]}


# ---------------------------------------------------------------- OpenTelemetry


@pytest.mark.parametrize("wrap", [json.dumps, lambda told: told], ids=["json text", "structure"])
def test_genai_messages_may_come_as_text_or_as_structure(wrap: Any) -> None:
    made = the_one(
        span(
            {
                **CHAT,
                "gen_ai.system_instructions": wrap([{"type": "text", "content": "Be kind."}]),
                "gen_ai.input.messages": wrap([parts("user", "Where is it?")]),
                "gen_ai.output.messages": wrap([parts("assistant", "On its", "way.")]),
            }
        )
    )
    assert made.input == ASKED
    assert made.output == "On its\nway."


def test_genai_messages_on_the_details_event_are_found() -> None:
    told = {
        "gen_ai.input.messages": [parts("user", "Where is it?")],
        "gen_ai.output.messages": [parts("assistant", "Here.")],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be kind."}],
    }
    made = the_one(span(CHAT, events=[event("gen_ai.client.inference.operation.details", told)]))
    assert (made.input, made.output) == (ASKED, "Here.")


def test_genai_events_of_the_older_convention_are_read() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 7}'}}
    made = the_one(
        span(
            {"gen_ai.system": "openai", "gen_ai.request.model": "m"},
            events=[
                event("gen_ai.system.message", {"content": "Be kind."}),
                event("gen_ai.user.message", {"content": "Where is it?"}),
                event("gen_ai.assistant.message", {"tool_calls": json.dumps([call])}),
                event("gen_ai.tool.message", {"content": "on its way", "id": "c1"}),
                event("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content": "On its way."}'}),
            ],
        )
    )
    assert made.input == [*ASKED, TOOL_CALL, {"role": "tool", "content": "on its way", "tool_call_id": "c1"}]
    assert made.output == "On its way."


def test_genai_content_events_of_the_oldest_convention_are_read() -> None:
    made = the_one(
        span(
            {"gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 4},
            events=[
                event("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(ASKED)}),
                event("gen_ai.content.completion", {"gen_ai.completion": '[{"role":"assistant","content":"Here."}]'}),
            ],
        )
    )
    assert (made.input, made.output) == (ASKED, "Here.")
    assert (made.input_tokens, made.output_tokens) == (3, 4)


def test_several_choices_are_all_kept() -> None:
    told = [parts("assistant", "Here."), parts("assistant", "There.")]
    made = the_one(span({**CHAT, "gen_ai.output.messages": told}))
    assert made.output == [{"role": "assistant", "content": "Here."}, {"role": "assistant", "content": "There."}]


def test_reasoning_is_no_part_of_the_answer() -> None:
    said = {"role": "assistant", "parts": [{"type": "reasoning", "content": "hmm"}, {"type": "text", "content": "Yes"}]}
    assert the_one(span({**CHAT, "gen_ai.output.messages": [said]})).output == "Yes"


def test_a_message_cut_by_a_length_limit_is_kept_as_it_came() -> None:
    cut = '[{"role": "user", "parts": [{"type": "te'
    assert the_one(span({**CHAT, "gen_ai.input.messages": cut})).input == cut


def test_a_call_without_content_is_still_a_call() -> None:
    made = the_one(span(CHAT))
    assert (made.input, made.output, made.latency_ms) == ("", None, 250.0)


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "embeddings", "create_agent", "plan"])
def test_other_operations_are_no_calls(operation: str) -> None:
    got = found(request(span({"gen_ai.operation.name": operation, "gen_ai.request.model": "m"})))
    assert (got.events, got.ignored) == ([], 1)


def test_a_span_of_anything_else_is_no_call() -> None:
    got = found(request(span({"http.request.method": "GET"}), span({}, 2)))
    assert (got.events, got.rejected, got.ignored) == ([], [], 2)


# ---------------------------------------------------------------- OpenLLMetry


def test_openllmetry_flattened_messages_are_read() -> None:
    made = the_one(
        span(
            {
                "llm.request.type": "chat",
                "gen_ai.request.model": "m",
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": "Be kind.",
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": "Where is it?",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.finish_reason": "tool_calls",
                "gen_ai.completion.0.tool_calls.0.id": "c1",
                "gen_ai.completion.0.tool_calls.0.name": "find",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"order": 7}',
                "llm.usage.total_tokens": 9,
                "gen_ai.usage.prompt_tokens": 5,
                "gen_ai.usage.completion_tokens": 4,
                "traceloop.workflow.name": "delivery",
                "traceloop.prompt.key": "status",
                "traceloop.prompt.version": 4,
                "traceloop.association.properties.user_id": "u1",
                "traceloop.association.properties.session_id": "s1",
            }
        )
    )
    assert made.input == ASKED
    assert made.output == [TOOL_CALL]
    assert (made.feature, made.version_id, made.user_id, made.session_id) == ("delivery", "status@4", "u1", "s1")
    assert (made.input_tokens, made.output_tokens) == (5, 4)
    assert made.tags["finish_reason"] == "tool_calls"


def test_ten_and_more_flattened_messages_keep_their_order() -> None:
    told = {f"gen_ai.prompt.{place}.content": str(place) for place in range(12)}
    made = the_one(span({**CHAT, **told}))
    assert isinstance(made.input, list)
    assert [message["content"] for message in made.input] == [str(place) for place in range(12)]


def test_rows_of_a_vector_database_are_context() -> None:
    row = event("db.query.result", {"db.query.result.id": "d1", "db.query.result.document": "In transit."})
    made = the_one(span({"db.system": "chroma"}, 1, events=[row]), span(CHAT, 2))
    assert made.context == [Chunk(id="d1", text="In transit.")]


# ---------------------------------------------------------------- OpenInference


def test_openinference_retriever_gives_context_to_the_call_after_it() -> None:
    documents = {
        "openinference.span.kind": "RETRIEVER",
        "retrieval.documents.0.document.id": "d1",
        "retrieval.documents.0.document.content": "In transit.",
        "retrieval.documents.0.document.score": 0.75,
        "retrieval.documents.1.document.content": "Delivered.",
    }
    call = {"openinference.span.kind": "LLM", "input.value": "Where is it?", "output.value": "In transit."}
    chain = {"openinference.span.kind": "CHAIN", "user.id": "u1", "session.id": "s1", "llm.model_name": "m"}
    later = {**documents, "retrieval.documents.0.document.id": "d9"}
    made = the_one(span(chain, 9), span(documents, 1, parent=9), span(call, 2, parent=9), span(later, 3, parent=9))
    assert made.context[0] == Chunk(id="d1", text="In transit.", score=0.75)
    assert made.context[1].text == "Delivered."
    assert len(made.context) == 2  # what was found after the call is not its context
    assert (made.input, made.output) == ("Where is it?", "In transit.")
    assert (made.user_id, made.session_id) == ("u1", "s1")


def test_of_many_documents_a_call_keeps_the_last_hundred_each_once() -> None:
    def search(number: int) -> dict[str, Any]:
        told = {"retrieval.documents.0.document.id": f"d{number}", "retrieval.documents.1.document.id": "again"}
        return span({"openinference.span.kind": "RETRIEVER", **told}, number)

    made = the_one(*(search(number) for number in range(1, 200)), span({"openinference.span.kind": "LLM"}, 200))
    assert [item.id for item in made.context] == [*(f"d{number}" for number in range(150, 200)), "again"]


def test_openinference_message_contents_are_joined() -> None:
    made = the_one(
        span(
            {
                "openinference.span.kind": "LLM",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.contents.0.message_content.type": "text",
                "llm.input_messages.0.message.contents.0.message_content.text": "What is this?",
                "llm.input_messages.0.message.contents.1.message_content.type": "image",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "A bicycle.",
                "llm.prompt_template.version": "2",
                "prompt.name": "look",
                "llm.cost.total": 0.02,
            }
        )
    )
    assert made.input == [{"role": "user", "content": "What is this?\n[image]"}]
    assert (made.output, made.version_id, made.cost_usd) == ("A bicycle.", "look@2", 0.02)


@pytest.mark.parametrize("kind", ["CHAIN", "AGENT", "TOOL", "EMBEDDING", "GUARDRAIL", "EVALUATOR", "PROMPT"])
def test_openinference_spans_of_other_kinds_are_no_calls(kind: str) -> None:
    got = found(request(span({"openinference.span.kind": kind, "llm.model_name": "m", "gen_ai.request.model": "m"})))
    assert got.events == []


# ---------------------------------------------------------------- Pydantic AI and Logfire


def test_pydantic_ai_events_attribute_is_read() -> None:
    told = [
        {"event.name": "gen_ai.system.message", "content": "Be kind.", "role": "system"},
        {"event.name": "gen_ai.user.message", "content": "Where is it?", "role": "user"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Here."}},
    ]
    made = the_one(span({**CHAT, "events": json.dumps(told), "gen_ai.agent.name": "desk", "operation.cost": 0.5}))
    assert (made.input, made.output, made.feature, made.cost_usd) == (ASKED, "Here.", "desk", 0.5)


def test_logfire_call_that_failed_is_kept_with_its_error() -> None:
    made = the_one(
        span(
            {**CHAT, "request_data": "{}", "gen_ai.input.messages": json.dumps([parts("user", "Hi")])},
            status={"code": 2, "message": "APIConnectionError: Connection error."},
        ),
        scope="logfire.openai",
    )
    assert (made.output, made.error) == (None, "APIConnectionError: Connection error.")


def test_logfire_requests_of_older_versions_are_read() -> None:
    asked = {"model": "gpt-4o", "messages": ASKED}
    answer = {"message": {"role": "assistant", "content": "Here."}, "usage": {"total_tokens": 3}}
    made = the_one(
        span(
            {"gen_ai.request.model": "gpt-4o", "request_data": json.dumps(asked), "response_data": json.dumps(answer)}
        ),
        scope="logfire.openai",
    )
    assert (made.input, made.output, made.model) == (ASKED, "Here.", "gpt-4o")


# ---------------------------------------------------------------- Langfuse


def test_langfuse_generation_is_read() -> None:
    made = the_one(
        span(
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.input": json.dumps(ASKED),
                "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Here."}),
                "langfuse.observation.model.name": "gpt-4o",
                "langfuse.observation.usage_details": '{"input": 12, "output": 3, "total": 15}',
                "langfuse.observation.cost_details": '{"input": 0.001, "output": 0.002}',
                "langfuse.observation.prompt.name": "desk",
                "langfuse.observation.prompt.version": 3,
                "langfuse.observation.metadata.region": "eu",
                "langfuse.observation.level": "ERROR",
                "langfuse.observation.status_message": "content filter",
                "langfuse.trace.name": "support-chat",
                "langfuse.trace.tags": ["beta", "mobile"],
                "langfuse.environment": "staging",
                "user.id": "u1",
                "session.id": "s1",
            }
        )
    )
    assert (made.input, made.output) == (ASKED, "Here.")
    assert (made.feature, made.version_id, made.model) == ("support-chat", "desk@3", "gpt-4o")
    assert (made.user_id, made.session_id, made.error) == ("u1", "s1", "content filter")
    assert (made.input_tokens, made.output_tokens, made.cost_usd) == (12, 3, 0.003)
    assert made.tags == {"service": "shop", "environment": "staging", "tags": "beta,mobile", "region": "eu"}


def test_langfuse_wrappers_are_no_calls_and_its_retrievers_give_context() -> None:
    search = {"langfuse.observation.type": "retriever", "langfuse.observation.output": '["In transit.", "Delivered."]'}
    wrapper = {"langfuse.observation.type": "agent", "gen_ai.request.model": "m", "langfuse.user.id": "u1"}
    call = {"langfuse.observation.type": "generation", "langfuse.observation.input": "Where is it?"}
    made = the_one(span(wrapper, 9), span(search, 1, parent=9), span(call, 2, parent=9))
    assert [item.text for item in made.context] == ["In transit.", "Delivered."]
    assert made.user_id == "u1"


# ---------------------------------------------------------------- LangSmith


def test_langsmith_run_with_langchain_messages_is_read() -> None:
    def constructor(kind: str, words: str) -> dict[str, Any]:
        return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", kind], "kwargs": {"content": words}}

    asked = {"messages": [[constructor("SystemMessage", "Be kind."), constructor("HumanMessage", "Where is it?")]]}
    answered = {"generations": [[{"text": "Here.", "message": constructor("AIMessage", "Here.")}]]}
    made = the_one(
        span(
            {
                "langsmith.span.kind": "llm",
                "langsmith.span.id": "6b2c0c65-8a59-4b9d-8f8e-000000000001",
                "gen_ai.operation.name": "chat",
                "gen_ai.prompt": json.dumps(asked),
                "gen_ai.completion": json.dumps(answered),
                "gen_ai.usage.input_tokens": 7,
                "gen_ai.usage.output_tokens": 2,
                "langsmith.metadata.ls_model_name": "gpt-4o",
                "langsmith.metadata.ls_provider": "openai",
                "langsmith.metadata.thread_id": "t1",
                "langsmith.metadata.user_id": "u1",
                "langsmith.metadata.prompt_version": "v9",
                "langsmith.trace.session_id": "a project, not a session",
                "langsmith.span.tags": "beta, mobile",
            }
        )
    )
    assert (made.input, made.output) == (ASKED, "Here.")
    assert (made.model, made.version_id) == ("gpt-4o", "v9")
    assert (made.session_id, made.user_id) == ("t1", "u1")
    assert made.external_id == "6b2c0c65-8a59-4b9d-8f8e-000000000001"
    assert made.tags["provider"] == "openai"


def test_langsmith_prompt_run_is_no_call_and_its_retriever_gives_context() -> None:
    prompt = {"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat"}
    document = {"page_content": "In transit.", "metadata": {"source": "faq.md"}, "type": "Document"}
    search = {"langsmith.span.kind": "retriever", "gen_ai.completion": json.dumps({"documents": [document]})}
    call = {
        "langsmith.span.kind": "llm",
        "gen_ai.prompt.0.message.role": "user",
        "gen_ai.prompt.0.message.content": "Hi",
    }
    made = the_one(span(prompt, 1), span(search, 2), span(call, 3))
    assert made.context == [Chunk(id="faq.md", text="In transit.")]
    assert made.input == [{"role": "user", "content": "Hi"}]


# ---------------------------------------------------------------- Vercel AI SDK


def vercel(operation: str, **more: Any) -> dict[str, Any]:
    return {
        "operation.name": f"{operation} desk",
        "ai.operationId": operation,
        "ai.telemetry.functionId": "desk",
        "ai.telemetry.metadata.userId": "u1",
        "ai.telemetry.metadata.sessionId": "s1",
        "ai.model.id": "gpt-4o",
        "ai.model.provider": "openai.chat",
        **more,
    }


@pytest.mark.parametrize(
    "names", [("promptTokens", "completionTokens", "args"), ("inputTokens", "outputTokens", "input")]
)
def test_vercel_provider_call_is_read_and_the_span_around_it_is_not_counted(names: tuple[str, str, str]) -> None:
    asked = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
    ]
    calls = [{"toolCallType": "function", "toolCallId": "c1", "toolName": "find", names[2]: '{"order": 7}'}]
    outer = vercel("ai.generateText", **{"ai.prompt": '{"prompt":"Where is it?"}', "gen_ai.request.model": "gpt-4o"})
    inner = vercel(
        "ai.generateText.doGenerate",
        **{
            "ai.prompt.messages": json.dumps(asked),
            "ai.response.toolCalls": json.dumps(calls),
            "ai.response.finishReason": "tool-calls",
            "ai.response.model": "gpt-4o-2024-11-20",
            "ai.response.id": "chatcmpl-9",
            f"ai.usage.{names[0]}": 20,
            f"ai.usage.{names[1]}": 5,
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.finish_reasons": ["tool-calls"],
        },
    )
    made = the_one(span(outer, 1), span(inner, 2, parent=1), span(vercel("ai.toolCall"), 3, parent=1))
    assert (made.input, made.output) == (ASKED, [TOOL_CALL])
    assert (made.feature, made.user_id, made.session_id, made.model) == ("desk", "u1", "s1", "gpt-4o-2024-11-20")
    assert (made.input_tokens, made.output_tokens, made.external_id) == (20, 5, "chatcmpl-9")
    assert made.tags["finish_reason"] == "tool-calls"


def test_vercel_text_object_and_tool_results_are_read() -> None:
    result = {
        "type": "tool-result",
        "toolCallId": "c1",
        "toolName": "find",
        "output": {"type": "json", "value": {"at": 1}},
    }
    asked = json.dumps([{"role": "tool", "content": [result]}])
    streamed = vercel("ai.streamText.doStream", **{"ai.prompt.messages": asked, "ai.response.text": "Here."})
    made = the_one(span(streamed))
    assert made.input == [{"role": "tool", "content": {"at": 1}, "tool_call_id": "c1", "name": "find"}]
    assert made.output == "Here."
    shaped = vercel("ai.generateObject.doGenerate", **{"ai.response.object": '{"at": 1}'})
    assert the_one(span(shaped)).output == {"at": 1}
