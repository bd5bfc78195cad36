"""Findings name the places in what was given, and account for all that the redactor changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.redact import STRICT, ExtraPattern, Policy, Redactor
from trimtab.redact.trial import findings_in

KEY = b"a test key of 32 bytes, not real"
EXTRA = Policy(name="extra", extra=(ExtraPattern("member", r"MB-\d{6}"),), allow=(r".{1,40}@example\.org",))
PIECES = st.sampled_from([
    "jane@example.com", "@", ".com", " at ", "+1 415 555 2671", "4111 1111 1111 1111", "203.0.113.77",
    "password: ", "token=", "hunter2", "AKIAIOSFODNN7EXAMPLE", "MB-123456", "jane@example.org", "call me ",
    "DE89370400440532013000", "<EMAIL:abcdefghijkl>", "<SECRET>", "<", ">", "\n", " ", "-", ".", "0", "7", "é",
])  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=10).map("".join)


def told(policy: Policy, value: Any) -> list[tuple[str, str]]:
    return [(one.path, one.entity) for one in findings_in(policy, value)]


def test_findings_lie_where_the_text_has_them() -> None:
    text = "Mail jane@example.com, card 4111 1111 1111 1111."
    found = findings_in(STRICT, text)
    assert [(text[one.start : one.end], one.entity) for one in found] == [
        ("jane@example.com", "EMAIL"),
        ("4111 1111 1111 1111", "CREDIT_CARD"),
    ]


def test_findings_in_json_name_leaf_key_and_dropped_value() -> None:
    value = {"a/b": [{"to": "jane@example.com"}], "jane@example.com": 1, "password": "x", "n": 4111111111111111}
    assert told(STRICT, value) == [
        ("/a~1b/0/to", "EMAIL"),
        ("", "EMAIL"),
        ("/password", "SECRET"),
        ("/n", "CREDIT_CARD"),
    ]
    assert [one.key for one in findings_in(STRICT, value)] == [False, True, False, False]


@pytest.mark.parametrize("policy", [STRICT, EXTRA], ids=["strict", "extra"])
@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_what_is_left_between_findings_is_what_the_redactor_leaves(policy: Policy, text: str) -> None:
    clean = Redactor(key=KEY, policy=policy, gate=False).text(text)
    found = findings_in(policy, text)
    position = place = 0
    for one in found:
        left = text[position : one.start]
        assert clean.startswith(left, place)
        place = clean.index(">", place + len(left)) + 1
        position = one.end
    assert clean[place:] == text[position:]
