"""What four real client libraries send, field by field. Their bodies lie in the data folder, see its README."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.ids import derived_id
from trimtab.ingest.otlp.mapping import Found, inferences
from trimtab.ingest.otlp.wire import decode_spans
from trimtab.records import Inference

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TRIMTAB_DATA", ROOT.parent / "shared" / "data")) / "otlp"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="set TRIMTAB_DATA to the folder with the captured bodies")

ASKED = [
    {"role": "system", "content": "You are a bank support bot. Prompt v3."},
    {"role": "user", "content": "Where is my card? My mail is jane.doe@example.com"},
]
ANSWER = "Your card usually arrives within 5 working days."
STREAMED = "Your card arrives soon."
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "call_1", "name": "card_status", "arguments": {"card_id": "c-42"}}],
}
MODEL = "gpt-4o-mini-2024-07-18"
TAGS = {"service": "support-bot", "environment": "test", "provider": "openai"}


def told(client: str) -> Found:
    body = (DATA / f"{client}.0.otlp.pb").read_bytes()
    return inferences("default", decode_spans(body, "protobuf"), event_bytes=1 << 20)


def at(second: int, micros: int, minute: int = 33) -> datetime:
    return datetime(2026, 11, 20, 23, minute, second, micros, tzinfo=UTC)


def only_inferences(found: Found) -> list[Inference]:
    assert found.rejected == []
    return [event for _, event in found.events if isinstance(event, Inference)]


def test_openinference_calls_are_read_field_by_field() -> None:
    found = told("openinference-openai")
    first, tool, stream = only_inferences(found)
    tags = {**TAGS, "tags": "prod", "prompt_version": "v3"}
    assert found.ignored == 0
    assert first == Inference(
        id=derived_id("otlp", "default", "699e8f1cad60db25c4250681484cd2e6", "87799abe7ef01fc9"),
        feature="support-bot",
        created_at=at(56, 825185),
        input=ASKED,
        output=ANSWER,
        version_id="v3",
        model=MODEL,
        session_id="sess-1",
        user_id="user-17",
        trace_id="699e8f1cad60db25c4250681484cd2e6",
        span_id="87799abe7ef01fc9",
        tags={**tags, "finish_reason": "stop"},
        latency_ms=38.424305,
        input_tokens=21,
        output_tokens=11,
    )
    assert tool == Inference(
        id=derived_id("otlp", "default", "aa10468215f424301f6ff8b3f358b14e", "02aa70100087cdf1"),
        feature="support-bot",
        created_at=at(56, 865433),
        input=ASKED,
        output=[CALL],
        version_id="v3",
        model=MODEL,
        session_id="sess-1",
        user_id="user-17",
        trace_id="aa10468215f424301f6ff8b3f358b14e",
        span_id="02aa70100087cdf1",
        tags={**tags, "finish_reason": "tool_calls"},
        latency_ms=7.474082,
        input_tokens=21,
        output_tokens=11,
    )
    assert stream == Inference(
        id=derived_id("otlp", "default", "5e6814cb43ab0fea1b955691b49f2d9e", "aad58eeb7ea3255d"),
        feature="support-bot",
        created_at=at(56, 878964),
        input=ASKED,
        output=STREAMED,
        version_id="v3",
        model=MODEL,
        session_id="sess-1",
        user_id="user-17",
        trace_id="5e6814cb43ab0fea1b955691b49f2d9e",
        span_id="aad58eeb7ea3255d",
        tags={**tags, "finish_reason": "stop"},
        latency_ms=32.372088,
        input_tokens=21,
        output_tokens=5,
    )


def test_openllmetry_calls_are_read_field_by_field() -> None:
    found = told("openllmetry-openai")
    first, tool, stream = only_inferences(found)
    assert found.ignored == 0
    assert first == Inference(
        id=derived_id("otlp", "default", "0b89c0845be71c6d066d4e46a5318eb9", "91e4d72a9d9931d5"),
        feature="support-bot",
        created_at=at(59, 107261),
        input=ASKED,
        output=ANSWER,
        model=MODEL,
        user_id="user-17",
        external_id="chatcmpl-1",
        trace_id="0b89c0845be71c6d066d4e46a5318eb9",
        span_id="91e4d72a9d9931d5",
        tags={**TAGS, "finish_reason": "stop"},
        latency_ms=18.465578,
        input_tokens=21,
        output_tokens=11,
    )
    assert tool == Inference(
        id=derived_id("otlp", "default", "07c44d854c3ba0a22482cfb574891451", "e3f5c837532e2d63"),
        feature="support-bot",
        created_at=at(59, 125977),
        input=ASKED,
        output=[CALL],
        model=MODEL,
        external_id="chatcmpl-2",
        trace_id="07c44d854c3ba0a22482cfb574891451",
        span_id="e3f5c837532e2d63",
        tags={**TAGS, "finish_reason": "tool_call"},
        latency_ms=5.341333,
        input_tokens=21,
        output_tokens=11,
    )
    assert stream == Inference(
        id=derived_id("otlp", "default", "17ceffe3565796f3470b18c1f04796ee", "5a218b1df306d45e"),
        feature="support-bot",
        created_at=at(59, 131483),
        input=ASKED,
        output=STREAMED,
        model=MODEL,
        external_id="chatcmpl-1",
        trace_id="17ceffe3565796f3470b18c1f04796ee",
        span_id="5a218b1df306d45e",
        tags={**TAGS, "finish_reason": "stop"},
        latency_ms=11.839239,
        input_tokens=21,
        output_tokens=5,
    )


def test_logfire_calls_are_read_field_by_field_and_a_streamed_one_counts_once() -> None:
    found = told("logfire-openai")
    first, tool, stream = only_inferences(found)
    assert found.ignored == 1  # the beginning of the stream, which knows no answer
    assert first == Inference(
        id=derived_id("otlp", "default", "01a1fb4f5cc54520b8f601c64e3ee290", "624e141f8384b63f"),
        feature="support-bot",
        created_at=at(4, 741510, 34),
        input=ASKED,
        output=ANSWER,
        model=MODEL,
        external_id="chatcmpl-1",
        trace_id="01a1fb4f5cc54520b8f601c64e3ee290",
        span_id="624e141f8384b63f",
        tags={**TAGS, "finish_reason": "stop"},
        latency_ms=104.205551,
        input_tokens=21,
        output_tokens=11,
        cost_usd=9.75e-06,
    )
    assert tool == Inference(
        id=derived_id("otlp", "default", "01a1fb4f5d2f07d555c5f537d02e8e81", "46f4236c2d41cf42"),
        feature="support-bot",
        created_at=at(4, 847464, 34),
        input=ASKED,
        output=[CALL],
        model=MODEL,
        external_id="chatcmpl-2",
        trace_id="01a1fb4f5d2f07d555c5f537d02e8e81",
        span_id="46f4236c2d41cf42",
        tags={**TAGS, "finish_reason": "tool_calls"},
        latency_ms=3.654869,
        input_tokens=21,
        output_tokens=11,
        cost_usd=9.75e-06,
    )
    assert stream == Inference(
        id=derived_id("otlp", "default", "01a1fb4f5d4271f97db4b0207c67217a", "397cefcb3093629d"),
        feature="support-bot",
        created_at=at(4, 866120, 34),
        input=ASKED,
        output=STREAMED,
        model="gpt-4o-mini",
        trace_id="01a1fb4f5d4271f97db4b0207c67217a",
        span_id="397cefcb3093629d",
        tags=TAGS,
        latency_ms=9.650917,
        input_tokens=21,
        output_tokens=5,
        cost_usd=6.15e-06,
    )


def test_pydantic_ai_calls_are_read_field_by_field_and_its_agent_and_tool_are_passed_over() -> None:
    found = told("pydantic-ai")
    tool, last = only_inferences(found)
    assert found.ignored == 2
    assert tool == Inference(
        id=derived_id("otlp", "default", "e5d5c276dfff80092733bf1aa6478cbc", "aae3f0e9b99bdf2b"),
        feature="support",
        created_at=at(25, 730820, 34),
        input=ASKED,
        output=[CALL],
        model=MODEL,
        session_id="01a1fb4f-aeaf-713d-9718-bc639ac0440c",
        external_id="chatcmpl-1",
        trace_id="e5d5c276dfff80092733bf1aa6478cbc",
        span_id="aae3f0e9b99bdf2b",
        tags={**TAGS, "finish_reason": "tool_call"},
        latency_ms=183.685113,
        input_tokens=21,
        output_tokens=11,
        cost_usd=9.75e-06,
    )
    assert last == Inference(
        id=derived_id("otlp", "default", "e5d5c276dfff80092733bf1aa6478cbc", "ab1b88f898ae6033"),
        feature="support",
        created_at=at(25, 919561, 34),
        input=[*ASKED, CALL, {"role": "tool", "content": "posted", "tool_call_id": "call_1", "name": "card_status"}],
        output=ANSWER,
        model=MODEL,
        session_id="01a1fb4f-aeaf-713d-9718-bc639ac0440c",
        external_id="chatcmpl-2",
        trace_id="e5d5c276dfff80092733bf1aa6478cbc",
        span_id="ab1b88f898ae6033",
        tags={**TAGS, "finish_reason": "stop"},
        latency_ms=6.74174,
        input_tokens=21,
        output_tokens=11,
        cost_usd=9.75e-06,
    )
