"""What an app does with a question from its Trimtab: answered once, and only if the signature is right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.act.outgoing import signature
from trimtab.client import Reply, answer_webhook

SECRET = "whsec"
NOW_S = 1_767_225_600
QUESTION = {"id": "q-1", "kind": "answer", "feature": "support", "input": "Where?", "messages": [], "version": {}}


def asked(body: bytes, secret: str = SECRET, **more: Any) -> tuple[Reply, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def answer(question: dict[str, Any]) -> str:
        seen.append(question)
        return "In Rome."

    headers = {"trimtab-signature": signature(secret, body, NOW_S)}  # frameworks write names in lower case
    return answer_webhook(headers, body, SECRET, answer, now=NOW_S * 1_000_000, **more), seen


def test_a_signed_question_is_answered() -> None:
    reply, seen = asked(json.dumps(QUESTION).encode())
    assert (reply.status, json.loads(reply.body)) == (200, {"output": "In Rome."})
    assert seen == [QUESTION]


def test_a_question_that_comes_twice_is_answered_once() -> None:
    replies: dict[str, Reply] = {}
    first, seen = asked(json.dumps(QUESTION).encode(), replies=replies)
    again, unseen = asked(json.dumps(QUESTION).encode(), replies=replies)
    assert (first, len(seen), unseen) == (again, 1, [])


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        (json.dumps(QUESTION).encode(), "another", 401),
        (b"not json", SECRET, 400),
        (b"[]", SECRET, 400),
        (json.dumps({**QUESTION, "kind": "incident.opened"}).encode(), SECRET, 400),
        (b'{"kind": "answer"}', SECRET, 400),
    ],
)
def test_what_is_no_signed_question_is_refused_and_answers_nothing(body: bytes, secret: str, status: int) -> None:
    reply, seen = asked(body, secret)
    assert (reply.status, seen) == (status, [])
    assert "error" in json.loads(reply.body)


def test_a_request_without_a_signature_is_refused() -> None:
    assert answer_webhook({}, json.dumps(QUESTION).encode(), SECRET, lambda _: "x").status == 401


def test_what_the_app_raises_goes_through_and_is_remembered_as_no_answer() -> None:
    replies: dict[str, Reply] = {}
    body = json.dumps(QUESTION).encode()
    headers = {"Trimtab-Signature": signature(SECRET, body, NOW_S)}

    def broken(_: dict[str, Any]) -> str:
        raise KeyError("no such shelf")

    with pytest.raises(KeyError):
        answer_webhook(headers, body, SECRET, broken, replies=replies, now=NOW_S * 1_000_000)
    assert replies == {}
