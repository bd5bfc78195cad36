"""What calls of every convention have in common: features, ids, errors, limits, and which spans are counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.otlp import event, found, request, span, the_one
from trimtab.records import Inference

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


@pytest.mark.parametrize(
    ("told", "resource", "feature"),
    [
        ({"trimtab.feature": "desk", "gen_ai.agent.name": "a"}, {"service.name": "s"}, "desk"),
        ({"gen_ai.agent.name": "a"}, {"service.name": "s", "trimtab.feature": "desk"}, "desk"),
        ({"gen_ai.agent.name": "Order Desk (EU)"}, {"service.name": "s"}, "Order-Desk-EU"),
        ({}, {"service.name": "s"}, "s"),
        ({}, {"service.name": "unknown_service:node"}, "unnamed"),
        ({}, {}, "unnamed"),
        ({"trimtab.feature": "\u4f60\u597d"}, {"service.name": "s"}, "s"),
    ],
)
def test_a_feature_is_the_first_name_told(told: dict[str, str], resource: dict[str, str], feature: str) -> None:
    assert the_one(span({**CHAT, **told}), resource=resource).feature == feature


def test_our_own_attributes_are_heard_first() -> None:
    made = the_one(
        span(
            {
                **CHAT,
                "trimtab.version_id": "v_0123456789abcdef01234567",
                "trimtab.arm": "candidate",
                "trimtab.user_id": "u1",
                "trimtab.session_id": "s1",
                "trimtab.external_id": "x1",
                "trimtab.tags.region": "eu",
                "user.id": "other",
                "gen_ai.conversation.id": "other",
                "gen_ai.response.id": "other",
            }
        )
    )
    assert (made.version_id, made.arm) == ("v_0123456789abcdef01234567", "candidate")
    assert (made.user_id, made.session_id, made.external_id, made.tags["region"]) == ("u1", "s1", "x1", "eu")


def test_a_call_around_another_call_in_the_same_request_does_not_count_twice() -> None:
    made = the_one(span(CHAT, 1), span({"name": "glue"}, 2, parent=1), span(CHAT, 3, parent=2))
    assert made.span_id == f"{3:016x}"


def test_spans_that_claim_each_other_as_parent_are_still_read() -> None:
    got = found(
        request(span(CHAT, 1, parent=2), span(CHAT, 2, parent=1), span(CHAT, 3, parent=3), span({}, 4, parent=4))
    )
    assert got.rejected == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": {"code": "STATUS_CODE_ERROR", "message": "too slow"}}, "too slow"),
        (
            {
                "status": {"code": 2},
                "events": [event("exception", {"exception.type": "Timeout", "exception.message": "30 s"})],
            },
            "Timeout: 30 s",
        ),
        ({"status": {"code": 2}}, "error"),
        ({"status": {"code": 1}}, None),
        ({}, None),
    ],
)
def test_an_error_says_what_the_span_says(changes: dict[str, Any], error: str | None) -> None:
    assert the_one(span(CHAT, **changes)).error == error


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"traceId": "00" * 16}, "trace_id"),
        ({"traceId": "abc"}, "trace_id"),
        ({"spanId": ""}, "span_id"),
        ({"spanId": "x" * 16}, "span_id"),
        ({"startTimeUnixNano": "0"}, "start_time_unix_nano"),
        ({"startTimeUnixNano": str((1 << 64) - 1)}, None),  # the year 2554 is for admission to refuse
    ],
)
def test_a_call_that_makes_no_inference_is_refused_by_its_place(changes: dict[str, Any], param: str | None) -> None:
    got = found(request(span({}, 1), span(CHAT, 2, **changes), span(CHAT, 3)))
    if param is None:
        assert got.rejected == []
        return
    ((place, _),) = got.events
    (refused,) = got.rejected
    assert (place, refused.index, refused.param) == (2, 1, param)


def test_numbers_that_are_none_are_left_out() -> None:
    told = {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -3, "operation.cost": -1.0}
    made = the_one(span({**CHAT, **told}))
    assert (made.input_tokens, made.output_tokens, made.cost_usd) == (None, None, None)


def test_a_call_over_the_size_of_an_event_is_refused() -> None:
    got = found(request(span({**CHAT, "gen_ai.input.messages": "x" * 5000})), event_bytes=4096)
    assert [item.code for item in got.rejected] == ["body_too_large"]


def test_messages_nested_too_deep_are_refused_alone() -> None:
    deep = "[" * 300 + "]" * 300
    got = found(request(span({**CHAT, "gen_ai.input.messages": deep}, 1), span(CHAT, 2)))
    assert [item.code for item in got.rejected] == ["invalid_field"]
    assert len(got.events) == 1


def test_a_span_has_one_id_for_ever_and_another_in_another_project() -> None:
    first, again = the_one(span(CHAT)), the_one(span({**CHAT, "gen_ai.output.messages": "more"}))
    assert isinstance(first, Inference)
    assert first.id == again.id
